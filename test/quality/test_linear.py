# SPDX-License-Identifier: Apache-2.0
"""Linear Learner beside scikit-learn's linear models, which find the minimum where it makes a fixed number of steps."""

import importlib.metadata

import numpy
import pytest
from sklearn import datasets, linear_model, metrics, model_selection, pipeline, preprocessing, svm

from lab import csv

LIBRARY = f"scikit-learn {importlib.metadata.version('scikit-learn')}"
STEPS = "steps end near the minimum, not at it"


def split(x, y):
    return model_selection.train_test_split(x, y, test_size=0.25, random_state=0)


def scores(model, rows):
    return numpy.array([p["score"] for p in model.predict(rows)])


def labels(model, rows):
    return numpy.array([p["predicted_label"] for p in model.predict(rows)])


def fitted(model, x, y):
    return pipeline.make_pipeline(preprocessing.StandardScaler(), model).fit(x, y)


BINARY = {
    "breast cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
    "20,000 generated rows": lambda: datasets.make_classification(20_000, 20, n_informative=10, flip_y=0.05, random_state=1),
}


@pytest.mark.parametrize("data", BINARY)
@pytest.mark.parametrize("loss", ["logistic", "hinge_loss"])
def test_binary(train, record, data, loss):
    x, held, y, truth = split(*BINARY[data]())
    theirs = fitted(linear_model.LogisticRegression(max_iter=1000) if loss == "logistic" else svm.LinearSVC(loss="hinge", max_iter=100_000), x, y)
    ours = train("linear-learner", {"predictor_type": "binary_classifier", "loss": loss}, {"train": csv(y, x)})
    what = f"{data}, {loss}, defaults"
    record("Linear Learner", what, "AUC", LIBRARY, metrics.roc_auc_score(truth, theirs.decision_function(held)),
           metrics.roc_auc_score(truth, scores(ours, held)), 0.005, STEPS, higher=True)
    record("Linear Learner", what, "accuracy", LIBRARY, theirs.score(held, truth), (labels(ours, held) == truth).mean(), max(0.01, 2.1 / len(truth)),
           "the threshold is chosen on the training rows; two held-out rows are given", higher=True)


def test_unbalanced(train, record):
    x, held, y, truth = split(*datasets.make_classification(20_000, 15, n_informative=8, weights=[0.95], random_state=2))
    theirs = fitted(linear_model.LogisticRegression(max_iter=1000, class_weight="balanced"), x, y)
    ours = train("linear-learner", {"predictor_type": "binary_classifier", "positive_example_weight_mult": "balanced",
                                    "binary_classifier_model_selection_criteria": "f1"}, {"train": csv(y, x)})
    record("Linear Learner", "5 % ones, balanced, by f1", "F1", LIBRARY, metrics.f1_score(truth, theirs.predict(held)),
           metrics.f1_score(truth, labels(ours, held)), 0, "ours has a threshold for it", higher=True)


@pytest.mark.parametrize("criterion,target", [("precision_at_target_recall", 0.9), ("recall_at_target_precision", 0.85)])
def test_targets_hold_on_other_rows(train, criterion, target):
    x, held, y, truth = split(*BINARY["20,000 generated rows"]())
    ours = train("linear-learner", {"predictor_type": "binary_classifier", "binary_classifier_model_selection_criteria": criterion,
                                    "target_recall": target, "target_precision": target}, {"train": csv(y, x)})
    reached = (metrics.recall_score if criterion == "precision_at_target_recall" else metrics.precision_score)(truth, labels(ours, held))
    assert reached == pytest.approx(target, abs=0.02)


def test_classes(train, record):
    x, held, y, truth = split(*datasets.load_digits(return_X_y=True))
    theirs = fitted(linear_model.LogisticRegression(max_iter=1000), x, y)
    ours = train("linear-learner", {"predictor_type": "multiclass_classifier", "num_classes": 10, "mini_batch_size": 64}, {"train": csv(y, x)})
    record("Linear Learner", "digits, 10 classes", "accuracy", LIBRARY, theirs.score(held, truth), (labels(ours, held) == truth).mean(), 0.01,
           "one held-out row is 0.002", higher=True)


REGRESSIONS = [
    ({}, linear_model.LinearRegression(), metrics.mean_squared_error),
    ({"wd": 0.2, "num_models": 1}, linear_model.Ridge(alpha=0.1 * 331), metrics.mean_squared_error),
    ({"loss": "huber_loss", "huber_delta": 60}, linear_model.HuberRegressor(epsilon=1.35, max_iter=1000), metrics.mean_squared_error),
    ({"loss": "quantile_loss", "quantile": 0.5}, linear_model.QuantileRegressor(quantile=0.5, alpha=0), metrics.mean_absolute_error),
    ({"loss": "quantile_loss", "quantile": 0.9}, linear_model.QuantileRegressor(quantile=0.9, alpha=0),
     lambda y, p: metrics.mean_pinball_loss(y, p, alpha=0.9)),
    ({"loss": "absolute_loss"}, linear_model.QuantileRegressor(quantile=0.5, alpha=0), metrics.mean_absolute_error),
    ({"loss": "eps_insensitive_absolute_loss", "loss_insensitivity": 5}, svm.LinearSVR(epsilon=5, C=100, max_iter=100_000), metrics.mean_absolute_error),
    ({"loss": "eps_insensitive_squared_loss"}, linear_model.LinearRegression(), metrics.mean_squared_error),
]


@pytest.mark.parametrize("params,theirs,measure", REGRESSIONS, ids=[f"{p.get('loss', 'squared')}-{i}" for i, (p, _, _) in enumerate(REGRESSIONS)])
def test_regression(train, record, params, theirs, measure):
    x, held, y, truth = split(*datasets.load_diabetes(return_X_y=True))
    theirs = fitted(theirs, x, y)
    ours = train("linear-learner", {"predictor_type": "regressor", "mini_batch_size": 32, "epochs": 100, "early_stopping_patience": 10, **params}, {"train": csv(y, x)})
    name = getattr(measure, "__name__", "pinball loss").replace("<lambda>", "pinball loss").replace("_", " ")
    record("Linear Learner", "diabetes, " + ", ".join(f"{k}={v}" for k, v in params.items() if k != "num_models") if params else "diabetes, squared_loss",
           name, f"{type(theirs[-1]).__name__} of {LIBRARY}", measure(truth, theirs.predict(held)), measure(truth, scores(ours, held)), 0.03 if params.get("quantile") == 0.9 else 0.02,
           "33 of 331 rows lie above" if params.get("quantile") == 0.9 else STEPS, relative=True)


def test_many_rows(train, record):
    x, held, y, truth = split(*datasets.make_regression(20_000, 30, n_informative=20, noise=20, random_state=1))
    theirs = fitted(linear_model.LinearRegression(), x, y)
    ours = train("linear-learner", {"predictor_type": "regressor"}, {"train": csv(y, x)})
    record("Linear Learner", "20,000 generated rows, squared_loss, defaults", "mean squared error", LIBRARY,
           metrics.mean_squared_error(truth, theirs.predict(held)), metrics.mean_squared_error(truth, scores(ours, held)), 0.02, STEPS, relative=True)


def test_l1_finds_the_features_that_matter(train):
    x, y = datasets.make_regression(5_000, 50, n_informative=5, noise=5, random_state=4)
    ours = train("linear-learner", {"predictor_type": "regressor", "l1": 0.05, "wd": 0, "num_models": 1, "epochs": 40}, {"train": csv(y, x)})
    base = ours.predict(numpy.zeros((1, 50)))[0]["score"]
    effect = numpy.array([p["score"] for p in ours.predict(numpy.eye(50))]) - base
    theirs = fitted(linear_model.Lasso(alpha=0.025 * y.std()), x, y)[-1].coef_
    assert set(numpy.flatnonzero(effect)) == set(numpy.flatnonzero(theirs))
