# SPDX-License-Identifier: Apache-2.0
"""``python -m sagebrush_toolkit.serve``: answers requests with the user's model.

The first process (server.py) opens the socket and keeps a worker per
processor. A worker (worker.py) loads the model (service.py, and a module per
framework) and answers connections (http.py), each by a thread. Of several
models (multi.py) each has such a server to itself (one.py).
"""
