# SPDX-License-Identifier: Apache-2.0
"""Answers word by word: a request is a line of words, the answer has a part for
each, a tenth of a second apart. "break" in place of a word is an error there."""

import time


def model_fn(model_dir):
    return str.upper


def input_fn(body, content_type):
    return body.split() if isinstance(body, str) else body.decode("utf-8").split()


def predict_fn(words, model):
    for at, word in enumerate(words):
        if at:
            time.sleep(0.1)
        if word == "break":
            raise ValueError("no word follows")
        yield model(word) + "\n"
