# SPDX-License-Identifier: Apache-2.0
"""Errors."""

from sagebrush_toolkit.codec import UnsupportedFormatError  # noqa: F401
from sagebrush_toolkit.errors import ClientError, ExecuteUserScriptError  # noqa: F401
