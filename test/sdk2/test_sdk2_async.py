# SPDX-License-Identifier: Apache-2.0
"""Asynchronous endpoints with the SageMaker Python SDK v2, unmodified."""

from support import example


def test_the_asynchronous_example(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_async.py"])
    assert example.accuracy(output) > 0.93
    assert "refused: Model returned error: " in output
    example.nothing_is_left(server)
