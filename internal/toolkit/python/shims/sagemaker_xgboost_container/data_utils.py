# SPDX-License-Identifier: Apache-2.0
"""Channels as DMatrix."""

import os as _os

from sagebrush_toolkit import content_types as _types
from sagebrush_toolkit import dmatrix as _dmatrix

CSV, LIBSVM, PARQUET, RECORDIO_PROTOBUF = "csv", "libsvm", "parquet", "recordio-protobuf"

_KINDS = {CSV: CSV, _types.CSV: CSV, LIBSVM: LIBSVM, _types.LIBSVM: LIBSVM, _types.X_LIBSVM: LIBSVM, PARQUET: PARQUET,
          _types.X_PARQUET: PARQUET, RECORDIO_PROTOBUF: RECORDIO_PROTOBUF, _types.X_RECORDIO_PROTOBUF: RECORDIO_PROTOBUF}

VALID_CONTENT_TYPES = list(_KINDS)


def get_content_type(content_type_cfg_val):
    """csv, libsvm, parquet or recordio-protobuf of a channel's content type; libsvm of None."""
    if content_type_cfg_val is None:
        return LIBSVM
    kind = _KINDS.get(_types.media(content_type_cfg_val))
    if kind is None:
        raise ValueError("%s is not an accepted ContentType: %s." % (content_type_cfg_val, ", ".join(VALID_CONTENT_TYPES)))
    if kind == CSV:
        for parameter in content_type_cfg_val.lower().split(";")[1:]:
            name, _, value = parameter.strip().partition("=")
            if name == "label_size" and value != "1":
                raise ValueError("%s is not an accepted csv ContentType. Optional parameter label_size must be equal to 1" % content_type_cfg_val)
    return kind


def get_dmatrix(data_path, content_type, csv_weights=0, is_pipe=False):
    """A channel's data with its labels; None when there is none."""
    return _dmatrix.load(data_path, get_content_type(content_type), csv_weights, is_pipe)


def get_csv_dmatrix(path, csv_weights, is_pipe=False):
    return _dmatrix.load(path, CSV, csv_weights, is_pipe)


def get_libsvm_dmatrix(files_path, is_pipe=False):
    return _dmatrix.load(files_path, LIBSVM, 0, is_pipe)


def get_parquet_dmatrix(path, is_pipe=False):
    return _dmatrix.load(path, PARQUET, 0, is_pipe)


def get_recordio_protobuf_dmatrix(path, is_pipe=False):
    return _dmatrix.load(path, RECORDIO_PROTOBUF, 0, is_pipe)


def validate_data_file_path(data_path, content_type):
    """Fails when there is nothing at the path, or the content type is none."""
    get_content_type(content_type)
    if not _os.path.exists(data_path):
        raise ValueError("%s is not a valid path!" % data_path)


def get_size(data_path, is_pipe=False):
    """Bytes of a channel; 1 of a pipe."""
    if is_pipe and _os.path.exists(data_path + "_0"):
        return 1
    if not _os.path.exists(data_path):
        return 0
    return sum(_os.path.getsize(p) for p in _dmatrix._files(data_path))
