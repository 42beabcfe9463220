# SPDX-License-Identifier: Apache-2.0
"""A training script as for SageMaker's scikit-learn image, and what serves its model."""

import argparse
import os

import joblib
from sklearn.ensemble import RandomForestClassifier

from features import read


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--criterion", default="gini")
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
    args = parser.parse_args()

    x, y = read(args.train)
    forest = RandomForestClassifier(n_estimators=args.trees, criterion=args.criterion, random_state=0, oob_score=True)
    forest.fit(x, y)
    print(f"oob_accuracy={forest.oob_score_:.4f}")
    joblib.dump(forest, os.path.join(args.model_dir, "model.joblib"))
