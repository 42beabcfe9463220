# SPDX-License-Identifier: Apache-2.0
"""Factorization Machines on data drawn from one, and beside scikit-learn with all products of two features."""

import importlib.metadata
import struct

import numpy
import pytest
import scipy.sparse
from sklearn import linear_model, metrics, preprocessing

from support.records import message, varint

LIBRARY = f"scikit-learn {importlib.metadata.version('scikit-learn')}"


def sparse(keys, dim, label):
    """A RecordIO-protobuf record of ones at keys."""
    def entry(number, tensor):
        return message(number, message(1, b"values") + message(2, message(2, tensor)))
    record = entry(1, message(1, struct.pack(f"<{len(keys)}f", *[1] * len(keys))) + message(2, b"".join(map(varint, keys))) + message(3, varint(dim)))
    record += entry(2, message(1, struct.pack("<f", label)))
    return struct.pack("<II", 0xCED7230A, len(record)) + record + bytes(-len(record) % 4)


def channel(keys, dim, y):
    return "application/x-recordio-protobuf", b"".join(sparse(k, dim, label) for k, label in zip(keys.tolist(), y.tolist()))


def ratings(users, films, rows, factors=3):
    """Pairs of users and films, and the score that a machine with so many factors gives them."""
    draw = numpy.random.default_rng(0)
    user, film = draw.integers(0, users, rows), draw.zipf(1.3, rows) % films
    score = (draw.normal(0, 0.6, (users, factors))[user] * draw.normal(0, 0.6, (films, factors))[film]).sum(1)
    score += draw.normal(0, 0.3, users)[user] + draw.normal(0, 0.3, films)[film]
    return numpy.column_stack([user, users + film]), score, draw


def test_regression_comes_near_the_noise(train, record):
    keys, score, draw = ratings(200, 100, 40_000)
    y, cut = 3.5 + score + draw.normal(0, 0.3, len(score)), 35_000
    ours = train("factorization-machines", {"predictor_type": "regressor", "feature_dim": 300, "num_factors": 3, "epochs": 60, "mini_batch_size": 1000,
                                            "linear_lr": 0.005, "factors_lr": 0.005, "linear_wd": 0.00001, "factors_init_sigma": 0.1},
                 {"train": channel(keys[:cut], 300, y[:cut]), "test": channel(keys[cut:], 300, y[cut:])})
    record("Factorization Machines", "35,000 ratings by a machine of 3 factors", "RMSE", "the noise in the data", 0.3,
           ours.line("test rmse <loss>="), 0.015, "900 factors are estimated")


def test_classes_beside_all_products(train, record):
    keys, score, draw = ratings(40, 30, 12_000)
    y, cut = (draw.random(len(score)) < 1 / (1 + numpy.exp(-3 * score))).astype(int), 9_000
    ours = train("factorization-machines", {"predictor_type": "binary_classifier", "feature_dim": 70, "num_factors": 3, "epochs": 30, "mini_batch_size": 200,
                                            "linear_lr": 0.01, "factors_lr": 0.01, "factors_init_sigma": 0.1},
                 {"train": channel(keys[:cut], 70, y[:cut]), "test": channel(keys[cut:], 70, y[cut:])})
    one_hot = scipy.sparse.csr_array((numpy.ones(keys.size), keys.ravel(), numpy.arange(0, keys.size + 1, 2)), shape=(len(y), 70))
    products = preprocessing.PolynomialFeatures(interaction_only=True, include_bias=False).fit_transform(one_hot)
    theirs = linear_model.LogisticRegression(max_iter=500).fit(products[:cut], y[:cut])
    record("Factorization Machines", "9,000 pairs of 40 users and 30 films", "cross entropy", f"LogisticRegression of all products, {LIBRARY}",
           metrics.log_loss(y[cut:], theirs.predict_proba(products[cut:])[:, 1]), ours.line("test binary_classification_cross_entropy <loss>="), 0,
           "it has fewer weights than products")


def test_answers_are_those_of_the_formula(train):
    keys, score, _ = ratings(20, 10, 2_000)
    ours = train("factorization-machines", {"predictor_type": "regressor", "feature_dim": 30, "num_factors": 2, "epochs": 5, "factors_init_sigma": 0.5},
                 {"train": channel(keys, 30, score)})
    zero = ours.predict(numpy.zeros((1, 30)))[0]["score"]
    one = [p["score"] - zero for p in ours.predict(numpy.eye(30))]
    pairs, rows = ((1, 22), (4, 25), (7, 29)), numpy.zeros((3, 30))
    for row, pair in zip(rows, pairs):
        row[list(pair)] = (2, -1.5)
    ones = (rows != 0).astype(float)
    for scaled, plain, (a, b) in zip(ours.predict(rows), ours.predict(ones), pairs):
        product = plain["score"] - zero - one[a] - one[b]
        assert scaled["score"] == pytest.approx(zero + 2 * one[a] - 1.5 * one[b] - 3 * product, abs=1e-4)
