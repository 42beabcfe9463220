# SPDX-License-Identifier: Apache-2.0
"""XGBoost beside the Python library of the same version: the same data and parameters, measured on rows that neither has seen."""

import json
import types

import numpy
import pytest
import xgboost
from sklearn import datasets, metrics, model_selection

from lab import csv

LIBRARY = f"xgboost {xgboost.__version__}"
ROWS, HELD = 2000, 3000

# Why ours may be worse, and by how much.
BINS = "quantiles are exact here and sketched there, so bounds differ by a bin"
DRAWS = "what is drawn hangs on other random numbers; seeds differ by 3 % on either side"
SAME = "both find the same splits, but for rounding"
ROOM = {"hist": (0.02, BINS), "approx": (0.02, BINS), "exact": (0.001, SAME)}


def split(load):
    x, y = load(return_X_y=True)
    return model_selection.train_test_split(x, y, test_size=0.25, random_state=0)


def friedman(kind=None):
    """(x, held, y, truth) of Friedman's first function of five of eight features, with labels of a kind that hangs on it."""
    rng = numpy.random.default_rng(11)
    x = rng.random((ROWS + HELD, 8)).astype(numpy.float32)
    f = 10 * numpy.sin(numpy.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]  # 0 to 30, 14 in the mean
    mean, noise = numpy.exp(f / 10 - 1), rng.standard_normal(len(x))
    y = {
        None: lambda: f + noise,
        "heavy tails": lambda: f + rng.standard_t(2, len(x)),
        "two classes": lambda: f + 3 * noise > 14,
        "rare": lambda: f + 3 * noise > 22,
        "three classes": lambda: numpy.digitize(f + noise, (12, 17)),
        "share": lambda: 1 / (1 + numpy.exp(-(f - 14 + noise) / 4)),
        "count": lambda: rng.poisson(mean),
        "amount": lambda: rng.gamma(2, mean / 2),
        "claims": lambda: numpy.array([rng.gamma(2, m / 2, n).sum() for m, n in zip(mean, rng.poisson(1, len(x)))]),
        "time": lambda: mean * numpy.exp(0.5 * noise),
    }[kind]()
    y = numpy.asarray(y, dtype=numpy.float64)
    return x[:ROWS], x[ROWS:], y[:ROWS], y[ROWS:]


def concordance(times, risk):
    """Harrell's: the share of pairs of which the one with the greater risk fails first. Negative times are censored."""
    at, died = abs(times), times > 0
    first = died[:, None] & (at[:, None] < at[None, :])
    return ((risk[:, None] > risk[None, :])[first].sum() + 0.5 * (risk[:, None] == risk[None, :])[first].sum()) / first.sum()


def huber(truth, p):
    return numpy.mean(numpy.sqrt(1 + (truth - p) ** 2) - 1)


def reference(params, matrix, rounds):
    """What Python makes of it: with one thread, so that its sketch and sums are the same each time."""
    return xgboost.train({**params, "nthread": 1}, matrix, rounds)


RMSE = ("RMSE", metrics.root_mean_squared_error, False)
AUC = ("AUC", metrics.roc_auc_score, True)
LOGLOSS = ("log loss", metrics.log_loss, False)
ACCURACY = ("accuracy", metrics.accuracy_score, True)
CLASSES = ("accuracy", lambda truth, p: metrics.accuracy_score(truth, numpy.asarray(p).argmax(1)), True)
MLOGLOSS = ("log loss", lambda truth, p: metrics.log_loss(truth, numpy.divide(p, numpy.sum(p, 1, keepdims=True, dtype=float))), False)
REGRESSION = {"objective": "reg:squarederror", "max_depth": 4, "eta": 0.2}
LOGISTIC = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.2}

# what is trained: data, parameters, rounds, measure, tolerance (a share of theirs), why.
CASES = {
    "breast cancer, hist": (lambda: split(datasets.load_breast_cancer), {**LOGISTIC, "eta": 0.3, "tree_method": "hist"}, 50, AUC, 0.005, BINS),
    "breast cancer, approx": (lambda: split(datasets.load_breast_cancer), {**LOGISTIC, "eta": 0.3, "tree_method": "approx"}, 50, AUC, 0.005, BINS),
    "breast cancer, exact": (lambda: split(datasets.load_breast_cancer), {**LOGISTIC, "eta": 0.3, "tree_method": "exact"}, 50, AUC, 0.001, SAME),
    "diabetes, reg:squarederror": (lambda: split(datasets.load_diabetes), {**REGRESSION, "max_depth": 3, "eta": 0.1}, 100, RMSE, 0.02, BINS),
    "digits, multi:softprob": (lambda: split(datasets.load_digits), {"objective": "multi:softprob", "num_class": 10, "max_depth": 4, "tree_method": "hist"}, 30,
                               CLASSES, 0.01, "digits have 17 values, each its own bin, but equal gains tie; 450 rows are held out"),
    "friedman, hist": (friedman, {**REGRESSION, "tree_method": "hist"}, 60, RMSE, 0.02, BINS),
    "friedman, approx": (friedman, {**REGRESSION, "tree_method": "approx"}, 60, RMSE, 0.02, BINS),
    "friedman, exact": (friedman, {**REGRESSION, "tree_method": "exact"}, 60, RMSE, 0.001, SAME),
    "friedman, 16 bins": (friedman, {**REGRESSION, "max_bin": 16}, 60, RMSE, 0.02, BINS),
    "friedman, lossguide of 15 leaves": (friedman, {**REGRESSION, "tree_method": "hist", "grow_policy": "lossguide", "max_leaves": 15, "max_depth": 0}, 60,
                                         RMSE, 0.02, BINS),
    "friedman, subsample and colsample": (friedman, {**REGRESSION, "subsample": 0.6, "colsample_bytree": 0.8, "colsample_bynode": 0.8}, 100, RMSE, 0.05, DRAWS),
    "friedman, 20 parallel trees": (friedman, {**REGRESSION, "eta": 1, "num_parallel_tree": 20, "subsample": 0.6, "max_depth": 8}, 1, RMSE, 0.05, DRAWS),
    "friedman, gamma, alpha, lambda": (friedman, {**REGRESSION, "gamma": 5, "alpha": 2, "lambda": 3, "min_child_weight": 5}, 60, RMSE, 0.02, BINS),
    "friedman, dart": (friedman, {**REGRESSION, "booster": "dart", "rate_drop": 0.1, "skip_drop": 0.2}, 60, RMSE, 0.05, DRAWS),
    "friedman, dart by forest and weight": (friedman, {**REGRESSION, "booster": "dart", "rate_drop": 0.1, "one_drop": 1, "sample_type": "weighted",
                                                       "normalize_type": "forest"}, 60, RMSE, 0.05, DRAWS),
    "friedman, gblinear": (friedman, {"objective": "reg:squarederror", "booster": "gblinear", "updater": "coord_descent", "lambda": 0.01}, 50, RMSE, 0.001,
                           "both take the same steps"),
    "friedman, gblinear, binary:logistic": (lambda: friedman("two classes"), {"objective": "binary:logistic", "booster": "gblinear", "updater": "shotgun",
                                                                              "alpha": 0.001}, 50, LOGLOSS, 0.005, "shotgun has no order of steps there"),
    "rare positives, scale_pos_weight": (lambda: friedman("rare"), {**LOGISTIC, "scale_pos_weight": 8}, 40, LOGLOSS, 0.02, BINS),
    "three classes, multi:softprob": (lambda: friedman("three classes"), {**LOGISTIC, "objective": "multi:softprob", "num_class": 3}, 40, MLOGLOSS, 0.02, BINS),
    "three classes, multi:softmax": (lambda: friedman("three classes"), {**LOGISTIC, "objective": "multi:softmax", "num_class": 3}, 40, ACCURACY, 0.01, BINS),
    "shares, reg:logistic": (lambda: friedman("share"), {**LOGISTIC, "objective": "reg:logistic"}, 40, RMSE, 0.02, BINS),
    "two classes, binary:logitraw": (lambda: friedman("two classes"), {**LOGISTIC, "objective": "binary:logitraw"}, 40, AUC, 0.005, BINS),
    "two classes, binary:hinge": (lambda: friedman("two classes"), {**LOGISTIC, "objective": "binary:hinge"}, 40, ACCURACY, 0.015,
                                  "each label is 0 or 1, and rows at the bound flip by a bin"),
    "heavy tails, reg:absoluteerror": (lambda: friedman("heavy tails"), {**REGRESSION, "objective": "reg:absoluteerror"}, 60,
                                       ("mean absolute error", metrics.mean_absolute_error, False), 0.02, BINS),
    # Its steps divide by second derivatives near 0, so that one bound more or less moves the error by a tenth on either side: exact.
    "heavy tails, reg:pseudohubererror": (lambda: friedman("heavy tails"), {**REGRESSION, "objective": "reg:pseudohubererror", "base_score": 14,
                                                                            "tree_method": "exact"}, 60, ("pseudo-Huber error", huber, False), 0.002, SAME),
    "amounts, reg:gamma": (lambda: friedman("amount"), {**REGRESSION, "objective": "reg:gamma", "eta": 0.1}, 60,
                           ("gamma deviance", metrics.mean_gamma_deviance, False), 0.02, BINS),
    "amounts, reg:squaredlogerror": (lambda: friedman("amount"), {**REGRESSION, "objective": "reg:squaredlogerror"}, 60,
                                     ("RMSLE", metrics.root_mean_squared_log_error, False), 0.02, BINS),
    "claims, reg:tweedie": (lambda: friedman("claims"), {**REGRESSION, "objective": "reg:tweedie", "tweedie_variance_power": 1.4, "eta": 0.1}, 60,
                            ("Tweedie deviance", lambda truth, p: metrics.mean_tweedie_deviance(truth, p, power=1.4), False), 0.02, BINS),
    "counts, count:poisson": (lambda: friedman("count"), {**REGRESSION, "objective": "count:poisson"}, 60,
                              ("Poisson deviance", metrics.mean_poisson_deviance, False), 0.02, BINS),
}


def test_cases_measure_what_they_say():
    """A pair in order is concordant, a tie counts half, a pair whose first one is censored does not count."""
    assert concordance(numpy.array([1, 2, -3]), numpy.array([3.0, 2, 1])) == 1
    assert concordance(numpy.array([1, 2]), numpy.array([1.0, 1])) == 0.5
    assert concordance(numpy.array([-1, 2, 3]), numpy.array([0.0, 1, 2])) == 0


def scores(model, rows):
    return numpy.array([p["score"] for p in model.predict(rows)])


@pytest.mark.parametrize("what", CASES)
def test_quality(train, record, what):
    data, params, rounds, (measure, figure, higher), tolerance, why = CASES[what]
    x, held, y, truth = data()
    ours = train("xgboost", {**params, "num_round": rounds}, {"train": csv(y, x)})
    theirs = reference(params, xgboost.DMatrix(x, y), rounds)
    both = [figure(truth, p) for p in (theirs.predict(xgboost.DMatrix(held)), scores(ours, held))]
    record("XGBoost", what, measure, LIBRARY, *both, tolerance, why, higher=higher, relative=True)


def test_weights(train, record):
    """Rows of the upper half of a feature count ten times as much, in training and in what is measured."""
    x, held, y, truth = friedman()
    weight, weigh = (numpy.where(rows[:, 2] > 0.5, 5.0, 0.5) for rows in (x, held))
    params = {**REGRESSION, "max_depth": 2}
    ours = train("xgboost", {**params, "num_round": 40, "csv_weights": 1}, {"train": csv(y, weight, x)})
    theirs = reference(params, xgboost.DMatrix(x, y, weight=weight), 40)
    rmse = [metrics.root_mean_squared_error(truth, p, sample_weight=weigh) for p in (theirs.predict(xgboost.DMatrix(held)), scores(ours, held))]
    record("XGBoost", "friedman, weights", "weighted RMSE", LIBRARY, *rmse, 0.02, BINS, relative=True)


def loaded(model):
    booster = xgboost.Booster()
    booster.load_model(bytearray((model.dir / "xgboost-model").read_bytes()))
    return booster


@pytest.mark.parametrize("method", ["hist", "exact"])
def test_monotone(train, record, method):
    """Noise makes free trees fall where the label rises on the whole; constrained ones never do."""
    x, held, y, truth = friedman()
    params = {**REGRESSION, "tree_method": method, "monotone_constraints": "(0,0,0,1,1,-1,0,0)"}
    ours = train("xgboost", {**params, "num_round": 60}, {"train": csv(y, x)})
    theirs = reference(params, xgboost.DMatrix(x, y), 60)
    steps = numpy.repeat(held[:20], 41, axis=0)
    for feature, sign in ((3, 1), (4, 1), (5, -1)):
        moved = steps.copy()
        moved[:, feature] = numpy.tile(numpy.linspace(0, 1, 41), 20)
        rise = sign * numpy.diff(scores(ours, moved).reshape(20, 41))
        assert rise.min() >= -1e-5 and (rise.max() > 0.1 or feature == 5), feature
    rmse = [metrics.root_mean_squared_error(truth, p) for p in (theirs.predict(xgboost.DMatrix(held)), scores(ours, held))]
    record("XGBoost", f"friedman, monotone constraints, {method}", "RMSE", LIBRARY, *rmse, *ROOM[method], relative=True)


def paths(node, above=frozenset()):
    """The set of features on the way to each leaf of a tree of get_dump."""
    if "leaf" in node:
        return {above}
    return set().union(*(paths(child, above | {node["split"]}) for child in node["children"]))


@pytest.mark.parametrize("method", ["hist", "approx", "exact"])
def test_interaction(train, record, method):
    """Features 1 to 4 in lists of two; the container cannot name feature 0, which therefore meets none."""
    x, held, y, truth = friedman()
    params = {**REGRESSION, "tree_method": method, "interaction_constraints": "[[1,2],[3,4]]"}
    ours = train("xgboost", {**params, "num_round": 60}, {"train": csv(y, x)})
    theirs = reference(params, xgboost.DMatrix(x, y), 60)
    met = set().union(*(paths(json.loads(tree)) for tree in loaded(ours).get_dump(dump_format="json")))
    assert {"f3", "f4"} in met and {"f0"} in met
    assert all(len(m) == 1 or m in ({"f1", "f2"}, {"f3", "f4"}) for m in met), met
    rmse = [metrics.root_mean_squared_error(truth, p) for p in (theirs.predict(xgboost.DMatrix(held)), scores(ours, held))]
    record("XGBoost", f"friedman, interaction constraints, {method}", "RMSE", LIBRARY, *rmse, *ROOM[method], relative=True)


@pytest.mark.parametrize("method, onehot", [("hist", 4), ("approx", 4), ("hist", 100)])
def test_categories(train, record, method, onehot):
    """A feature of 3 categories and one of 40, whose effects have no order, beside a number. Some rows lack a category."""
    rng = numpy.random.default_rng(2)
    few, many, number = rng.integers(3, size=ROWS + HELD), rng.integers(40, size=ROWS + HELD), rng.random(ROWS + HELD)
    effect = rng.standard_normal(40) * 3
    y = effect[many] + numpy.array([0, 4, -1])[few] * number + rng.standard_normal(ROWS + HELD)
    x = numpy.column_stack([few, many, number]).astype(numpy.float32)
    x[rng.random(x.shape) < 0.03] = numpy.nan
    x, held, y, truth = x[:ROWS], x[ROWS:], y[:ROWS], y[ROWS:]
    params = {**REGRESSION, "tree_method": method, "max_cat_to_onehot": onehot}
    ours = train("xgboost", {**params, "num_round": 60, "_categorical_features": "0,1"}, {"train": csv(y, x)})

    def matrix(*rows):
        return xgboost.DMatrix(*rows, feature_types=["c", "c", "q"], enable_categorical=True)
    theirs = reference(params, matrix(x, y), 60)
    numpy.testing.assert_allclose(scores(ours, held), loaded(ours).predict(matrix(held)), rtol=1e-5, atol=1e-5)
    rmse = [metrics.root_mean_squared_error(truth, p) for p in (theirs.predict(matrix(held)), scores(ours, held))]
    record("XGBoost", f"40 categories, {method}, {'sets' if onehot == 4 else 'one by one'}", "RMSE", LIBRARY, *rmse, 0.02, BINS, relative=True)


def queries(most):
    """Query groups of 5 to 29 rows whose grades, 0 to most, hang on some features; half of them are held out."""
    rng = numpy.random.default_rng(4)
    size = rng.integers(5, 30, size=240)
    qid = numpy.repeat(numpy.arange(len(size)), size)
    x = rng.random((len(qid), 6)).astype(numpy.float32)
    x[:, 5] = (rng.random(len(size)) * 5)[qid]  # of the query alone: it makes no order
    f = 3 * x[:, 0] * x[:, 1] + numpy.sin(6 * x[:, 2]) + 0.4 * rng.standard_normal(len(qid))
    y = numpy.digitize(f, numpy.quantile(f, numpy.linspace(0, 1, most + 2)[1:-1] ** 0.5)).astype(float)
    half = qid < 120
    return types.SimpleNamespace(x=x[half], y=y[half], qid=qid[half], held=x[~half], truth=y[~half], groups=qid[~half])


def libsvm(d):
    return "".join(f"{y:g} qid:{q} " + " ".join(f"{i}:{v:.9g}" for i, v in enumerate(row)) + "\n" for row, y, q in zip(d.x, d.y, d.qid)).encode()


@pytest.mark.parametrize("objective, most", [("rank:ndcg", 4), ("rank:pairwise", 4), ("rank:map", 1)])
def test_ranking(train, record, objective, most):
    d = queries(most)
    params = {"objective": objective, "max_depth": 4, "eta": 0.1}
    ours = train("xgboost", {**params, "num_round": 60, "eval_metric": "map" if most == 1 else "ndcg"}, {"train": ("text/libsvm", libsvm(d))})
    theirs = reference(params, xgboost.DMatrix(d.x, d.y, qid=d.qid), 60)

    def figure(p):
        groups = [(d.truth[d.groups == g], p[d.groups == g]) for g in numpy.unique(d.groups)]
        if most == 1:
            return numpy.mean([metrics.average_precision_score(t, q) for t, q in groups if t.any()])
        return numpy.mean([metrics.ndcg_score([2 ** t - 1], [q], k=10) for t, q in groups])
    both = [figure(p) for p in (theirs.predict(xgboost.DMatrix(d.held)), scores(ours, d.held))]
    record("XGBoost", f"120 queries, {objective}", "MAP" if most == 1 else "NDCG@10", LIBRARY, *both, 0.02, f"{BINS}; equal scores tie",
           higher=True, relative=True)


def test_cox(train, record):
    x, held, y, truth = friedman("time")
    censored = numpy.random.default_rng(1).random(ROWS + HELD) < 0.3
    y, truth = numpy.where(censored[:ROWS], -y, y), numpy.where(censored[ROWS:], -truth, truth)
    params = {**REGRESSION, "objective": "survival:cox", "eta": 0.1}
    ours = train("xgboost", {**params, "num_round": 60}, {"train": csv(y, x)})
    theirs = reference(params, xgboost.DMatrix(x, y), 60)
    record("XGBoost", "times, a third censored, survival:cox", "concordance", LIBRARY, concordance(truth, theirs.predict(xgboost.DMatrix(held))),
           concordance(truth, scores(ours, held)), 0.005, BINS, higher=True)


@pytest.mark.parametrize("noise", ["normal", "logistic", "extreme"])
def test_aft(train, record, noise):
    x, held, y, truth = friedman("time")
    params = {**REGRESSION, "objective": "survival:aft", "aft_loss_distribution": noise, "aft_loss_distribution_scale": 0.8}
    ours = train("xgboost", {**params, "num_round": 60}, {"train": csv(y, x)})
    matrix = xgboost.DMatrix(x)
    for bound in ("label_lower_bound", "label_upper_bound"):
        matrix.set_float_info(bound, y)
    theirs = reference(params, matrix, 60)
    error = [metrics.root_mean_squared_error(numpy.log(truth), numpy.log(p)) for p in (theirs.predict(xgboost.DMatrix(held)), scores(ours, held))]
    record("XGBoost", f"times, survival:aft, {noise}", "RMSE of the logarithm", LIBRARY, *error, 0.02, BINS, relative=True)
