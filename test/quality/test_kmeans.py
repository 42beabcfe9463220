# SPDX-License-Identifier: Apache-2.0
"""k-means beside scikit-learn's, which tries ten times with all rows in memory."""

import importlib.metadata

import numpy
import pytest
from sklearn import cluster, datasets

from lab import csv

LIBRARY = f"scikit-learn {importlib.metadata.version('scikit-learn')}"


def blobs():
    """Thirty clusters of different sizes and spreads, some of which touch."""
    draw = numpy.random.default_rng(1)
    spread = draw.uniform(0.5, 1.5, 30)
    return datasets.make_blobs(10_000, 8, centers=30, cluster_std=spread, center_box=(-8, 8), random_state=2)[0], 30


def digits():
    rows = datasets.load_digits().data
    return rows[numpy.random.default_rng(3).permutation(len(rows))], 10


def higgs():
    """Like the Higgs data: 28 features that hang together, skewed and folded, and no clusters to be seen."""
    draw = numpy.random.default_rng(4)
    rows = draw.normal(size=(10_000, 28)) @ draw.normal(size=(28, 28)) / numpy.sqrt(28)
    rows[:, ::3] = numpy.exp(rows[:, ::3] / 2)
    rows[:, 1::5] = numpy.abs(rows[:, 1::5])
    return rows, 12


def far():
    """Clusters that are small beside their distance from 0, in the order of their labels."""
    rows, labels = datasets.make_blobs(5000, 3, centers=8, cluster_std=0.01, center_box=(-0.5, 0.5), random_state=5)
    return rows[numpy.argsort(labels)] + 1000, 8


@pytest.mark.parametrize("data", [blobs, digits, higgs, far])
def test_distance(train, record, data):
    rows, k = data()
    rows = rows.astype("float32").astype("float64")
    order = numpy.random.default_rng(6).permutation(len(rows))
    held = numpy.sort(order[:len(rows) // 5])
    kept = numpy.sort(order[len(rows) // 5:])
    model = train("kmeans", {"feature_dim": rows.shape[1], "k": k, "mini_batch_size": 2000},
                  {"train": ("text/csv;label_size=0", csv(rows[kept])), "test": ("text/csv;label_size=0", csv(rows[held]))})
    theirs = cluster.KMeans(k, n_init=10, random_state=0).fit(rows[kept])
    answers = model.predict(rows[held])
    ours = numpy.mean([p["distance_to_cluster"] ** 2 for p in answers])
    told = float(model.line("test msd <loss>="))
    assert told == pytest.approx(ours, rel=1e-3)
    record("k-means", f"{data.__name__}: {len(kept)} x {rows.shape[1]}, k={k}", "mean squared distance of rows held out", LIBRARY,
           numpy.mean(theirs.transform(rows[held]).min(axis=1) ** 2), ours, 0.02, "one try, by mini-batches, beside the best of ten", relative=True)
