# SPDX-License-Identifier: Apache-2.0
"""LDA beside scikit-learn and gensim, on documents whose topics are known."""

import importlib.metadata

import numpy
import pytest
from gensim.models import LdaModel
from scipy import optimize
from sklearn.decomposition import LatentDirichletAllocation

from lab import csv

SKLEARN, GENSIM = (f"{name} {importlib.metadata.version(name)}" for name in ("scikit-learn", "gensim"))


def library(docs, words, k, length, alpha0, seed):
    """Documents by word counts, half of each of the last 200 apart, and the topics that they are of."""
    draw = numpy.random.default_rng(seed)
    beta = draw.dirichlet(numpy.full(words, 0.05), k)
    mixtures = draw.dirichlet(numpy.full(k, alpha0 / k), docs + 200)
    counts = numpy.array([draw.multinomial(3 + draw.poisson(length), p / p.sum()) for p in mixtures @ beta])
    train, held = counts[:docs], counts[docs:]
    seen = draw.binomial(held, 0.5)
    return train, seen, held - seen, beta


def distance(found, beta):
    """The mean L1 distance of topics, matched one by one; 2 at the most."""
    all_of_them = numpy.abs(found[:, None] - beta[None]).sum(2)
    rows, columns = optimize.linear_sum_assignment(all_of_them)
    return all_of_them[rows, columns].mean()


def completion(mixtures, beta, rest):
    """The mean log likelihood of the words of the other halves of documents."""
    return (rest * numpy.log(numpy.maximum(mixtures @ beta, 1e-12))).sum() / rest.sum()


def artifact(model):
    """alpha and beta of model_algo-1, a list of two MXNet arrays."""
    b = (model.dir / "model_algo-1").read_bytes()
    k = int(numpy.frombuffer(b, "<u8", 1, 24 + 12)[0])
    alpha = numpy.frombuffer(b, "<f4", k, 24 + 32)
    second = 24 + 32 + 4 * k
    shape = numpy.frombuffer(b, "<u8", 2, second + 12).astype(int)
    return alpha, numpy.frombuffer(b, "<f4", shape.prod(), second + 40).reshape(shape)


@pytest.mark.parametrize("docs, words, k, length, alpha0", [(600, 300, 6, 60, 1.0), (400, 600, 8, 80, 0.5)])
def test_topics(train, record, docs, words, k, length, alpha0):
    counts, seen, rest, truth = library(docs, words, k, length, alpha0, docs)
    model = train("lda", {"num_topics": k, "feature_dim": words, "mini_batch_size": docs, "alpha0": alpha0},
                  {"train": ("text/csv;label_size=0", csv(counts)), "test": ("text/csv;label_size=0", csv(rest))})
    alpha, beta = artifact(model)
    assert abs(alpha.sum() - alpha0) < 1e-4 and numpy.allclose(beta.sum(1), 1, atol=1e-4)
    assert numpy.isfinite(float(model.line("test pwll <score>=")))
    mixtures = numpy.array([p["topic_mixture"] for p in model.predict(seen)])
    what = f"{docs} documents, {words} words, {k} topics"
    tried = LatentDirichletAllocation(k, doc_topic_prior=alpha0 / k, random_state=0).fit(counts)
    theirs = tried.components_ / tried.components_.sum(1, keepdims=True)
    record("LDA", what, "L1 distance of topics", SKLEARN, distance(theirs, truth), distance(beta, truth), 0.02, "topics of few words are guessed")
    record("LDA", what, "log likelihood of a held-out word", SKLEARN, completion(tried.transform(seen), theirs, rest), completion(mixtures, beta, rest), 0.01,
           "200 documents", higher=True)
    bags = [[(w, int(n)) for w, n in enumerate(row) if n] for row in counts]
    tried = LdaModel(bags, num_topics=k, id2word={w: str(w) for w in range(words)}, alpha=[alpha0 / k] * k, passes=5, random_state=0)
    theirs = tried.get_topics()
    record("LDA", what, "L1 distance of topics", GENSIM, distance(theirs, truth), distance(beta, truth), 0.02, "topics of few words are guessed")
