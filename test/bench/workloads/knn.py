# SPDX-License-Identifier: Apache-2.0
"""k-NN: an index of 100,000 rows, and the predictions of 10,000."""

import numpy

from speed import Workload


def write(folder, quick):
    draw = numpy.random.default_rng(3)
    at = draw.standard_normal((20, 50)) / 2
    for name, n in (("train", 100_000), ("test", 10_000)):
        n = n // 20 if quick else n
        labels = draw.integers(0, 20, n)
        numpy.savetxt(folder / f"{name}.csv", numpy.column_stack([labels, at[labels] + draw.standard_normal((n, 50))]), fmt="%.6g", delimiter=",")
    return {"train": ("text/csv", folder / "train.csv"), "test": ("text/csv", folder / "test.csv")}


def peer(what):
    return f"""
import numpy, pandas
began = time.perf_counter()
test, train = (pandas.read_csv(path, header=None, dtype="float32").to_numpy() for path in sys.argv[1:3])
read = time.perf_counter() - began
rows, labels, asked, truth = (numpy.ascontiguousarray(v) for v in (train[:, 1:], train[:, 0], test[:, 1:], test[:, 0]))
began = time.perf_counter()
{what}
print("accuracy", (said == truth).mean())
tell(read, time.perf_counter() - began)
"""


def index(make, before=""):
    return peer(f"""
import faiss
{before}
index = {make}
index.train(rows)
index.add(rows)
if hasattr(index, "nprobe"):
    index.nprobe = 5
near = labels[index.search(asked, 10)[1]].astype(int)
said = numpy.array([numpy.bincount(row).argmax() for row in near])""")


SKLEARN = "from sklearn.neighbors import KNeighborsClassifier\nsaid = KNeighborsClassifier(10, algorithm='brute', n_jobs=-1).fit(rows, labels).predict(asked)"
COMMON = {"feature_dim": 50, "k": 10, "sample_size": 100_000, "predictor_type": "classifier"}
WORKLOADS = [
    Workload("knn", "100,000 x 50, 10,000 predictions", COMMON, write, peer(SKLEARN), "scikit-learn",
             say="algorithm='brute', which is the faster one: kd_tree takes minutes in 50 dimensions."),
    Workload("knn", "the same, beside faiss", COMMON, write, index("faiss.IndexFlatL2(50)"), "faiss-cpu"),
    Workload("knn", "the same by IVFFlat", {**COMMON, "index_type": "faiss.IVFFlat"}, write, index("faiss.IndexIVFFlat(faiss.IndexFlatL2(50), 50, 316)"), "faiss-cpu"),
    Workload("knn", "the same by IVFPQ", {**COMMON, "index_type": "faiss.IVFPQ", "faiss_index_pq_m": 8}, write,
             index("faiss.IndexIVFPQ(faiss.IndexFlatL2(56), 56, 316, 8, 8)",
                   "rows, asked = (numpy.ascontiguousarray(numpy.pad(v, ((0, 0), (0, 6)))) for v in (rows, asked))"), "faiss-cpu"),
]
