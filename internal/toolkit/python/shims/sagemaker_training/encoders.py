# SPDX-License-Identifier: Apache-2.0
"""Arrays from and to JSON, CSV and NPY."""

from sagebrush_toolkit import codec as _codec
from sagebrush_toolkit.codec import array_to_csv, array_to_json, array_to_npy, csv_to_numpy, json_to_numpy, npy_to_numpy  # noqa: F401


def decode(obj, content_type):
    """An array of a body."""
    return _codec.decode(obj, content_type, _codec.CONTAINERS_DECODERS)


def encode(array_like, content_type):
    """A body of an array."""
    return _codec.encode(array_like, content_type, _codec.CONTAINERS_ENCODERS)[0]
