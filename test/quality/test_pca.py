# SPDX-License-Identifier: Apache-2.0
"""PCA beside scikit-learn."""

import importlib.metadata

import numpy
import pytest
from sklearn import datasets, decomposition

from lab import csv

LIBRARY = f"scikit-learn {importlib.metadata.version('scikit-learn')}"


def digits():
    return datasets.load_digits(return_X_y=True)[0]


def cancer():
    return datasets.load_breast_cancer(return_X_y=True)[0]


def slow():
    """Variances that fall slowly, which is hard for a sketch."""
    draw = numpy.random.default_rng(1)
    turn = numpy.linalg.qr(draw.standard_normal((120, 120)))[0]
    return draw.standard_normal((3000, 120)) / numpy.sqrt(1 + numpy.arange(120)) @ turn + 10


def explained(model, rows, k):
    """How much variance the projection keeps, as its answers say it."""
    projected = numpy.array([p["projection"] for p in model.predict(rows)])
    assert projected.shape == (len(rows), k)
    variances = projected.var(axis=0, ddof=1)
    assert (numpy.diff(variances) >= -1e-4 * variances[1:]).all(), "the largest component is not the last"
    return variances


@pytest.mark.parametrize("data", [digits, cancer, slow])
@pytest.mark.parametrize("mode", ["regular", "randomized"])
def test_explained_variance(train, record, data, mode):
    rows, k = data().astype(numpy.float32), 10
    model = train("pca", {"feature_dim": rows.shape[1], "num_components": k, "mini_batch_size": 500, "algorithm_mode": mode},
                  {"train": ("text/csv;label_size=0", csv(rows))})
    theirs = decomposition.PCA(k, svd_solver="full").fit(rows.astype(numpy.float64))
    ours = explained(model, rows, k)
    record("PCA", f"{data.__name__}: {rows.shape[0]} x {rows.shape[1]}, {mode}", f"variance of {k} components", LIBRARY, theirs.explained_variance_.sum(),
           ours.sum(), 1e-4 if mode == "regular" else 0.01, "numbers of 32 bits" if mode == "regular" else "a sketch is compared with the exact solution",
           higher=True, relative=True)
    if mode == "regular":  # each of them, and their directions
        assert numpy.allclose(ours[::-1], theirs.explained_variance_, rtol=1e-3)
        projected = numpy.array([p["projection"] for p in model.predict(rows[:50])])[:, ::-1]
        wanted = theirs.transform(rows[:50])
        assert numpy.abs(numpy.abs(projected) - numpy.abs(wanted)).max() < 1e-2 * numpy.abs(wanted).max()
