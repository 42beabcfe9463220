# SPDX-License-Identifier: Apache-2.0
"""BlazingText: a classifier of text, and word vectors."""

import numpy

from speed import Workload


def make(lines, words, topics, size, labels=False):
    """Text whose words are as frequent as those of a language (Zipf), and some are of the line's topic, which has size of its own."""
    def write(folder, quick):
        draw, n = numpy.random.default_rng(3), max(lines // 20, 1000) if quick else lines
        names = numpy.array([f"w{i * 2654435761 % 2**32:x}" for i in range(words)], dtype=object)
        shares = numpy.cumsum(1 / numpy.arange(1, words + 1) ** 1.05)
        own = draw.integers(0, words, (topics, size))
        with (folder / "train.txt").open("w", encoding="ascii") as out:
            for at in range(0, n, 5000):
                lengths = draw.integers(20, 60, min(5000, n - at))
                topic = draw.integers(0, topics, len(lengths))
                ids = numpy.searchsorted(shares, draw.random(lengths.sum()) * shares[-1])
                mine = draw.random(len(ids)) < 0.12
                ids[mine] = own[numpy.repeat(topic, lengths)[mine], draw.integers(0, size, mine.sum())]
                text, end = names[ids], 0
                for t, length in zip(topic.tolist(), lengths.tolist()):
                    out.write((f"__label__{t} " if labels else "") + " ".join(text[end:end + length]) + "\n")
                    end += length
        return {"train": ("text/plain", folder / "train.txt")}
    return write


def peer(call):
    return f"""
began = time.perf_counter()
import fasttext
model = {call}
model.save_model(sys.argv[1] + ".bin")
tell(0, time.perf_counter() - began)
"""


WORKLOADS = [
    Workload("blazingtext", "supervised, 200,000 lines (75 MB), 14 labels", {"mode": "supervised"}, make(200_000, 100_000, 14, 300, labels=True),
             peer("fasttext.train_supervised(sys.argv[1], dim=100, epoch=5, lr=0.05, wordNgrams=2, minCount=5, bucket=2000000, thread=2, verbose=0)"), "fasttext-wheel",
             say="fastText 0.9.2 with the same parameters and two threads; both write their model. It reads the text while it trains."),
    Workload("blazingtext", "skipgram, 200,000 lines (75 MB), one epoch", {"mode": "skipgram", "epochs": 1}, make(200_000, 60_000, 50, 2000),
             peer("fasttext.train_unsupervised(sys.argv[1], model='skipgram', dim=100, epoch=1, lr=0.05, minCount=5, minn=0, maxn=0, bucket=0, thread=2, verbose=0)"),
             "fasttext-wheel", times=1),
]
