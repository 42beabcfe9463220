# SPDX-License-Identifier: Apache-2.0
"""PCA: few features and many rows, and many features."""

import numpy

from speed import Workload


def make(n, d):
    def write(folder, quick):
        draw = numpy.random.default_rng(3)
        some, rank = max(n // 20, 200) if quick else n, min(d, 60)
        rows = draw.standard_normal((some, rank)) / numpy.sqrt(1 + numpy.arange(rank)) @ draw.standard_normal((rank, d)) + 0.1 * draw.standard_normal((some, d))
        numpy.savetxt(folder / "train.csv", rows, fmt="%.6g", delimiter=",")
        return {"train": ("text/csv;label_size=0", folder / "train.csv")}
    return write


def peer(solver, k):
    return f"""
import numpy, pandas
from sklearn.decomposition import PCA
began = time.perf_counter()
rows = pandas.read_csv(sys.argv[1], header=None, dtype="float32").to_numpy()
read = time.perf_counter() - began
began = time.perf_counter()
PCA({k}, svd_solver={solver!r}, random_state=0).fit(rows)
tell(read, time.perf_counter() - began)
"""


WORKLOADS = [
    Workload("pca", "200,000 x 100, 20 components", {"feature_dim": 100, "num_components": 20, "mini_batch_size": 1000}, make(200_000, 100),
             peer("auto", 20), "scikit-learn", say="svd_solver=auto, which takes the eigenvalues of the covariance matrix here."),
    Workload("pca", "20,000 x 1,000, 50 components", {"feature_dim": 1000, "num_components": 50, "mini_batch_size": 1000}, make(20_000, 1000),
             peer("auto", 50), "scikit-learn"),
    Workload("pca", "20,000 x 1,000, 50 components, randomized", {"feature_dim": 1000, "num_components": 50, "mini_batch_size": 1000,
             "algorithm_mode": "randomized"}, make(20_000, 1000), peer("randomized", 50), "scikit-learn"),
]
