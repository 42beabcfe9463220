# SPDX-License-Identifier: Apache-2.0
"""Serves LightGBM: the serving program of lightgbm-classification-model and lightgbm-regression-model."""

import os

import joblib
import numpy
import tabular


def model_fn(model_dir):
    info = tabular.load_info(model_dir)
    return joblib.load(os.path.join(model_dir, "model.pkl")), info


def transform_fn(model, data, content_type, accept):
    booster, info = model
    rows = tabular.rows_of(data, content_type, info)
    for i in info["categorical"]:
        name = f"feature_{i}"
        rows[name] = tabular.encode(rows[name], info["categories"].get(name))
    scores = booster.predict(rows)
    if info["classes"] is not None and scores.ndim == 1:
        scores = numpy.column_stack([1 - scores, scores])
    return tabular.answer(scores, accept, info)
