# SPDX-License-Identifier: Apache-2.0
"""The SageMaker Python SDK v2, unmodified."""

import json
import re

from support import example

SUPPORTED = ["0.90-1", "0.90-2", "1.0-1", "1.2-1", "1.2-2", "1.3-1", "1.5-1", "1.7-1", "3.0-5"]


def test_the_classic_example(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_xgboost.py"])
    assert re.search(r"Completed - Training job completed", output)
    rounds = re.findall(r"^\[(\d+)\]#011train-auc:[\d.]+#011validation-auc:[\d.]+$", output, re.M)
    assert rounds == [str(i) for i in range(50)], "each line of the log is shown once"
    assert re.search(r"Billable seconds: \d+", output)
    assert example.accuracy(output) > 0.93
    example.nothing_is_left(server)


def test_every_version_that_the_sdk_names_trains(server, bench):
    """image_uris.retrieve for each version and some Regions; each URI is an image here."""
    script = """
import json, sagemaker
from sagemaker import image_uris
print("URIS", json.dumps({v: [image_uris.retrieve("xgboost", r, v) for r in ("us-east-1", "eu-west-1", "ap-northeast-1")]
                          for v in %r}))
""" % SUPPORTED
    output = example.run(server, "sdk2", ["python", "-c", script])
    uris = json.loads(re.search(r"^URIS (.*)$", output, re.M).group(1))
    assert len({u for some in uris.values() for u in some}) >= 3 * len(SUPPORTED) - 3
    for version, some in uris.items():
        for uri in some[:1]:
            job = bench.train(hyper={"num_round": "1"}, AlgorithmSpecification={"TrainingImage": uri, "TrainingInputMode": "File"})
            assert job["TrainingJobStatus"] == "Completed", (version, job.get("FailureReason"))
        for uri in some:
            name = f"uri-{version.replace('.', '-')}-{uri[:12]}"
            bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, PrimaryContainer={"Image": uri})


def test_batch_transform(server):
    output = example.run(server, "sdk2", ["python", "examples/sdk2_transform.py"], limit=600)
    assert re.search(r":\[sagemaker logs\]: MaxConcurrentTransforms=\d+, MaxPayloadInMB=1, BatchStrategy=MULTI_RECORD", output), output[-3000:]
    assert re.search(r"^patient-0,[01]\.\d+", output, re.M)
    assert example.accuracy(output) > 0.93
    (job,) = server.client("sagemaker").list_transform_jobs(NameContains="sagemaker-xgboost")["TransformJobSummaries"]
    assert job["TransformJobStatus"] == "Completed"
