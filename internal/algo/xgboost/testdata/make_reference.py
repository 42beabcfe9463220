# SPDX-License-Identifier: Apache-2.0
"""Writes the reference results that the tests of this package read.

Made with xgboost 3.2.0 (xgboost-cpu), scikit-learn 1.9.1, numpy 2.4.6 and Python 3.11:

    python make_reference.py

and, for models of older releases, with `--old` under xgboost 2.1.4 and 1.7.6.
"""

import json
import sys

import numpy as np
import xgboost as xgb

ROWS, COLS = 160, 6


def clean(a):
    """Floats for JSON: missing values become null."""
    return [None if np.isnan(v) else float(v) for v in np.asarray(a, dtype=np.float64).ravel()]


def data():
    rng = np.random.default_rng(20)
    # Few distinct values, so that every one has a bin of its own and the
    # trees of two trainers must agree split by split.
    x = np.round(rng.normal(size=(ROWS, COLS)) * 8).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    z = np.nan_to_num(x) / 8
    s = 2 * z[:, 0] + z[:, 1] * z[:, 2] - z[:, 3] ** 2 + 0.5 * rng.normal(size=ROWS)
    labels = {
        "binary": s > 0,
        "real": np.round(10 * s + 5, 2),
        "class": np.digitize(s, [-1, 0.5]),
        "count": rng.poisson(np.exp(s / 3)),
        "amount": np.round(np.exp(s / 3), 3) + 0.01,
        "share": np.round(1 / (1 + np.exp(-s)), 3),
    }
    weight = np.round(rng.random(ROWS) * 2 + 0.1, 2).astype(np.float32)
    labels["relevance"] = np.digitize(s, [-1.5, -0.5, 0.5, 2])
    labels["time"] = np.round(np.exp(s / 3) * 10, 1) + 0.1
    labels["censored"] = labels["time"] * np.where(rng.random(ROWS) < 0.3, -1, 1)
    return x, {k: np.asarray(v, dtype=np.float32) for k, v in labels.items()}, weight


# Sizes of query groups: one of them longer than the 32 pairs that are looked at by default, two too short to rank.
GROUPS = [40, 1, 2, 37, 20, 3, 30, 27]
RANK = ["ndcg", "ndcg@5", "ndcg@5-", "ndcg-", "auc"]
RANK_BINARY = RANK + ["map", "map@4", "map@4-", "pre", "pre@3", "aucpr"]
SURVIVAL = ["aft-nloglik", "interval-regression-accuracy", "rmse", "mae"]

COMMON = ["rmse", "mae", "rmsle", "mphe"]
BINARY = COMMON + ["error", "error@0.7", "auc", "aucpr", "logloss", "poisson-nloglik", "gamma-deviance",
                   "gamma-nloglik", "tweedie-nloglik@1.3"]
# name, label, params, metrics, weighted
CASES = [
    ("logistic", "binary", {"objective": "binary:logistic"}, BINARY, False),
    ("weighted", "binary", {"objective": "binary:logistic"}, BINARY, True),
    ("scaled", "binary", {"objective": "binary:logistic", "scale_pos_weight": 3}, ["logloss"], False),
    ("penalties", "binary", {"objective": "binary:logistic", "alpha": 0.5, "lambda": 2, "gamma": 0.3,
                             "min_child_weight": 3, "eta": 0.5}, ["logloss"], False),
    ("step", "binary", {"objective": "binary:logistic", "max_delta_step": 0.4}, ["logloss"], False),
    ("logitraw", "binary", {"objective": "binary:logitraw"}, ["auc", "logloss", "error"], False),
    ("hinge", "binary", {"objective": "binary:hinge"}, ["error"], False),
    ("given base", "binary", {"objective": "binary:logistic", "base_score": 0.3}, ["logloss"], False),
    ("squared", "real", {"objective": "reg:squarederror"}, ["rmse", "mae", "mape", "mphe"], False),
    ("lossguide", "real", {"objective": "reg:squarederror", "grow_policy": "lossguide", "max_leaves": 9,
                           "max_depth": 0}, ["rmse"], False),
    ("leaves", "real", {"objective": "reg:squarederror", "max_leaves": 6}, ["rmse"], False),
    ("huber", "real", {"objective": "reg:pseudohubererror"}, ["mphe"], False),
    ("softprob", "class", {"objective": "multi:softprob", "num_class": 3}, ["merror", "mlogloss", "aucpr"], True),
    ("softmax", "class", {"objective": "multi:softmax", "num_class": 3}, ["merror", "mlogloss"], False),
    ("poisson", "count", {"objective": "count:poisson"}, ["poisson-nloglik", "rmse"], False),
    ("tweedie", "count", {"objective": "reg:tweedie", "tweedie_variance_power": 1.3},
     ["tweedie-nloglik@1.3"], False),
    ("gamma", "amount", {"objective": "reg:gamma"}, ["gamma-deviance", "gamma-nloglik"], False),
    ("squaredlog", "amount", {"objective": "reg:squaredlogerror"}, ["rmsle"], False),
    ("share", "share", {"objective": "reg:logistic", "num_parallel_tree": 2}, ["rmse"], False),
    ("absolute", "real", {"objective": "reg:absoluteerror"}, ["mae", "rmse"], False),
    ("absolute weighted", "real", {"objective": "reg:absoluteerror", "num_parallel_tree": 2}, ["mae"], True),
    ("pairwise", "relevance", {"objective": "rank:pairwise"}, RANK, False),
    ("pairwise binary", "binary", {"objective": "rank:pairwise"}, RANK_BINARY, False),
    ("ndcg", "relevance", {"objective": "rank:ndcg"}, RANK, False),
    ("map", "binary", {"objective": "rank:map"}, RANK_BINARY, False),
    ("one group", "relevance", {"objective": "rank:ndcg"}, RANK[:4], False),
    ("aft normal", "time", {"objective": "survival:aft"}, SURVIVAL, False),
    ("aft weighted", "time", {"objective": "survival:aft", "aft_loss_distribution_scale": 1.7}, SURVIVAL, True),
    ("aft logistic", "time", {"objective": "survival:aft", "aft_loss_distribution": "logistic",
                              "aft_loss_distribution_scale": 0.6}, SURVIVAL, False),
    ("aft extreme", "time", {"objective": "survival:aft", "aft_loss_distribution": "extreme"}, SURVIVAL, False),
    ("cox", "censored", {"objective": "survival:cox"}, ["cox-nloglik"], False),
    ("cox weighted", "censored", {"objective": "survival:cox"}, ["cox-nloglik"], True),
]
ROUNDS = 4


def train(x, y, w, params, metrics, groups=None):
    d = xgb.DMatrix(x, label=y, weight=w)
    if groups:
        d.set_group(groups)
    if params["objective"] == "survival:aft":
        d.set_float_info("label_lower_bound", y)
        d.set_float_info("label_upper_bound", y)
    result = {}
    params = {"max_depth": 3, "tree_method": "hist", "nthread": 1, "eval_metric": metrics, **params}
    b = xgb.train(params, d, ROUNDS, evals=[(d, "train")], evals_result=result, verbose_eval=False)
    return b, d, result


def main():
    x, labels, weight = data()
    with open("data.json", "w") as f:
        json.dump({"cols": COLS, "values": clean(x), "weight": clean(weight),
                   "labels": {k: clean(v) for k, v in labels.items()}}, f)
    out = []
    for name, label, params, metrics, weighted in CASES:
        groups = GROUPS if params["objective"].startswith("rank:") and name != "one group" else None
        b, d, result = train(x, labels[label], weight if weighted else None, params, metrics, groups)
        out.append({
            "name": name, "groups": groups, "label": label, "weighted": weighted, "rounds": ROUNDS,
            "params": {k: str(v) for k, v in params.items()},
            "metrics": {m: v[-1] for m, v in result["train"].items()}, "order": metrics,
            "base": json.loads(b.save_raw("json"))["learner"]["learner_model_param"]["base_score"],
            "margins": [round(v, 6) for v in clean(b.predict(d, output_margin=True)[:40])],
            "predictions": [round(v, 6) for v in clean(b.predict(d)[:40])],
        })
        if name in ("logistic", "softprob", "poisson", "squared"):
            if name == "poisson":
                b.set_attr(best_iteration="1")  # the margin below is that of two rounds
                out[-1]["best"] = [round(v, 6) for v in clean(b.predict(d, iteration_range=(0, 2))[:40])]
            out[-1]["importance"] = {kind: b.get_score(importance_type=kind)
                                     for kind in ("weight", "gain", "cover", "total_gain", "total_cover")}
            b.save_model(name + (".ubj" if name != "squared" else ".json"))
    with open("reference.json", "w") as f:
        json.dump(out, f)
    write_cancer()


def write_cancer():
    """Breast cancer, the diagnostic Wisconsin data set, as scikit-learn has it."""
    from sklearn.datasets import load_breast_cancer
    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    with open("cancer.csv", "w") as f:
        for row, v in zip(x, y):
            f.write(",".join([str(v)] + ["%.5g" % a for a in row[:20]]) + "\n")
    rows = np.genfromtxt("cancer.csv", delimiter=",", dtype=np.float32)
    test = np.arange(len(rows)) % 3 == 0
    result = {}
    dtrain = xgb.DMatrix(rows[~test, 1:], label=rows[~test, 0])
    dtest = xgb.DMatrix(rows[test, 1:], label=rows[test, 0])
    xgb.train({"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "nthread": 1}, dtrain, 50,
              evals=[(dtrain, "train"), (dtest, "validation")], evals_result=result, verbose_eval=False)
    with open("cancer.json", "w") as f:
        json.dump({"auc": result["validation"]["auc"][-1], "logloss": result["validation"]["logloss"][-1]}, f)


def old():
    """Models of the running release, with what it predicts for data.json."""
    x, labels, _ = data()
    short = "".join(xgb.__version__.split(".")[:2])
    out = []
    for name, label, params, metrics, _ in CASES:
        if name not in ("logistic", "logitraw", "softprob", "given base"):
            continue
        b, d, _ = train(x, labels[label], None, params, metrics)
        file = f"v{short}-{name.replace(' ', '-')}." + ("json" if name in ("logistic", "logitraw") else "ubj")
        b.save_model(file)
        out.append({"file": file, "predictions": [round(v, 6) for v in clean(b.predict(d)[:40])]})
    with open(f"v{short}.json", "w") as f:
        json.dump(out, f)


if __name__ == "__main__":
    old() if "--old" in sys.argv else main()
