# SPDX-License-Identifier: Apache-2.0
"""HyperparameterTuner of the SageMaker Python SDK v2, unmodified."""

import re

import pytest

from support import example


def test_tuner(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_tuning.py"], limit=600)
    table = re.findall(r"^\d+ +([\d.e-]+) +([\d.]+) +([\d.]+) +([\d.]+) +(Completed|Stopped)$", output, re.M)
    assert len(table) == 10 and float(table[0][3]) == min(float(row[3]) for row in table), output[-3000:]
    best = re.search(r"^best: (\S+) (\{.*\})$", output, re.M)
    assert re.search(r"-\d{3}-[0-9a-f]{8}$", best.group(1)) and float(re.search(r"'eta': '([\d.e-]+)'", best.group(2)).group(1)) == pytest.approx(float(table[0][0]), rel=1e-3)
    assert f"attached: {best.group(1)} ['CategoricalParameterRanges', 'ContinuousParameterRanges', 'IntegerParameterRanges'] ml.m5.xlarge" in output, output[-3000:]
    after, before = map(float, re.search(r"^after a warm start: ([\d.]+) before: ([\d.]+)$", output, re.M).groups())
    assert after <= before * 1.05
    assert re.search(r"^grid: 4 jobs; best (gini|entropy|\"gini\"|\"entropy\")$", output, re.M), output[-3000:]
    assert re.search(r"^model: s3://\S+/breast-cancer/output/%s/output/model.tar.gz$" % best.group(1), output, re.M)
