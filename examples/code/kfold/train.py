# SPDX-License-Identifier: Apache-2.0
"""XGBoost in script mode: k-fold cross-validation, then a model of all rows."""

import argparse
import os
import pathlib

import numpy
import pandas
import xgboost
from sklearn.model_selection import StratifiedKFold

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--num_round", type=int, default=30)
    parser.add_argument("--max_depth", type=int, default=4)
    parser.add_argument("--eta", type=float, default=0.2)
    parser.add_argument("--objective", default="binary:logistic")
    parser.add_argument("--folds", type=int, default=5)
    args = parser.parse_args()

    parts = sorted(pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]).glob("*.csv"))
    table = pandas.concat([pandas.read_csv(p, header=None) for p in parts]).to_numpy()
    x, y = table[:, 1:], table[:, 0]
    params = {"objective": args.objective, "max_depth": args.max_depth, "eta": args.eta, "eval_metric": "auc"}
    scores = []
    for fold, (inside, outside) in enumerate(StratifiedKFold(args.folds, shuffle=True, random_state=0).split(x, y)):
        told = {}
        xgboost.train(params, xgboost.DMatrix(x[inside], y[inside]), args.num_round,
                      evals=[(xgboost.DMatrix(x[outside], y[outside]), "validation")], evals_result=told, verbose_eval=False)
        scores.append(told["validation"]["auc"][-1])
        print(f"fold {fold}: auc={scores[-1]:.4f}")
    print(f"mean_auc={numpy.mean(scores):.4f}")
    booster = xgboost.train(params, xgboost.DMatrix(x, y), args.num_round)
    booster.save_model(os.path.join(os.environ["SM_MODEL_DIR"], "xgboost-model"))
