# SPDX-License-Identifier: Apache-2.0
"""One script for many models: each is a file factor.json in a folder of its own."""

import json
import os


def model_fn(model_dir):
    with open(os.path.join(model_dir, "factor.json")) as f:
        return json.load(f)


def input_fn(body, content_type):
    return json.loads(body)


def predict_fn(numbers, factor):
    return [factor * number for number in numbers]


def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
