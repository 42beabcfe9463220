# SPDX-License-Identifier: Apache-2.0
"""A preprocessing step as for SageMaker's scikit-learn image: it learns the scale of each column, and later applies it."""

import argparse
import os

import joblib
import numpy
from sklearn.preprocessing import StandardScaler


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "scaler.joblib"))


def input_fn(body, content_type):
    text = body.decode() if isinstance(body, bytes) else body
    return numpy.atleast_2d(numpy.genfromtxt(text.splitlines(), delimiter=","))


def predict_fn(rows, scaler):
    return scaler.transform(rows)


def output_fn(rows, accept):
    return "\n".join(",".join(repr(float(v)) for v in row) for row in rows), "text/csv"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--output-data-dir", default=os.environ["SM_OUTPUT_DATA_DIR"])
    args = parser.parse_args()

    # The label is the first column and stays as it is.
    rows = numpy.vstack([numpy.genfromtxt(os.path.join(args.train, name), delimiter=",") for name in sorted(os.listdir(args.train))])
    scaler = StandardScaler().fit(rows[:, 1:])
    joblib.dump(scaler, os.path.join(args.model_dir, "scaler.joblib"))
    print(f"columns={rows.shape[1] - 1}")
