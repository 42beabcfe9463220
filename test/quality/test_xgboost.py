# SPDX-License-Identifier: Apache-2.0
"""XGBoost beside the Python library of the same version."""

import numpy
import pytest
import xgboost
from sklearn import datasets, metrics, model_selection

from lab import csv

LIBRARY = f"xgboost {xgboost.__version__}"


def split(load):
    x, y = load(return_X_y=True)
    return model_selection.train_test_split(x, y, test_size=0.25, random_state=0)


@pytest.mark.parametrize("method", ["hist"])
def test_binary(train, record, method):
    x, held, y, truth = split(datasets.load_breast_cancer)
    params = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.3, "tree_method": method}
    ours = train("xgboost", {**params, "num_round": 50}, {"train": csv(y, x)})
    theirs = xgboost.train(params, xgboost.DMatrix(x, y), 50)
    record("XGBoost", f"breast cancer, {method}", "AUC", LIBRARY, metrics.roc_auc_score(truth, theirs.predict(xgboost.DMatrix(held))),
           metrics.roc_auc_score(truth, [p["score"] for p in ours.predict(held)]), 0.005, "quantiles are exact here and sketched there", higher=True)


def test_classes(train, record):
    x, held, y, truth = split(datasets.load_digits)
    params = {"objective": "multi:softprob", "num_class": 10, "max_depth": 4, "eta": 0.3, "tree_method": "hist"}
    ours = train("xgboost", {**params, "num_round": 40}, {"train": csv(y, x)})
    theirs = xgboost.train(params, xgboost.DMatrix(x, y), 40)
    record("XGBoost", "digits, multi:softprob", "accuracy", LIBRARY, metrics.accuracy_score(truth, theirs.predict(xgboost.DMatrix(held)).argmax(1)),
           metrics.accuracy_score(truth, numpy.array([p["score"] for p in ours.predict(held)]).argmax(1)), 0.01, "as above; 450 rows held out", higher=True)


def test_regression(train, record):
    x, held, y, truth = split(datasets.load_diabetes)
    params = {"objective": "reg:squarederror", "max_depth": 3, "eta": 0.1, "tree_method": "hist"}
    ours = train("xgboost", {**params, "num_round": 100}, {"train": csv(y, x)})
    theirs = xgboost.train(params, xgboost.DMatrix(x, y), 100)
    record("XGBoost", "diabetes, reg:squarederror", "RMSE", LIBRARY, metrics.root_mean_squared_error(truth, theirs.predict(xgboost.DMatrix(held))),
           metrics.root_mean_squared_error(truth, [p["score"] for p in ours.predict(held)]), 0.02, "as above", relative=True)
