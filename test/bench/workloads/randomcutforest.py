# SPDX-License-Identifier: Apache-2.0
"""Random Cut Forest: a forest, and scores of many rows."""

import numpy

from speed import Workload


def make(trained, scored):
    def write(folder, quick):
        draw = numpy.random.default_rng(3)
        mix = draw.standard_normal((10, 10))
        for name, n in (("train", trained), ("test", scored)):
            n = max(n // 20, 20) if quick else n
            rows, odd = draw.standard_normal((n, 10)) @ mix, draw.random(n) < 0.01
            rows[odd] *= 4
            numpy.savetxt(folder / f"{name}.csv", numpy.column_stack([odd, rows] if name == "test" else [rows]), fmt="%.6g", delimiter=",")
        return {"train": ("text/csv;label_size=0", folder / "train.csv", "ShardedByS3Key"), "test": ("text/csv;label_size=1", folder / "test.csv")}
    return write


READ = """
import numpy, pandas
began = time.perf_counter()
test, train = (pandas.read_csv(path, header=None, dtype="float32").to_numpy() for path in sys.argv[1:3])
read = time.perf_counter() - began
began = time.perf_counter()
"""

WORKLOADS = [
    Workload("randomcutforest", "50 trees of 256, and scores of 100 rows", {"feature_dim": 10, "num_trees": 50}, make(20_000, 100), READ + """
import rrcf
draw, trees = numpy.random.default_rng(0), []
for _ in range(50):
    some = draw.choice(len(train), 256, replace=False)
    trees.append(rrcf.RCTree(train[some], index_labels=some))
for row in test[:, 1:]:
    for tree in trees:
        tree.insert_point(row, index=-1)
        tree.codisp(-1)
        tree.forget_point(-1)
tell(read, time.perf_counter() - began)
""", "rrcf", say="rrcf is the public implementation of the paper, in Python."),
    Workload("randomcutforest", "100 trees of 256, and scores of 100,000 rows", {"feature_dim": 10, "num_trees": 100}, make(100_000, 100_000), READ + """
from sklearn.ensemble import IsolationForest
scores = IsolationForest(n_estimators=100, max_samples=256, random_state=0, n_jobs=-1).fit(train).score_samples(test[:, 1:])
tell(read, time.perf_counter() - began)
""", "scikit-learn", say="IsolationForest is a simpler forest, with trees cut off at depth 8 and no boxes to compare with."),
]
