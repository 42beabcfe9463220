# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server while endpoints are deployed, in every stage: after the restart each goes on where it was."""

import time

import pytest

from support.server import poll
from support.work import FAST, Workbench, csv

CANARY = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {
    "Type": "CANARY", "WaitIntervalInSeconds": 1, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}}, "TerminationWaitInSeconds": 1}}


@pytest.fixture(scope="module")
def home(other):
    return other("crash-hosting")


@pytest.fixture(scope="module")
def bench(home):
    bench = Workbench(home)
    bench.artifact = bench.train("seed")["ModelArtifacts"]["S3ModelArtifacts"]
    return bench


def restarted(bench):
    server = bench.server
    server.kill()
    server.start()
    for service in ("sagemaker", "s3", "logs"):
        setattr(bench, service, server.client(service))
    bench.runtime = server.client("sagemaker-runtime")


def answered(bench, name, **more):
    """An answer, once the restarted server has found the instances."""
    def ask():
        try:
            return bench.ask(name, csv(bench.held_out[:1]), **more)[0]
        except bench.runtime.exceptions.ClientError:
            return None
    return poll(ask, 20, f"an answer of {name}")


@pytest.mark.parametrize("after", [0.0, 0.1, 0.5, 1.5, 2.5])
def test_a_deployment_goes_on(bench, after):
    name = bench.deploy(bench.artifact, {"v": {"InitialInstanceCount": 2}})
    want = answered(bench, name)
    new = f"{name}-new"
    bench.sagemaker.create_endpoint_config(EndpointConfigName=new, ProductionVariants=[
        {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}])
    bench.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=CANARY)
    time.sleep(after)
    restarted(bench)
    assert answered(bench, name) == want  # also in the middle
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    e = bench.sagemaker.describe_endpoint(EndpointName=name)
    assert e["EndpointConfigName"] == new and "FailureReason" not in e
    assert answered(bench, name) == want
    bench.undeploy(name)


def test_components_serverless_and_experiments_go_on(bench):
    one = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    made = bench.deploy(bench.artifact, name="made")
    want = answered(bench, made)
    bench.sagemaker.create_endpoint_config(EndpointConfigName="shared", ExecutionRoleArn=bench.role, ProductionVariants=[{"VariantName": "v", **one}])
    bench.sagemaker.create_endpoint_config(EndpointConfigName="serverless", ProductionVariants=[
        {"VariantName": "v", "ModelName": made, "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 3}}])
    for name in ("shared", "serverless"):
        bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    bench.sagemaker.create_inference_component(
        InferenceComponentName="c", EndpointName="shared", VariantName="v", RuntimeConfig={"CopyCount": 2}, Specification={
            "ModelName": made, "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 512, "NumberOfCpuCoresRequired": 0.25}})
    infrastructure = {"InfrastructureType": "RealTimeInference", "RealTimeInferenceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1}}
    bench.sagemaker.create_inference_experiment(
        Name="x", Type="ShadowMode", RoleArn=bench.role, EndpointName=made,
        ModelVariants=[{"ModelName": made, "VariantName": v, "InfrastructureConfig": infrastructure} for v in ("AllTraffic", "shadow")],
        ShadowModeConfig={"SourceModelVariantName": "AllTraffic", "ShadowModelVariants": [{"ShadowModelVariantName": "shadow", "SamplingPercentage": 50}]})
    for _ in range(3):
        restarted(bench)
    poll(lambda: bench.sagemaker.describe_inference_component(InferenceComponentName="c")["InferenceComponentStatus"] == "InService", 30, "the component")
    poll(lambda: bench.sagemaker.describe_inference_experiment(Name="x")["Status"] == "Running", 30, "the experiment to run")
    assert answered(bench, "shared", InferenceComponentName="c") == answered(bench, "serverless") == answered(bench, made) == want
    restarted(bench)
    assert answered(bench, "serverless") == want
    bench.sagemaker.stop_inference_experiment(Name="x", ModelVariantActions={"AllTraffic": "Retain", "shadow": "Remove"})
    restarted(bench)
    poll(lambda: bench.sagemaker.describe_inference_experiment(Name="x")["Status"] == "Completed", 30, "the experiment to be over")
    bench.sagemaker.delete_inference_component(InferenceComponentName="c")
    restarted(bench)
    poll(lambda: not bench.sagemaker.list_inference_components()["InferenceComponents"], 30, "the component to be gone")
    for name in (made, "shared", "serverless"):
        bench.undeploy(name)
    poll(lambda: not bench.server.tasks(), 30, "all tasks to have ended")
    assert not list((bench.server.home / "work" / "hosting").glob("ep-*"))
