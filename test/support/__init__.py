# SPDX-License-Identifier: Apache-2.0
"""What the tests share: the server as a process, checked clients, data, requests."""
