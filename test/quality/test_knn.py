# SPDX-License-Identifier: Apache-2.0
"""k-NN beside scikit-learn's exact search, and its indexes beside faiss, whose files they are."""

import importlib.metadata
import json

import faiss
import numpy
import pytest
from sklearn import datasets, neighbors

from lab import csv

SKLEARN = f"scikit-learn {importlib.metadata.version('scikit-learn')}"
FAISS = f"faiss {faiss.__version__}"
K = 10


def split(rows, labels):
    order = numpy.random.default_rng(1).permutation(len(rows))
    rows, labels, cut = rows[order].astype("float32"), labels[order], len(rows) // 4
    return rows[cut:], labels[cut:], rows[:cut], labels[:cut]


def neighbours(model, rows):
    """Distances and labels of each row's neighbours."""
    said = json.loads(model.ask(csv(rows), accept="application/json; verbose=true"))["predictions"]
    return numpy.array([p["distances"] for p in said]), numpy.array([p["labels"] for p in said])


@pytest.mark.parametrize("metric", ["L2", "COSINE"])
def test_classes(train, record, metric):
    rows, labels, held, truth = split(*datasets.load_digits(return_X_y=True))
    model = train("knn", {"feature_dim": 64, "k": 5, "sample_size": 10_000, "predictor_type": "classifier", "index_metric": metric},
                  {"train": csv(labels, rows), "test": csv(truth, held)})
    theirs = neighbors.KNeighborsClassifier(5, algorithm="brute", metric={"L2": "euclidean", "COSINE": "cosine"}[metric]).fit(rows, labels).predict(held)
    ours = numpy.array([p["predicted_label"] for p in model.predict(held)])
    assert float(model.line("test accuracy <score>=")) == pytest.approx((ours == truth).mean())
    record("k-NN", f"digits, {metric}", "accuracy", SKLEARN, (theirs == truth).mean(), (ours == truth).mean(), 0.003,
           "one row of 449, where two neighbours are equally near", higher=True)


def test_regression(train, record):
    rows, labels, held, truth = split(*datasets.load_diabetes(return_X_y=True))
    model = train("knn", {"feature_dim": 10, "k": K, "sample_size": 10_000, "predictor_type": "regressor"}, {"train": csv(labels, rows), "test": csv(truth, held)})
    theirs = neighbors.KNeighborsRegressor(K, algorithm="brute").fit(rows, labels).predict(held)
    ours = numpy.array([p["predicted_label"] for p in model.predict(held)])
    record("k-NN", "diabetes, regressor", "MSE", SKLEARN, ((theirs - truth) ** 2).mean(), ((ours - truth) ** 2).mean(), 1e-4, "the answers' float32", relative=True)


def cloud(n, held):
    draw = numpy.random.default_rng(2)
    at = draw.normal(size=(50, 24)) / 3
    return [(at[draw.integers(0, 50, m)] + draw.normal(size=(m, 24)) @ numpy.diag(1 / numpy.sqrt(1 + numpy.arange(24)))).astype("float32") for m in (n, held)]


@pytest.mark.parametrize("kind, metric", [("faiss.Flat", "L2"), ("faiss.IVFFlat", "L2"), ("faiss.IVFFlat", "INNER_PRODUCT"), ("faiss.IVFPQ", "L2")])
def test_index(train, record, kind, metric):
    """Recall of the true neighbours is that of faiss with as many lists, and either program answers from the other's file."""
    rows, asked = cloud(10_000, 400)
    d, lists, inner = 24, 100, metric == "INNER_PRODUCT"
    # The label of a row is its number, which tells who the neighbours are.
    model = train("knn", {"feature_dim": d, "k": K, "sample_size": len(rows), "predictor_type": "regressor", "index_type": kind, "index_metric": metric,
                          **({"faiss_index_pq_m": 8} if kind == "faiss.IVFPQ" else {})}, {"train": csv(numpy.arange(len(rows)), rows)})
    exact = faiss.IndexFlatIP(d) if inner else faiss.IndexFlatL2(d)
    exact.add(rows)
    true = exact.search(asked, K)[1]
    coarse = faiss.IndexFlatIP(d) if inner else faiss.IndexFlatL2(d)
    theirs = {"faiss.Flat": lambda: exact, "faiss.IVFPQ": lambda: faiss.IndexIVFPQ(coarse, d, lists, 8, 8),
              "faiss.IVFFlat": lambda: faiss.IndexIVFFlat(coarse, d, lists, faiss.METRIC_INNER_PRODUCT if inner else faiss.METRIC_L2)}[kind]()
    if kind != "faiss.Flat":
        theirs.train(rows)
        theirs.add(rows)
        theirs.nprobe = 5

    def recall(found):
        return numpy.mean([len(set(a) & set(b)) / K for a, b in zip(found, true)])

    distances, found = neighbours(model, asked)
    record("k-NN", f"{kind}, {metric}: 10,000 x 24", f"recall@{K}", FAISS, recall(theirs.search(asked, K)[1]), recall(found), 0.02,
           "lists and books are of other random starts", higher=True)

    # faiss reads what we wrote, and finds the same.
    path = str(model.dir / "model_algo-1")
    read = faiss.read_index(path)
    assert read.ntotal == len(rows) and getattr(read, "nprobe", 5) == 5
    again, same = read.search(asked, K)
    assert (same == found).mean() > 0.995
    numpy.testing.assert_allclose(again, distances, rtol=1e-3, atol=1e-3)

    # We read what faiss wrote.
    model.close()
    model.process = None
    faiss.write_index(theirs, path)
    again, same = theirs.search(asked, K)
    distances, found = neighbours(model, asked)
    assert (same == found).mean() > 0.995
    numpy.testing.assert_allclose(again, distances, rtol=1e-3, atol=1e-3)
