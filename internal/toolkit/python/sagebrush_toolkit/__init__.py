# SPDX-License-Identifier: Apache-2.0
"""Runs users' scripts in containers as AWS's framework images do.

``python -m sagebrush_toolkit.train`` is what ``train`` does in such an image,
``python -m sagebrush_toolkit.serve`` what ``serve`` does. Only the standard
library is needed; numpy and the frameworks are imported when the user's data
or model needs them. It runs on Python 3.9 and newer.
"""
