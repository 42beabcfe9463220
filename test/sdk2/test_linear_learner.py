# SPDX-License-Identifier: Apache-2.0
"""LinearLearner of the SageMaker Python SDK v2, unmodified: records to and fro."""

import re

from support import example


def test_arrays_in_and_records_out(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_linear_learner.py"])
    assert re.search(r"Completed - Training job completed", output)
    assert re.search(r"#quality_metric: host=algo-1, epoch=0, validation binary_classification_cross_entropy_objective <loss>=\S+", output)
    assert example.accuracy(output) > 0.93
    example.nothing_is_left(server)
