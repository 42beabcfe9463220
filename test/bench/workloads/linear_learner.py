# SPDX-License-Identifier: Apache-2.0
"""Linear Learner: one model and as many as it trains by default, on 500,000 rows."""

import numpy

from speed import Workload


def make(folder, quick):
    draw = numpy.random.default_rng(0)
    n = 20_000 if quick else 500_000
    x = draw.normal(size=(n, 28))
    x[:, 14:] = 0.6 * x[:, :14] + 0.8 * x[:, 14:]
    score = x @ draw.normal(0, 0.5, 28) + 0.3 * x[:, 0] * x[:, 1]
    x = x * draw.uniform(0.5, 20, 28) + draw.normal(0, 10, 28)
    y = draw.random(n) < 1 / (1 + numpy.exp(-score))
    numpy.savetxt(folder / "train.csv", numpy.column_stack([y, x]), fmt="%.6g", delimiter=",")
    return {"train": ("text/csv", folder / "train.csv")}


READ = """
import pandas
began = time.perf_counter()
table = pandas.read_csv(sys.argv[1], header=None, dtype="float32").to_numpy()
x, y = table[:, 1:], table[:, 0].astype(int)
read = time.perf_counter() - began
from sklearn import linear_model, preprocessing
began = time.perf_counter()
"""

WORKLOADS = [
    Workload("linear-learner", "500,000 x 28 binary, one model, 15 epochs",
             {"predictor_type": "binary_classifier", "num_models": 1, "epochs": 15, "early_stopping_patience": 15}, make, READ + """
linear_model.SGDClassifier(loss="log_loss", max_iter=15, tol=None).fit(preprocessing.StandardScaler().fit_transform(x), y)
tell(read, time.perf_counter() - began)
""", "scikit-learn", say="SGDClassifier makes a step for each row, Linear Learner one for each mini-batch of 1,000."),
    Workload("linear-learner", "500,000 x 28 binary, defaults (32 models)", {"predictor_type": "binary_classifier"}, make, READ + """
linear_model.LogisticRegression().fit(preprocessing.StandardScaler().fit_transform(x), y)
tell(read, time.perf_counter() - began)
""", "scikit-learn", say="Linear Learner trains 32 models, chooses the best and its threshold, and measures it; LogisticRegression (lbfgs) fits one."),
]
