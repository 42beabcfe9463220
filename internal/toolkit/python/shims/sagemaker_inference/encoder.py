# SPDX-License-Identifier: Apache-2.0
"""Bodies of arrays."""

from sagebrush_toolkit import codec as _codec
from sagebrush_toolkit.codec import array_to_json as _array_to_json  # noqa: F401
from sagebrush_toolkit.codec import array_to_npy as _array_to_npy  # noqa: F401
from sagebrush_toolkit.codec import savetxt as _array_to_csv  # noqa: F401

SUPPORTED_CONTENT_TYPES = set(_codec.INFERENCE_ENCODERS)


def encode(array_like, content_type):
    """A body, text or bytes."""
    return _codec.encode(array_like, content_type, _codec.INFERENCE_ENCODERS)[0]
