# SPDX-License-Identifier: Apache-2.0
"""DMatrix of bodies."""

import io as _io
import json as _json

from sagebrush_toolkit.dmatrix import csv_to_dmatrix, decode, libsvm_to_dmatrix, recordio_protobuf_to_dmatrix  # noqa: F401


def json_to_jsonlines(json_data):
    """The values of a JSON object with one key, a line each."""
    document = json_data if isinstance(json_data, dict) else _json.loads(json_data)
    if len(document) != 1:
        raise ValueError("JSON response is not compatible for conversion to jsonlines.")
    out = _io.BytesIO()
    for values in document.values():
        for value in values:
            out.write((_json.dumps(value) + "\n").encode("utf-8"))
    return out.getvalue()
