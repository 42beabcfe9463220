# SPDX-License-Identifier: Apache-2.0
"""Deployment guardrails, data capture and inference experiments with unmodified boto3."""

import collections
import datetime
import json
import threading
import time

import pytest

from support.refusal import refused
from support.server import poll
from support.work import FAST, csv, unique


@pytest.fixture(scope="module")
def artifact(trained):
    return trained["ModelArtifacts"]["S3ModelArtifacts"]


@pytest.fixture
def deployed(bench, artifact):
    name = bench.deploy(artifact, {"v": {"InitialInstanceCount": 2}})
    yield name
    bench.undeploy(name)


def config(bench, model, *variants, **more):
    name = unique("config")
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "v", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 2, **v} for v in variants or ({},)], **more)
    return name


def alarm(bench):
    name = unique("alarm")
    bench.cloudwatch.put_metric_alarm(AlarmName=name, Namespace="AWS/SageMaker", MetricName="Invocation5XXErrors", Statistic="Sum", Period=60,
                                      EvaluationPeriods=1, Threshold=1000, ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching")
    return name


def blue_green(kind="ALL_AT_ONCE", wait=0, alarms=(), **sizes):
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}},
            **({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": a} for a in alarms]}} if alarms else {})}


PERCENT = {"Type": "CAPACITY_PERCENT"}
POLICIES = {
    "all at once": blue_green(),
    "canary": blue_green("CANARY", 1, CanarySize={**PERCENT, "Value": 25}),
    "linear": blue_green("LINEAR", 1, LinearStepSize={**PERCENT, "Value": 50}),
    "rolling": {"RollingUpdatePolicy": {"MaximumBatchSize": {**PERCENT, "Value": 50}, "WaitIntervalInSeconds": 1}},
}


class Load:
    """Asks an endpoint all the time, from several threads, and counts what came of it."""

    def __init__(self, bench, name, threads=3):
        self.outcomes, self.over = collections.Counter(), threading.Event()
        body = csv(bench.held_out[:1])

        def ask():
            while not self.over.is_set():
                try:
                    bench.ask(name, body)
                    self.outcomes["good"] += 1
                except Exception as e:
                    self.outcomes[str(e)] += 1
        self.threads = [threading.Thread(target=ask) for _ in range(threads)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_deployment_loses_no_request(bench, deployed, policy):
    new = config(bench, deployed)
    seen = set()
    with Load(bench, deployed) as load:
        time.sleep(0.2)
        bench.sagemaker.update_endpoint(EndpointName=deployed, EndpointConfigName=new, DeploymentConfig=POLICIES[policy])

        def look():
            e = bench.sagemaker.describe_endpoint(EndpointName=deployed)
            for v in e.get("PendingDeploymentSummary", {}).get("ProductionVariants", []):
                seen.update(s["Status"] for s in v.get("VariantStatus", []))
            return e if e["EndpointStatus"] != "Updating" else None
        e = poll(look, 60, "the deployment to end", every=0.02)
        time.sleep(0.2)
    assert (e["EndpointStatus"], e["EndpointConfigName"]) == ("InService", new) and "FailureReason" not in e
    assert e["LastDeploymentConfig"] == POLICIES[policy]
    assert set(load.outcomes) == {"good"}, load.outcomes
    assert load.outcomes["good"] > 50
    if policy != "all at once":
        assert "Baking" in seen, seen


@pytest.mark.parametrize("policy", ["canary", "rolling"])
def test_an_alarm_rolls_a_deployment_back(bench, deployed, policy):
    bad = alarm(bench)
    new = config(bench, deployed)
    wanted = {**POLICIES[policy], "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": bad}]}}
    wanted = json.loads(json.dumps(wanted).replace('"WaitIntervalInSeconds": 1', '"WaitIntervalInSeconds": 60'))
    with Load(bench, deployed) as load:
        bench.sagemaker.update_endpoint(EndpointName=deployed, EndpointConfigName=new, DeploymentConfig=wanted)

        def baking():
            e = bench.sagemaker.describe_endpoint(EndpointName=deployed)
            return any(s["Status"] == "Baking" for v in e.get("PendingDeploymentSummary", {}).get("ProductionVariants", []) for s in v.get("VariantStatus", []))
        poll(baking, 30, "the deployment to bake")
        bench.cloudwatch.set_alarm_state(AlarmName=bad, StateValue="ALARM", StateReason="a test")
        bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=deployed, WaiterConfig=FAST)
    e = bench.sagemaker.describe_endpoint(EndpointName=deployed)
    assert e["EndpointConfigName"] == deployed and bad in e["FailureReason"]
    assert set(load.outcomes) == {"good"}, load.outcomes
    (v,) = e["ProductionVariants"]
    poll(lambda: bench.sagemaker.describe_endpoint(EndpointName=deployed)["ProductionVariants"][0]["CurrentInstanceCount"] == 2, 20, "both instances")
    bench.sagemaker.update_endpoint(EndpointName=deployed, EndpointConfigName=new)
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=deployed, WaiterConfig=FAST)


REFUSED = {
    "both policies": ({**POLICIES["canary"], **POLICIES["rolling"]}, "only one update policy"),
    "a canary of more than a half": (blue_green("CANARY", 1, CanarySize={**PERCENT, "Value": 60}), "CanarySize"),
    "an alarm that is not there": (blue_green(alarms=["nobody"]), 'Could not find alarm "nobody"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_policy_that_cannot_be_is_refused(bench, endpoint, case):
    policy, message = REFUSED[case]
    with refused("ValidationException", message):
        bench.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint, DeploymentConfig=policy)


def captured(bench, uri):
    return [json.loads(line) for key in bench.keys(uri) for line in bench.get(f"s3://{bench.bucket}/{key}").decode().splitlines()]


def test_data_is_captured(bench, artifact):
    to = f"s3://{bench.bucket}/{unique('captured')}"
    name = unique("capture")
    bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, PrimaryContainer={"Image": bench.image, "ModelDataUrl": artifact})
    with_capture = {"EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": to,
                    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}}
    first = config(bench, name, DataCaptureConfig=with_capture)
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=first)
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    got = bench.sagemaker.describe_endpoint(EndpointName=name)["DataCaptureConfig"]
    assert (got["EnableCapture"], got["CaptureStatus"], got["CurrentSamplingPercentage"], got["DestinationS3Uri"]) == (True, "Started", 100, to)
    row = csv(bench.held_out[:1])
    want, _ = bench.ask(name, row, InferenceId="mine-1", CustomAttributes="a=b")
    lines = poll(lambda: captured(bench, to), 30, "captured data")
    (key,) = bench.keys(to)
    assert key.split("/")[1:3] == [name, "v"] and key.endswith(".jsonl")
    data, meta = lines[0]["captureData"], lines[0]["eventMetadata"]
    assert data["endpointInput"] == {"observedContentType": "text/csv", "mode": "INPUT", "data": row.decode(), "encoding": "CSV"}
    assert data["endpointOutput"]["data"] == want and data["endpointOutput"]["encoding"] == "JSON"
    assert (meta["inferenceId"], meta["customAttributes"], lines[0]["eventVersion"]) == ("mine-1", ["a=b"], "0")
    bench.undeploy(name)


def test_a_shadow_test_from_start_to_promotion(bench, artifact):
    name = unique("experiment")
    for m in ("old", "new"):
        bench.sagemaker.create_model(ModelName=f"{name}-{m}", ExecutionRoleArn=bench.role, PrimaryContainer={"Image": bench.image, "ModelDataUrl": artifact})
    one = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[{"VariantName": "old", "ModelName": f"{name}-old", **one}])
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    infrastructure = {"InfrastructureType": "RealTimeInference", "RealTimeInferenceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1}}
    request = dict(Name=name, Type="ShadowMode", RoleArn=bench.role, EndpointName=name, ModelVariants=[
        {"ModelName": f"{name}-{m}", "VariantName": m, "InfrastructureConfig": infrastructure} for m in ("old", "new")],
        ShadowModeConfig={"SourceModelVariantName": "old", "ShadowModelVariants": [{"ShadowModelVariantName": "new", "SamplingPercentage": 100}]})
    with refused("ValidationException", "is not the production variant"):
        bench.sagemaker.create_inference_experiment(**{**request, "ShadowModeConfig": {
            "SourceModelVariantName": "new", "ShadowModelVariants": [{"ShadowModelVariantName": "old", "SamplingPercentage": 100}]}})
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    schedule = {"StartTime": soon, "EndTime": soon + datetime.timedelta(days=1)}
    arn = bench.sagemaker.create_inference_experiment(**request, Schedule=schedule)["InferenceExperimentArn"]
    assert arn.endswith(f":inference-experiment/{name}")
    with refused("ResourceInUse", "already exists"):
        bench.sagemaker.create_inference_experiment(**request)

    def reached(*statuses):
        def look():
            e = bench.sagemaker.describe_inference_experiment(Name=name)
            assert e["Status"] not in {"Completed", "Cancelled"} - set(statuses), e.get("StatusReason")
            return e if e["Status"] in statuses else None
        return poll(look, 60, f"the experiment to be {statuses}")
    reached("Created")
    bench.sagemaker.update_inference_experiment(Name=name, Description="one and the other")
    bench.sagemaker.start_inference_experiment(Name=name)  # before its time
    e = reached("Running")
    assert e["Description"] == "one and the other"
    with refused("ConflictException", "is in status Running"):
        bench.sagemaker.start_inference_experiment(Name=name)
    sampling = {**request["ShadowModeConfig"], "ShadowModelVariants": [{"ShadowModelVariantName": "new", "SamplingPercentage": 50}]}
    bench.sagemaker.update_inference_experiment(Name=name, ShadowModeConfig=sampling)
    e = reached("Running")
    assert bench.sagemaker.describe_endpoint(EndpointName=name)["ShadowProductionVariants"][0]["CurrentWeight"] == 0.5
    assert e["EndpointMetadata"]["EndpointStatus"] == "InService" and {v["Status"] for v in e["ModelVariants"]} == {"InService"}
    described = bench.sagemaker.describe_endpoint(EndpointName=name)
    assert [v["VariantName"] for v in described["ShadowProductionVariants"]] == ["new"]
    for _ in range(20):
        assert bench.ask(name, csv(bench.held_out[:1]))[1]["InvokedProductionVariant"] == "old"
    with refused("ConflictException", "is in status Running"):
        bench.sagemaker.delete_inference_experiment(Name=name)
    bench.sagemaker.stop_inference_experiment(Name=name, ModelVariantActions={"old": "Remove", "new": "Promote"}, Reason="it is better")
    e = reached("Completed")
    assert e["StatusReason"] == "it is better" and "CompletionTime" in e
    described = bench.sagemaker.describe_endpoint(EndpointName=name)
    assert [v["VariantName"] for v in described["ProductionVariants"]] == ["new"] and not described.get("ShadowProductionVariants")
    assert bench.ask(name, csv(bench.held_out[:1]))[1]["InvokedProductionVariant"] == "new"
    assert [x["Name"] for x in bench.sagemaker.list_inference_experiments(NameContains=name)["InferenceExperiments"]] == [name]
    bench.sagemaker.delete_inference_experiment(Name=name)
    with refused("ResourceNotFound", "Could not find inference experiment"):
        bench.sagemaker.describe_inference_experiment(Name=name)
    bench.undeploy(name)
