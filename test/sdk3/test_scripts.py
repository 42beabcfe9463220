# SPDX-License-Identifier: Apache-2.0
"""Users' own code with the SageMaker Python SDK v3, unmodified."""

import re

from support import example


def test_script_by_trainer_and_processor(server):
    output = example.run(server, "sdk3", ["python", "examples/sdk3_script.py"], limit=600)
    assert re.search(r"oob_accuracy=0\.9\d+", output), "the script's own output is shown"
    assert re.search(r"model: s3://\S+/model\.tar\.gz", output)
    assert "processing sees 569 rows" in output
