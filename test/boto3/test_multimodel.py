# SPDX-License-Identifier: Apache-2.0
"""Multi-model endpoints of the built-in XGBoost and of a script, with unmodified boto3."""

import concurrent.futures

import botocore.exceptions
import pytest

from support.refusal import refused
from support.server import poll
from support.work import FAST, archive, csv, members, unique

RUNTIME = "ValidationError"


@pytest.fixture(scope="module")
def model(bench, trained):
    """The bytes of a model.tar.gz."""
    return bench.get(trained["ModelArtifacts"]["S3ModelArtifacts"])


def multi(bench, prefix, instances=1, env=None, image=None):
    name = unique("multi")
    bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, PrimaryContainer={
        "Image": image or bench.image, "ModelDataUrl": prefix, "Mode": "MultiModel", "Environment": env or {}})
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": instances}])
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    return name


def test_models_are_loaded_when_they_are_asked_for(bench, model, endpoint):
    prefix = f"s3://{bench.bucket}/{unique('models')}/"
    folder = prefix.removeprefix(f"s3://{bench.bucket}/")
    bench.put(f"{folder}a.tar.gz", model)
    bench.put(f"{folder}deep/er/b.tar.gz", model)
    name = multi(bench, prefix, instances=2)
    row = csv(bench.held_out[:3])
    want, _ = bench.ask(endpoint, row)
    assert bench.ask(name, row, TargetModel="a.tar.gz")[0] == want
    assert bench.ask(name, row, TargetModel="deep/er/b.tar.gz")[0] == want
    with refused(RUNTIME, "TargetModel must be specified"):
        bench.ask(name, row)
    with refused(RUNTIME, rf"Failed to download model data\(bucket: {bench.bucket}, key: {folder}c.tar.gz\)"):
        bench.ask(name, row, TargetModel="c.tar.gz")
    bench.put(f"{folder}c.tar.gz", model)  # a model more needs no deployment
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert {pool.submit(bench.ask, name, row, TargetModel="c.tar.gz").result()[0] for _ in range(16)} == {want}
    bench.put(f"{folder}broken.tar.gz", archive({"xgboost-model": b"\x00garbage"}))
    with pytest.raises(botocore.exceptions.ClientError) as e:
        bench.ask(name, row, TargetModel="broken.tar.gz")
    assert e.value.response["Error"]["Code"] == "ModelError"
    with refused(RUNTIME, "is not a multi-model endpoint"):
        bench.ask(endpoint, row, TargetModel="a.tar.gz")
    bench.undeploy(name)


def test_many_models_in_little_memory(bench, model):
    """Fifty models; each is asked, twice."""
    folder = f"{unique('many')}/"
    for i in range(50):
        bench.put(f"{folder}{i}.tar.gz", model)
    name = multi(bench, f"s3://{bench.bucket}/{folder}")
    row = csv(bench.held_out[:1])
    for _ in range(2):
        assert len({bench.ask(name, row, TargetModel=f"{i}.tar.gz")[0] for i in range(50)}) == 1
    now = poll(lambda: bench.cloudwatch.list_metrics(Namespace="AWS/SageMaker", MetricName="ModelCacheHit", Dimensions=[
        {"Name": "EndpointName", "Value": name}])["Metrics"], 10, "the models' metrics")
    assert now
    bench.undeploy(name)


SCRIPT = b"""
import json, os

def model_fn(model_dir):
    with open(os.path.join(model_dir, "factor.txt")) as f:
        return float(f.read())

def input_fn(body, content_type):
    return json.loads(body)

def predict_fn(data, model):
    return [x * model for x in data]

def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""


def test_a_script_serves_many_models(bench):
    image = f"683313688378.dkr.ecr.{bench.region}.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    folder = f"{unique('factors')}/"
    for factor in (2, 3):
        bench.put(f"{folder}{factor}.tar.gz", archive({"factor.txt": str(factor).encode(), "code/inference.py": SCRIPT}))
    name = multi(bench, f"s3://{bench.bucket}/{folder}", image=image, env={"SAGEMAKER_PROGRAM": "inference.py"})
    for factor in (2, 3, 2):
        text, _ = bench.ask(name, b"[1, 2]", "application/json", TargetModel=f"{factor}.tar.gz")
        assert text.replace(" ", "") == f"[{factor}.0,{2 * factor}.0]"
    bench.undeploy(name)
