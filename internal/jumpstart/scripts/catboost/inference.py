# SPDX-License-Identifier: Apache-2.0
"""Serves CatBoost: the serving program of catboost-classification-model and catboost-regression-model."""

import os

import catboost
import tabular


def model_fn(model_dir):
    info = tabular.load_info(model_dir)
    model = catboost.CatBoostRegressor() if info["classes"] is None else catboost.CatBoostClassifier()
    return model.load_model(os.path.join(model_dir, "model")), info


def transform_fn(model, data, content_type, accept):
    trained, info = model
    rows = tabular.rows_of(data, content_type, info)
    names = [f"feature_{i}" for i in info["categorical"]]
    rows[names] = rows[names].fillna("")
    scores = trained.predict(rows) if info["classes"] is None else trained.predict_proba(rows)
    return tabular.answer(scores, accept, info)
