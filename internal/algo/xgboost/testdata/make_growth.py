# SPDX-License-Identifier: Apache-2.0
"""Writes growth.json: what XGBoost makes of data.json with its other boosters,
tree methods, constraints and categories.

Made with xgboost 3.2.0 (xgboost-cpu), numpy 2.4.6 and Python 3.11:

    python make_growth.py
"""

import json

import numpy as np
import xgboost as xgb

from make_reference import clean, data

LOGISTIC = {"objective": "binary:logistic"}
SOFT = {"objective": "multi:softprob", "num_class": 3}
MONOTONE = {"monotone_constraints": "(1,-1,0,0,1,-1)", "max_depth": 4, "tree_method": "hist"}
MEET = {"interaction_constraints": "[[1,2],[2,3,4],[4,5]]", "max_depth": 4, "tree_method": "hist"}
LINEAR = {"booster": "gblinear"}
DART = {"booster": "dart", "rate_drop": 1}
UPDATE = {"process_type": "update"}
LOSS = {"grow_policy": "lossguide", "max_depth": 0, "max_leaves": 11}

# name, label, params, options: w(eighted), c(ategories), k(eep the model), u(pdate a model of another label)
CASES = [
    ("monotone", "real", MONOTONE, ""),
    ("monotone logistic", "binary", {**MONOTONE, **LOGISTIC, "alpha": 0.2, "max_depth": 6}, "w"),
    ("monotone steps", "binary", {**MONOTONE, **LOGISTIC, "max_delta_step": 0.5}, ""),
    ("monotone by loss", "real", {**MONOTONE, **LOSS}, ""),
    ("monotone classes", "class", {**MONOTONE, **SOFT}, ""),
    ("monotone exact", "real", {**MONOTONE, "tree_method": "exact"}, ""),
    ("meet", "real", MEET, ""),
    ("meet logistic", "binary", {**MEET, **LOGISTIC, "min_child_weight": 0}, ""),
    ("meet by loss", "real", {**MEET, **LOSS}, ""),
    ("meet monotone", "real", {**MONOTONE, **MEET}, ""),
    ("meet exact", "real", {**MEET, "tree_method": "exact"}, ""),
    ("meet approx", "binary", {**MEET, **LOGISTIC, "tree_method": "approx"}, ""),
    ("exact", "real", {"tree_method": "exact"}, ""),
    ("exact logistic", "binary", {**LOGISTIC, "tree_method": "exact", "max_depth": 5}, "w"),
    ("exact pruned", "real", {"tree_method": "exact", "gamma": 200, "max_depth": 5}, "k"),
    ("exact unpruned", "real", {"updater": "grow_colmaker", "gamma": 200, "max_depth": 5}, ""),
    ("exact penalties", "binary", {**LOGISTIC, "tree_method": "exact", "alpha": 0.5, "max_delta_step": 0.3,
                                   "min_child_weight": 2}, ""),
    ("exact classes", "class", {**SOFT, "tree_method": "exact", "num_parallel_tree": 2}, ""),
    ("exact light", "real", {"tree_method": "exact", "min_child_weight": 0, "lambda": 0, "max_depth": 7}, ""),
    ("exact refreshed", "real", {"updater": "grow_colmaker,prune,refresh"}, ""),
    ("approx", "real", {"tree_method": "approx"}, ""),
    ("approx logistic", "binary", {**LOGISTIC, "tree_method": "approx"}, "w"),
    ("approx by loss", "binary", {**LOGISTIC, **LOSS, "tree_method": "approx"}, ""),
    ("approx classes", "class", {**SOFT, "updater": "grow_histmaker,prune"}, ""),
    ("dart", "real", DART, "k"),
    ("dart forest", "real", {**DART, "normalize_type": "forest"}, ""),
    ("dart classes", "class", {**DART, **SOFT, "num_parallel_tree": 2}, "k"),
    ("dart weighted", "binary", {**DART, **LOGISTIC}, "w"),
    ("dart exact", "real", {**DART, "tree_method": "exact"}, ""),
    ("dart that drops none", "real", {"booster": "dart", "rate_drop": 0}, ""),
    ("linear", "real", LINEAR, "k"),
    ("linear penalties", "real", {**LINEAR, "lambda": 0.1, "alpha": 0.05, "eta": 0.7}, "w"),
    ("linear logistic", "binary", {**LINEAR, **LOGISTIC, "updater": "coord_descent", "lambda": 0.01}, ""),
    ("linear classes", "class", {**LINEAR, **SOFT, "alpha": 0.001}, "wk"),
    ("linear counts", "count", {**LINEAR, "objective": "count:poisson"}, ""),
    ("one category", "real", {"max_cat_to_onehot": 100, "max_depth": 4}, "ck"),
    ("sets of categories", "real", {"max_depth": 4}, "ck"),
    ("sets of categories logistic", "binary", {**LOGISTIC, "max_depth": 4, "max_cat_threshold": 3}, "cw"),
    ("categories by loss", "real", LOSS, "c"),
    ("categories approx", "binary", {**LOGISTIC, "tree_method": "approx"}, "c"),
    ("categories monotone", "real", {"monotone_constraints": "(0,0,0,-1,0,-1)", "max_depth": 4, "tree_method": "hist"}, "c"),
    ("refresh", "real", {**UPDATE, "updater": "refresh"}, "u"),
    ("refresh but the leaves", "real", {**UPDATE, "updater": "refresh", "refresh_leaf": 0}, "u"),
    ("refresh and prune", "real", {**UPDATE, "updater": "refresh,prune", "gamma": 150}, "u"),
    ("prune", "real", {**UPDATE, "updater": "prune", "gamma": 50}, "u"),
]
ROUNDS = 4


def categorical(x):
    """Makes categories of the first two columns."""
    x = x.copy()
    x[:, 0] = np.abs(x[:, 0]) % 9
    x[:, 1] = np.abs(x[:, 1]) % 3
    return x


def keep(b, d, name, models):
    """Notes a model that tests load, with what it predicts."""
    models.append({"name": name, "model": json.loads(b.save_raw("json")), "width": b.num_features(),
                   "margins": [round(v, 6) for v in clean(b.predict(d, output_margin=True)[:40])]})


def main():
    x, labels, weight = data()
    out, models = [], []
    for name, label, params, options in CASES:
        rows, types = (categorical(x), ["c", "c"] + ["q"] * 4) if "c" in options else (x, None)
        w = weight if "w" in options else None
        d = xgb.DMatrix(rows, label=labels[label], weight=w, feature_types=types, enable_categorical=types is not None)
        full = {"max_depth": 3, "nthread": 1, **params}
        if params.get("booster") == "gblinear":
            del full["max_depth"]
        before = None
        if "u" in options:
            first = xgb.DMatrix(x, label=labels["amount"])
            before = xgb.train({"max_depth": 5, "nthread": 1, "tree_method": "hist"}, first, ROUNDS)
        b = xgb.train(full, d, ROUNDS, xgb_model=before)
        out.append({"name": name, "label": label, "weighted": w is not None, "categories": types is not None,
                    "rounds": ROUNDS, "params": {k: str(v) for k, v in params.items()},
                    "before": json.loads(before.save_raw("json")) if before else None,
                    "margins": [round(v, 6) for v in clean(b.predict(d, output_margin=True)[:40])]})
        if "k" in options:
            keep(b, d, name, models)
    two = np.stack([labels["real"], labels["amount"]], axis=1)
    d = xgb.DMatrix(x, label=two)
    for strategy in ("one_output_per_tree", "multi_output_tree"):
        b = xgb.train({"max_depth": 3, "nthread": 1, "tree_method": "hist", "multi_strategy": strategy}, d, ROUNDS)
        keep(b, d, strategy, models)
    with open("growth.json", "w") as f:
        json.dump({"cases": out, "models": models}, f, separators=(",", ":"))


if __name__ == "__main__":
    main()
