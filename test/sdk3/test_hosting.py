# SPDX-License-Identifier: Apache-2.0
"""Each way of hosting with the SageMaker Python SDK v3, unmodified."""

import re

from support import example

ROWS = 284  # held out, in each of these examples


def right(output, what):
    """The share of held-out rows that are right, of a line that begins with what."""
    found, rows = map(int, re.search(rf"{what}: (\d+) of (\d+) held-out rows are right", output).groups())
    assert rows in (ROWS, 100)
    return found / rows


def configs(server):
    return [c["EndpointConfigName"] for c in server.client("sagemaker").list_endpoint_configs(NameContains="breast-cancer-20")["EndpointConfigs"]]


def test_the_life_of_an_endpoint(server):
    output = example.run(server, "sdk3", ["python", "examples/sdk3_endpoints.py"])
    small, large = map(int, re.search(r"variants: (\d+) to small, (\d+) to large", output).groups())
    assert small + large == 40 and 17 <= small <= 39, "three of four, give or take"
    assert right(output, "small") < right(output, "large") == right(output, "streamed")
    assert "weights: small 3.0 on 1, large 9.0 on 2" in output
    assert re.search(r"rolled back: to (\S+)-one, .*auto-rollback alarms went into ALARM state: \1\.", output)
    assert re.search(r"deployed: \S+-two, answered by large\n", output)
    assert "shadow: small, answered by large\n" in output
    assert "captured: 43 events, 2 of them shown, CSV" in output
    assert configs(server) == []
    example.nothing_is_left(server)


def test_asynchronous_and_serverless(server):
    output = example.run(server, "sdk3", ["python", "examples/sdk3_async.py"])
    assert right(output, "async") == right(output, "serverless") > 0.93
    assert re.search(r'refused: .*\n.*"not" is not a number', output)
    assert "serverless: 2048 MB, 2 at a time" in output
    assert configs(server) == []
    example.nothing_is_left(server)


def test_batch_transform(server):
    output = example.run(server, "sdk3", ["python", "examples/sdk3_transform.py"])
    assert example.accuracy(output) > 0.93
    assert re.search(r"patient-0,0\.\d+\n", output)
    assert "BatchStrategy=MULTI_RECORD" in output, "the log is shown"
    assert all(f"{part}.jsonl: 142 rows, scored as before" in output for part in range(2))
    assert re.search(r"broken\.csv: ClientError: 415", output)
    assert "refused: " in output and "Failure Reason: ClientError: See job logs for more information" in output
    example.nothing_is_left(server)


def test_many_models_on_few_instances(server):
    output = example.run(server, "sdk3", ["python", "examples/sdk3_components.py"])
    for kind in ("component", "multi-model"):
        assert 0.8 < right(output, f"{kind} small") < right(output, f"{kind} large"), kind
    assert "component small: 2 copies" in output
    assert "refused: Inference Component Name header is required" in output
    assert re.search(r"refused: Failed to download model data\(bucket: \S+, key: \S+/models/large\.tar\.gz\)", output)
    assert right(output, "pipeline of 2") > 0.8
    assert server.client("sagemaker").list_inference_components()["InferenceComponents"] == []
    assert configs(server) == []
    example.nothing_is_left(server)
