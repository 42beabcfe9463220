# SPDX-License-Identifier: Apache-2.0
"""LDA: documents from topics."""

import numpy

from speed import Workload


def make(docs, words, topics, length):
    def write(folder, quick):
        draw = numpy.random.default_rng(3)
        beta = draw.dirichlet(numpy.full(words, 0.05), topics)
        mixtures = draw.dirichlet(numpy.full(topics, 1 / topics), max(docs // 20, 100) if quick else docs)
        with open(folder / "train.csv", "w", encoding="ascii") as out:
            for p in mixtures @ beta:
                out.write(",".join(map(str, draw.multinomial(3 + draw.poisson(length), p / p.sum()))) + "\n")
        return {"train": ("text/csv;label_size=0", folder / "train.csv")}
    return write


def peer(topics):
    return f"""
import numpy, pandas, scipy.sparse
from sklearn.decomposition import LatentDirichletAllocation
began = time.perf_counter()
counts = scipy.sparse.csr_matrix(pandas.read_csv(sys.argv[1], header=None, dtype="float32").to_numpy())
read = time.perf_counter() - began
began = time.perf_counter()
LatentDirichletAllocation({topics}, learning_method="batch", n_jobs=-1, random_state=0).fit(counts)
tell(read, time.perf_counter() - began)
"""


WORKLOADS = [
    Workload("lda", f"{docs:,} documents, {words:,} words, {topics} topics", {"num_topics": topics, "feature_dim": words, "mini_batch_size": docs},
             make(docs, words, topics, length), peer(topics), "scikit-learn", say="10 passes of variational Bayes, learning_method=batch, on all cores.")
    for docs, words, topics, length in ((5000, 1000, 10, 80), (5000, 5000, 50, 150))
]
