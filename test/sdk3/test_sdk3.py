# SPDX-License-Identifier: Apache-2.0
"""The SageMaker Python SDK v3, unmodified."""

import re

from support import example


def test_trainer_and_builder(server):
    output = example.run(server, "sdk3", ["python", "examples/sdk3_xgboost.py"])
    rounds = re.findall(r"\[(\d+)\]#011train-auc:[\d.]+#011validation-auc:[\d.]+", output)
    assert sorted(set(map(int, rounds))) == list(range(50)), "the log is shown"
    assert example.accuracy(output) > 0.93
    example.nothing_is_left(server)
