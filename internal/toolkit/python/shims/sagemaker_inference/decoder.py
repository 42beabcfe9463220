# SPDX-License-Identifier: Apache-2.0
"""Arrays of bodies."""

from sagebrush_toolkit import codec as _codec
from sagebrush_toolkit.codec import genfromtxt as _csv_to_numpy  # noqa: F401
from sagebrush_toolkit.codec import json_to_numpy as _json_to_numpy  # noqa: F401
from sagebrush_toolkit.codec import npy_to_numpy as _npy_to_numpy  # noqa: F401
from sagebrush_toolkit.codec import npz_to_sparse as _npz_to_sparse  # noqa: F401


def decode(obj, content_type):
    """An array, or a sparse matrix of application/x-npz."""
    return _codec.decode(obj, content_type, _codec.INFERENCE_DECODERS)
