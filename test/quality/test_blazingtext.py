# SPDX-License-Identifier: Apache-2.0
"""BlazingText beside fastText, whose parameters it has: labels of sentences, and words of one topic."""

import importlib
import inspect
import json
import re

import fasttext
import numpy
import pytest
from gensim.models import KeyedVectors

LIBRARY = "fastText 0.9.2"
MODULES = ("argparse ast asyncio calendar collections datetime decimal difflib email fractions heapq http ipaddress json logging mailbox "
           "multiprocessing os pathlib pickle random re shutil socket sqlite3 statistics string subprocess tarfile tempfile threading tokenize "
           "turtle unittest urllib.request xml.dom.minidom zipfile").split()


def sentences():
    """Sentences of the docstrings of Python's library, labelled with their module."""
    found = {}
    for name in MODULES:
        module, todo = importlib.import_module(name), []
        todo += [m for m in vars(module).values() if str(getattr(m, "__module__", "")).split(".")[0] == name.split(".")[0]]
        todo += [m for c in list(todo) if inspect.isclass(c) for m in vars(c).values()]
        for doc in map(inspect.getdoc, [module, *todo]):
            for text in re.split(r"[.:;]\s|\n\n", doc or ""):
                words = re.findall(r"[a-z]+", text.lower())
                if len(words) >= 5:
                    found.setdefault(" ".join(words), name)
    lines = [f"__label__{label} {text}" for text, label in sorted(found.items())]
    numpy.random.default_rng(0).shuffle(lines)
    return lines


def generated(n, labels, seed):
    """Lines of which some words hang on the label, and those around them on nothing."""
    draw = numpy.random.default_rng(seed)
    names = numpy.array([f"w{i * 7919 % 100003}" for i in range(20_000)])
    own = numpy.random.default_rng(1).integers(0, len(names), (labels, 300))
    lines = []
    for label in draw.integers(0, labels, n).tolist():
        common = numpy.minimum(draw.zipf(1.2, 25), len(names)) - 1
        lines.append(f"__label__{label} " + " ".join(names[numpy.where(draw.random(25) < 0.12, own[label][draw.integers(0, 300, 25)], common)]))
    return lines


def text(lines):
    return "text/plain", "".join(line + "\n" for line in lines).encode()


def parted(line):
    return re.match(r"(__label__\S+) (.*)", line).groups()


def accuracies(train, tmp_path, lines, held, rate, epochs, dim):
    """fastText's accuracy, the mean of three seeds, and that of ours, by the answers of the endpoint. The two models too."""
    truth, texts = zip(*map(parted, held))
    (tmp_path / "train.txt").write_bytes(text(lines)[1])
    theirs = []
    for seed in range(3):
        model = fasttext.train_supervised(str(tmp_path / "train.txt"), dim=dim, epoch=epochs, lr=rate, wordNgrams=2, minCount=2, bucket=100_000, thread=1, verbose=0,
                                          seed=seed)
        theirs.append(numpy.mean([model.f.predict(t + "\n", 1, 0.0, "strict")[0][1] == label for t, label in zip(texts, truth)]))
    ours = train("blazingtext", {"mode": "supervised", "vector_dim": dim, "epochs": epochs, "learning_rate": rate, "word_ngrams": 2, "min_count": 2,
                                 "buckets": 100_000}, {"train": text(lines), "validation": text(held)})
    answers = json.loads(ours.ask(json.dumps({"instances": texts}), "application/json"))
    right = numpy.mean([a["label"][0] == label for a, label in zip(answers, truth)])
    assert abs(right - float(ours.line("#validation_accuracy: "))) < 1e-4
    return numpy.mean(theirs), right, ours, dict(zip(texts, answers))


def test_docstrings(train, record, tmp_path):
    lines = sentences()
    held = len(lines) // 4
    theirs, right, ours, answers = accuracies(train, tmp_path, lines[held:], lines[:held], 0.5, 15, 50)
    record("BlazingText", f"{len(lines)} sentences of the docstrings of {len(MODULES)} Python modules, supervised", "accuracy", LIBRARY, theirs, right, 0.01,
           "the draws differ", higher=True)
    loaded = fasttext.load_model(str(ours.dir / "model.bin"))
    for t, a in list(answers.items())[:200]:
        probability, label = loaded.f.predict(t + "\n", 1, 0.0, "strict")[0]
        assert label == a["label"][0] and abs(probability - a["prob"][0]) < 5e-5  # fastText adds 1e-5


def test_generated(train, record, tmp_path):
    theirs, right, _, _ = accuracies(train, tmp_path, generated(12_000, 14, 2), generated(3000, 14, 3), 0.5, 10, 50)
    record("BlazingText", "12,000 generated lines with 14 labels, supervised", "accuracy", LIBRARY, theirs, right, 0.01, "the draws differ", higher=True)


TOPICS, WORDS = 30, 60


def topics(n):
    """Lines of words of one topic among words of none."""
    draw = numpy.random.default_rng(4)
    lines = []
    for topic in draw.integers(0, TOPICS, n).tolist():
        own = draw.integers(0, WORDS, 20)
        common = numpy.minimum(draw.zipf(1.2, 20), 2000)
        lines.append(" ".join(f"t{topic}x{o}" if mine else f"c{c}" for o, c, mine in zip(own.tolist(), common.tolist(), draw.random(20) < 0.4)))
    return lines


def together(vector):
    """The share of the five nearest words of each word of a topic that are of the same topic."""
    names = [(t, f"t{t}x{o}") for t in range(TOPICS) for o in range(WORDS)]
    v = numpy.stack([vector(name) for _, name in names])
    v /= numpy.linalg.norm(v, axis=1, keepdims=True) + 1e-9
    of, like = numpy.array([t for t, _ in names]), v @ v.T
    numpy.fill_diagonal(like, -2)
    return numpy.mean(of[numpy.argpartition(-like, 5, axis=1)[:, :5]] == of[:, None])


@pytest.mark.parametrize("mode", ["skipgram", "cbow", "batch_skipgram"])
def test_vectors(train, record, tmp_path, mode):
    lines = topics(10_000)
    (tmp_path / "train.txt").write_bytes(text(lines)[1])
    theirs = fasttext.train_unsupervised(str(tmp_path / "train.txt"), model="cbow" if mode == "cbow" else "skipgram", dim=32, epoch=3, lr=0.05, minCount=1, minn=0, maxn=0,
                                         bucket=0, thread=2, verbose=0)
    ours = train("blazingtext", {"mode": mode, "vector_dim": 32, "epochs": 3, "min_count": 1}, {"train": text(lines)})
    vectors = KeyedVectors.load_word2vec_format(ours.dir / "vectors.txt")
    record("BlazingText", f"10,000 generated lines of {TOPICS} topics, {mode}", "nearest words of the same topic", LIBRARY, together(theirs.get_word_vector),
           together(lambda w: vectors[w]), 0.02, "its threads race, and words are drawn", higher=True)
    loaded = fasttext.load_model(str(ours.dir / "vectors.bin"))
    answer = json.loads(ours.ask('{"instances": ["t1x0", "unheard"]}', "application/json"))
    assert numpy.allclose(answer[0]["vector"], loaded.get_word_vector("t1x0")) and not any(answer[1]["vector"])


def test_subwords(train):
    ours = train("blazingtext", {"mode": "skipgram", "subwords": True, "vector_dim": 20, "epochs": 1, "buckets": 5000}, {"train": text(topics(2000))})
    loaded = fasttext.load_model(str(ours.dir / "vectors.bin"))
    words = ["t1x0", "t1x00", "unheard", "köche"]
    for a in json.loads(ours.ask(json.dumps({"instances": words}), "application/json")):
        assert numpy.allclose(a["vector"], loaded.get_word_vector(a["word"]), atol=1e-6)
