# SPDX-License-Identifier: Apache-2.0
"""Default functions of serving, and how they go together."""

from sagemaker_containers import _encoders, _worker


def default_model_fn(model_dir):
    raise NotImplementedError("\nPlease provide a model_fn implementation.\nSee documentation for model_fn at https://github.com/aws/sagemaker-python-sdk\n")


def default_input_fn(input_data, content_type):
    return _encoders.decode(input_data, content_type)


def default_predict_fn(data, model):
    raise NotImplementedError("\nPlease provide a predict_fn implementation.\nSee documentation for predict_fn at https://github.com/aws/sagemaker-python-sdk\n")


def default_output_fn(prediction, accept):
    return _worker.Response(response=_encoders.encode(prediction, accept), mimetype=accept)
