# SPDX-License-Identifier: Apache-2.0
"""Media types."""

from sagebrush_toolkit.content_types import ANY, CSV, JSON, NPY, NPZ, OCTET_STREAM, UTF8_TYPES  # noqa: F401
