# SPDX-License-Identifier: Apache-2.0
"""HyperparameterTuner of the SageMaker Python SDK v3, unmodified."""

import re

from support import example


def test_tuner(server):
    output = example.run(server, "sdk3", ["python", "examples/sdk3_tuning.py"], limit=600)
    table = re.findall(r"^\d+ +([\d.e-]+) +([\d.]+) +([\d.]+) +(Completed|Stopped)$", output, re.M)
    assert len(table) == 9 and float(table[0][2]) == min(float(row[2]) for row in table), output[-3000:]
    assert re.search(r"^best: \S+-\d{3}-[0-9a-f]{8}$", output, re.M)
    assert re.search(r"^grid: 2 jobs; best \S+-\d{3}-[0-9a-f]{8}$", output, re.M), output[-3000:]
