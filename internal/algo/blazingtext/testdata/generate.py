# SPDX-License-Identifier: Apache-2.0
"""Writes the models of this folder and what fastText 0.9.2 says of them:

    .venv/quality/bin/python internal/algo/blazingtext/testdata/generate.py
"""

import json
import pathlib
import random
import tempfile

import fasttext

here = pathlib.Path(__file__).parent
random.seed(1)
topics = {"sport": "ball team goal play win score", "food": "bread soup salt oven meal köche", "space": "star moon orbit rocket sun planet"}
with tempfile.TemporaryDirectory() as folder:
    text = pathlib.Path(folder, "text")
    with text.open("w", encoding="utf-8") as f:
        for i in range(400):
            label, words = random.choice(list(topics.items()))
            f.write(f"__label__{label} {' '.join(random.choices(words.split() + 'the a of and'.split(), k=6))} n{i % 90}\n")
    common = {"input": str(text), "dim": 5, "epoch": 20, "lr": 0.3, "minCount": 1, "thread": 1, "verbose": 0}
    texts = ["the ball of the team", "a rocket and the köche", "nothing known here", "", "soup moon", "n3 n4 __label__food"]
    expected = {}
    for name, how in {
        "softmax.bin": {"wordNgrams": 2, "bucket": 60},
        "tree.bin": {"loss": "hs"},
        "each.bin": {"loss": "ova", "minn": 2, "maxn": 3, "bucket": 50},
        "whole.ftz": {"wordNgrams": 2, "bucket": 300, "dim": 4},
        "pruned.ftz": {"wordNgrams": 3, "bucket": 900, "dim": 3},
    }.items():
        m = fasttext.train_supervised(**{**common, **how})
        if name == "whole.ftz":
            m.quantize()
        elif name == "pruned.ftz":
            m.quantize(input=str(text), cutoff=300, qnorm=True, retrain=True, epoch=1, lr=0.1, thread=1, verbose=0)
        m.save_model(str(here / name))
        expected[name] = {t: {label: p for p, label in m.f.predict(t + "\n", 3, 0.0, "strict")} for t in texts}
    m = fasttext.train_unsupervised(str(text), model="cbow", minn=2, maxn=3, bucket=70, **{k: v for k, v in common.items() if k not in ("input", "lr")})
    m.save_model(str(here / "subwords.bin"))
    expected["subwords.bin"] = {w: [float(x) for x in m.get_word_vector(w)] for w in ("ball", "köche", "balls", "köchin", "日本", "</s>", "x")}
    (here / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
