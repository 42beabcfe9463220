# SPDX-License-Identifier: Apache-2.0
"""Users' own code with the SageMaker Python SDK v2, unmodified: scripts, processing, Spark, remote functions."""

import re
import shutil

import pytest

from support import example


def test_scikit_learn(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_sklearn.py"], limit=600)
    assert re.search(r"oob_accuracy=0\.9\d+", output), "the script's own output is shown"
    assert example.accuracy(output) > 0.93
    jobs = server.client("sagemaker").list_training_jobs(NameContains="sagemaker-scikit-learn")["TrainingJobSummaries"]
    job = server.client("sagemaker").describe_training_job(TrainingJobName=jobs[0]["TrainingJobName"])
    assert [(m["MetricName"], m["Value"] > 0.9) for m in job["FinalMetricDataList"]] == [("oob:accuracy", True)]


def test_xgboost_script_mode_with_k_fold(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_xgboost_script.py"], limit=600)
    assert len(re.findall(r"fold \d: auc=(?:0\.9|1\.0)\d+", output)) == 5
    assert example.accuracy(output) > 0.93


def test_processors(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_processing.py"], limit=600)
    assert re.search(r"scikit-learn 1\.2\.\d sees 569 rows", output)
    assert "SKLearnProcessor: {'train': 10, 'test': 0}" in output
    assert "FrameworkProcessor: {'train': 455, 'test': 114}" in output


@pytest.mark.skipif(not shutil.which("java"), reason="Spark needs Java, and there is none on this machine")
def test_pyspark(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_pyspark.py"], limit=900)
    counts = dict(re.findall(r"^([01]),(\d+)$", output, re.M))
    assert sorted(counts.values()) == ["212", "357"]


def test_remote_functions(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_remote.py"], limit=900)
    assert "working on 100 rows" in output, "what the function prints is shown"
    assert re.search(r"a\s+49\.0\s+98\s", output) and re.search(r"b\s+50\.0\s+99\s", output), output[-2000:]
    assert "raised here as there: division by zero" in output
