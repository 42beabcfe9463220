# SPDX-License-Identifier: Apache-2.0
"""The built-in XGBoost beside the Python library: same data, same parameters.

How good the models are is compared by AUC (or error), as the two may split at
other bins. How they predict is compared row by row: each loads the other's.
"""

import numpy
import pytest
import xgboost
from sklearn import datasets, metrics

from support import work
from support.work import archive, channel, csv, members, split, unique

ROUNDS = 40
PARAMS = {"max_depth": 4, "eta": 0.2, "tree_method": "hist", "seed": 1}

CASES = {
    "breast cancer": (datasets.load_breast_cancer, True, {"objective": "binary:logistic"}),
    "iris": (datasets.load_iris, True, {"objective": "multi:softprob", "num_class": 3}),
    "wine": (datasets.load_wine, True, {"objective": "multi:softprob", "num_class": 3}),
    "digits, one class each": (datasets.load_digits, True, {"objective": "multi:softmax", "num_class": 10}),
    "diabetes": (datasets.load_diabetes, False, {"objective": "reg:squarederror"}),
    "diabetes, counts": (datasets.load_diabetes, False, {"objective": "count:poisson"}),
    "breast cancer, hinge": (datasets.load_breast_cancer, True, {"objective": "binary:hinge"}),
    "breast cancer, reg:logistic": (datasets.load_breast_cancer, True, {"objective": "reg:logistic"}),
}


class Pair:
    """One data set trained here and by Python."""

    def __init__(self, bench, load, stratify, params):
        self.params = {**PARAMS, **params}
        self.train_x, self.test_x, train_y, self.test_y = split(load, stratify=stratify)
        uri = bench.put(f"{unique('pair')}/train.csv", csv(train_y, self.train_x))
        hyper = {k: str(v) for k, v in {**self.params, "num_round": ROUNDS}.items()}
        request = bench.request(InputDataConfig=[channel("train", uri)])
        request["HyperParameters"] = hyper
        bench.sagemaker.create_training_job(**request)
        job = bench.finished(request["TrainingJobName"])
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        self.artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
        self.theirs = xgboost.train(self.params, xgboost.DMatrix(self.train_x, train_y), ROUNDS)
        self.ours = xgboost.Booster()
        self.ours.load_model(bytearray(members(bench.get(self.artifact))["xgboost-model"]))

    def quality(self, booster):
        """Higher is better: AUC, accuracy, or minus the error relative to the spread of the labels."""
        predicted = booster.predict(xgboost.DMatrix(self.test_x))
        objective = self.params["objective"]
        if objective in ("binary:logistic", "reg:logistic"):
            return metrics.roc_auc_score(self.test_y, predicted)
        if objective == "multi:softprob":
            return metrics.roc_auc_score(self.test_y, predicted, multi_class="ovr")
        if objective in ("multi:softmax", "binary:hinge"):
            return metrics.accuracy_score(self.test_y, predicted)
        return -metrics.root_mean_squared_error(self.test_y, predicted) / self.test_y.std()


@pytest.fixture(scope="module", params=CASES)
def pair(request, bench):
    return request.param, Pair(bench, *CASES[request.param])


def test_ours_is_as_good_as_theirs(pair):
    name, p = pair
    ours, theirs = p.quality(p.ours), p.quality(p.theirs)
    if p.params["objective"] in ("binary:logistic", "reg:logistic", "multi:softprob"):
        assert abs(ours - theirs) <= 0.005, f"{name}: AUC {ours} here, {theirs} by Python"
    else:  # classes and errors of a few hundred rows move in larger steps
        assert ours >= theirs - 0.03, f"{name}: {ours} here, {theirs} by Python"


def test_python_predicts_with_our_model_what_we_predict(pair, bench):
    _, p = pair
    endpoint = bench.deploy(p.artifact)
    try:
        numpy.testing.assert_allclose(bench.predict(endpoint, p.test_x), p.ours.predict(xgboost.DMatrix(p.test_x)),
                                      rtol=1e-5, atol=1e-5)
    finally:
        bench.undeploy(endpoint)


@pytest.mark.parametrize("form", ["ubj", "json"])
def test_we_predict_with_pythons_model_what_python_predicts(pair, bench, form):
    _, p = pair
    data = bench.put(f"{unique('theirs')}/model.tar.gz", archive({"xgboost-model": bytes(p.theirs.save_raw(form))}))
    endpoint = bench.deploy(data)
    try:
        numpy.testing.assert_allclose(bench.predict(endpoint, p.test_x), p.theirs.predict(xgboost.DMatrix(p.test_x)),
                                      rtol=1e-5, atol=1e-5)
    finally:
        bench.undeploy(endpoint)


def test_missing_values_go_the_same_way(bench):
    """Holes in the data, in training and in prediction."""
    rng = numpy.random.default_rng(5)
    train_x, test_x, train_y, test_y = split(datasets.load_breast_cancer)
    train_x, test_x = train_x.copy(), test_x.copy()
    train_x[rng.random(train_x.shape) < 0.2] = numpy.nan
    test_x[rng.random(test_x.shape) < 0.2] = numpy.nan

    def text(*columns):
        return work.csv(*columns).replace(b"nan", b"")
    uri = bench.put("holes/train.csv", text(train_y, train_x))
    job = bench.train(InputDataConfig=[channel("train", uri)])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    ours = xgboost.Booster()
    ours.load_model(bytearray(members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))["xgboost-model"]))
    endpoint = bench.deploy(job["ModelArtifacts"]["S3ModelArtifacts"])
    answer, _ = bench.ask(endpoint, text(test_x), accept="text/csv")
    bench.undeploy(endpoint)
    numpy.testing.assert_allclose([float(v) for v in answer.split(",")], ours.predict(xgboost.DMatrix(test_x)), rtol=0, atol=1e-5)
    theirs = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "eta": 0.2}, xgboost.DMatrix(train_x, train_y), 20)
    auc = [metrics.roc_auc_score(test_y, b.predict(xgboost.DMatrix(test_x))) for b in (ours, theirs)]
    assert auc[0] >= auc[1] - 0.005


def test_early_stopping_stops(bench):
    job = bench.train(hyper={"num_round": "500", "early_stopping_rounds": "5", "eval_metric": "logloss"})
    (lines,) = bench.log_lines("/aws/sagemaker/TrainingJobs", job["TrainingJobName"] + "/").values()
    rounds = sum("#011validation-logloss:" in line for line in lines)
    assert 5 < rounds < 400
