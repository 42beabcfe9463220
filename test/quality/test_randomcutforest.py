# SPDX-License-Identifier: Apache-2.0
"""Random Cut Forest beside rrcf, the public implementation of the paper, and scikit-learn's isolation forest."""

import importlib.metadata

import numpy
import pytest
import rrcf
from sklearn import datasets, ensemble, metrics, preprocessing

from lab import csv

LIBRARY = f"rrcf {importlib.metadata.version('rrcf')}"
TREES, SAMPLES = 100, 256


def cancer():
    """Benign rows, and a few malignant ones among them."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    x = preprocessing.scale(x)
    rows = numpy.concatenate([x[y == 1], x[y == 0][:20]])
    return rows, numpy.repeat([0, 1], [(y == 1).sum(), 20])


def digits():
    """Zeros and sixes, and a few ones among them."""
    x, y = datasets.load_digits(return_X_y=True)
    usual, odd = x[(y == 0) | (y == 6)], x[y == 1][:15]
    return numpy.concatenate([usual, odd]), numpy.repeat([0, 1], [len(usual), len(odd)])


def rings():
    """Points on a ring, and a few inside of it."""
    draw = numpy.random.default_rng(5)
    a = draw.uniform(0, 2 * numpy.pi, 2000)
    ring = numpy.column_stack([numpy.cos(a), numpy.sin(a)]) * draw.normal(1, 0.05, (2000, 1))
    return numpy.concatenate([ring, draw.normal(0, 0.15, (30, 2))]), numpy.repeat([0, 1], [2000, 30])


def displacement(rows):
    """The mean collusive displacement of each row over the trees of rrcf that hold it."""
    draw, total, seen = numpy.random.default_rng(0), numpy.zeros(len(rows)), numpy.zeros(len(rows))
    for _ in range(TREES):
        some = draw.choice(len(rows), min(SAMPLES, len(rows)), replace=False)
        tree = rrcf.RCTree(rows[some], index_labels=some)
        for i in some:
            total[i] += tree.codisp(i)
            seen[i] += 1
    return total / numpy.maximum(seen, 1)


@pytest.mark.parametrize("data", [cancer, digits, rings])
def test_anomalies(train, record, data):
    rows, odd = data()
    model = train("randomcutforest", {"feature_dim": rows.shape[1], "num_trees": TREES, "num_samples_per_tree": SAMPLES},
                  {"train": ("text/csv;label_size=0", csv(rows), "ShardedByS3Key"), "test": ("text/csv;label_size=1", csv(odd, rows))})
    ours = metrics.roc_auc_score(odd, [p["score"] for p in model.predict(rows)])
    record("Random Cut Forest", f"{data.__name__}: {len(rows)} rows, {odd.sum()} odd", "AUC", LIBRARY,
           metrics.roc_auc_score(odd, displacement(rows)), ours, 0.02, "both draw samples; the scores are two views of the same trees", higher=True)
    forest = ensemble.IsolationForest(n_estimators=TREES, max_samples=min(SAMPLES, len(rows)), random_state=0).fit(rows)
    record("Random Cut Forest", f"{data.__name__}: {len(rows)} rows, {odd.sum()} odd", "AUC", "scikit-learn's IsolationForest",
           metrics.roc_auc_score(odd, -forest.score_samples(rows)), ours, 0.05, "another method: cuts regardless of the sides of the box", higher=True)
