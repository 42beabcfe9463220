# SPDX-License-Identifier: Apache-2.0
"""LightGBM and CatBoost with the SageMaker Python SDK v2, unmodified: from the catalogue to the endpoint."""

import json
import re
import subprocess
import textwrap

from support import example
from support.server import ENVIRONMENTS, ROOT, poll


def last_job(server, name):
    sagemaker = server.client("sagemaker")
    found = sagemaker.list_training_jobs(NameContains=name, SortBy="CreationTime", SortOrder="Descending")["TrainingJobSummaries"]
    return sagemaker.describe_training_job(TrainingJobName=found[0]["TrainingJobName"])


def environment_with(package, version):
    """The Python that the job ran with."""
    for told in ENVIRONMENTS.glob("*/sagebrush.json"):
        if json.loads(told.read_text())["packages"].get(package) == version:
            return told.parent / "bin" / "python"
    raise AssertionError(f"no environment has {package} {version}")


def test_lightgbm_by_its_name(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_lightgbm.py"], limit=600)
    assert "valid_0's binary_logloss: 0." in output, "the program's own output is shown"
    assert example.accuracy(output) > 0.9
    assert re.search(r'\{"probabilities": \[\[[0-9., e-]+\]\], "labels": \[0, 1\], "predicted_label": \[[01]\]\}', output)
    job = last_job(server, "lightgbm-classification")
    assert {m["MetricName"]: m["Value"] < 0.2 for m in job["FinalMetricDataList"]} == {"binary_logloss": True}
    assert job["HyperParameters"]["num_leaves"] == '"64"', "the defaults of the catalogue are sent"
    tags = server.client("sagemaker").list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert {"Key": "sagemaker-sdk:jumpstart-model-id", "Value": "lightgbm-classification-model"} in tags

    # The same on two hosts, which divide the rows.
    sagemaker, name = server.client("sagemaker"), "lightgbm-on-two-hosts"
    sagemaker.create_training_job(
        TrainingJobName=name, **{k: job[k] for k in ("AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig", "StoppingCondition")},
        ResourceConfig={**job["ResourceConfig"], "InstanceCount": 2}, HyperParameters={**job["HyperParameters"], "use_dask": '"True"'})
    two = poll(lambda: (d := sagemaker.describe_training_job(TrainingJobName=name))["TrainingJobStatus"] != "InProgress" and d, 300, "two hosts to train")
    assert two["TrainingJobStatus"] == "Completed", two.get("FailureReason")
    assert {m["MetricName"]: m["Value"] < 0.2 for m in two["FinalMetricDataList"]} == {"binary_logloss": True}


def test_catboost_by_its_parts(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_catboost.py"], limit=900)
    score = float(re.search(r"R2 of 142 held-out rows: (\S+)", output)[1])
    job = last_job(server, "sagemaker-jumpstart")
    metric, = job["FinalMetricDataList"]
    assert metric["MetricName"] == "RMSE" and f"bestTest = {metric['Value']:.6g}"[:16] in output

    # The library, called directly in the environment of the job.
    direct = textwrap.dedent("""
        import catboost, numpy
        rows = numpy.loadtxt("internal/demo/data/breast_cancer.csv", delimiter=",", skiprows=1)[:, [23, *range(10)]]
        x, y = rows[:, 1:], rows[:, 0]
        model = catboost.CatBoostRegressor(iterations=300, learning_rate=0.05, depth=6, l2_leaf_reg=3, bootstrap_type="Bayesian", random_seed=1,
                                           sampling_frequency="PerTreeLevel", loss_function="RMSE", allow_writing_files=False, thread_count=1)
        model.fit(x[0::2], y[0::2], eval_set=(x[1::4], y[1::4]), early_stopping_rounds=5, verbose=False)
        told, truth = model.predict(x[3::4]), y[3::4]
        print(1 - ((told - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
    """)
    done = subprocess.run([environment_with("catboost", "1.2.10"), "-c", direct], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert abs(score - float(done.stdout)) < 1e-6 and score > 0.85
