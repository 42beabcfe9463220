# SPDX-License-Identifier: Apache-2.0
"""Bodies as inputs of pipelines, and predictions as bodies."""

import json as _json

from sagebrush_toolkit.content_types import JSON as _JSON
from sagebrush_toolkit.serve.huggingface import HuggingFace as _HuggingFace


def decode(content, content_type=_JSON):
    return _HuggingFace().input_fn(content, content_type)


def encode(content, accept_type=_JSON):
    return _HuggingFace().output_fn(content, accept_type)[0]


def decode_json(content):
    return _json.loads(content)


def encode_json(content, accept_type=None):
    return encode(content)
