# SPDX-License-Identifier: Apache-2.0
"""All ways to host a model, as the examples show them: the SageMaker Python SDK v2 and boto3, unmodified."""

import ast
import re

from support import example


def test_serverless(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_serverless.py"])
    assert "serverless: {'MemorySizeInMB': 2048, 'MaxConcurrency': 4}" in output
    assert example.accuracy(output) > 0.93
    example.nothing_is_left(server)


def test_a_pipeline_of_containers(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_pipeline_model.py"], limit=600)
    assert "columns=30" in output, "the preprocessing's own output is shown"
    assert example.accuracy(output) > 0.93
    example.nothing_is_left(server)


def test_many_models_behind_one_endpoint(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_multi_model.py"])
    assert "models: ['trees-5.tar.gz', 'trees-50.tar.gz']" in output
    right = {key: int(n) for key, n in re.findall(r"^(trees-\d+).tar.gz: (\d+) of 284 held-out rows are right", output, re.M)}
    assert 0.85 * 284 < right["trees-5"] < right["trees-50"] and right["trees-50"] > 0.93 * 284
    example.nothing_is_left(server)


def test_captured_data(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_capture.py"])
    assert "20 of 20 requests were captured with their answers" in output
    for side in ("Input", "Output"):
        assert re.search(rf"^endpoint{side}: text/csv\S* as CSV: '\d", output, re.M)
    example.nothing_is_left(server)


def test_a_shadow_variant(server):
    output = example.run(server, "boto3", ["python", "examples/boto3_shadow.py"])
    for variant in ("production", "shadow"):
        assert re.search(rf"^{variant}: 284 requests, 0 errors, \d+ µs$", output, re.M)
    assert example.accuracy(output) > 0.9, "the old model has few trees"
    example.nothing_is_left(server)


def test_a_deployment_that_goes_back(server):
    output = example.run(server, "boto3", ["python", "examples/boto3_guardrails.py"], limit=600)
    tried = ast.literal_eval(re.search(r"while it was tried: (\{.*\})", output)[1])
    assert tried["right"] > tried["ModelError 400"] > 5, tried
    assert re.search(r"^InService with good: .*[Aa]larm", output, re.M)
    assert example.accuracy(output) > 0.93
    example.nothing_is_left(server)
