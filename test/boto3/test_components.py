# SPDX-License-Identifier: Apache-2.0
"""Inference components: copies of models that share an endpoint's instances."""

import time

import pytest

from support.refusal import refused
from support.server import poll
from support.work import FAST, csv, unique

RUNTIME = "ValidationError"


@pytest.fixture(scope="module")
def artifact(trained):
    return trained["ModelArtifacts"]["S3ModelArtifacts"]


@pytest.fixture
def shared(bench):
    """An endpoint of two instances without a model."""
    name = unique("shared")
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ExecutionRoleArn=bench.role, ProductionVariants=[
        {"VariantName": "v", "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}])
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    yield name
    for c in bench.sagemaker.list_inference_components(EndpointNameEquals=name)["InferenceComponents"]:
        bench.sagemaker.delete_inference_component(InferenceComponentName=c["InferenceComponentName"])
    poll(lambda: not bench.sagemaker.list_inference_components(EndpointNameEquals=name)["InferenceComponents"], 20, "the components to go")
    bench.undeploy(name)


def component(bench, endpoint, artifact, copies=1, memory=1024, cpu=0.5, name=None, container=None):
    name = name or unique("component")
    bench.sagemaker.create_inference_component(
        InferenceComponentName=name, EndpointName=endpoint, VariantName="v", RuntimeConfig={"CopyCount": copies},
        Specification={"Container": container or {"Image": bench.image, "ArtifactUrl": artifact},
                       "ComputeResourceRequirements": {"MinMemoryRequiredInMb": memory, "NumberOfCpuCoresRequired": cpu}})
    return name


def settled(bench, name):
    def look():
        c = bench.sagemaker.describe_inference_component(InferenceComponentName=name)
        return c if c["InferenceComponentStatus"] not in ("Creating", "Updating") else None
    return poll(look, 60, f"the component {name} to settle")


def test_components_share_an_endpoint(bench, shared, artifact):
    row = csv(bench.held_out[:1])
    with refused(RUNTIME, "Inference Component Name header is required"):
        bench.ask(shared, row)
    a = component(bench, shared, artifact, copies=2)
    got = settled(bench, a)
    assert got["InferenceComponentStatus"] == "InService", got.get("FailureReason")
    assert got["RuntimeConfig"]["DesiredCopyCount"] == got["RuntimeConfig"]["CurrentCopyCount"] == 2
    assert got["Specification"]["Container"]["DeployedImage"]["SpecifiedImage"] == bench.image
    text, answer = bench.ask(shared, row, InferenceComponentName=a)
    assert answer["InvokedProductionVariant"] == "v" and "predictions" in text
    with refused(RUNTIME, "Inference Component nobody of endpoint"):
        bench.ask(shared, row, InferenceComponentName="nobody")
    with refused("ValidationException", "Cannot create already existing inference component"):
        component(bench, shared, artifact, name=a)
    with refused("ValidationException", r"it has 1 inference component"):
        bench.sagemaker.delete_endpoint(EndpointName=shared)

    bench.sagemaker.update_inference_component_runtime_config(InferenceComponentName=a, DesiredRuntimeConfig={"CopyCount": 0})
    assert settled(bench, a)["RuntimeConfig"]["CurrentCopyCount"] == 0
    with refused(RUNTIME, "Inference Component has no capacity to process this request"):
        bench.ask(shared, row, InferenceComponentName=a)
    bench.sagemaker.update_inference_component_runtime_config(InferenceComponentName=a, DesiredRuntimeConfig={"CopyCount": 1})
    assert settled(bench, a)["RuntimeConfig"]["CurrentCopyCount"] == 1
    assert bench.ask(shared, row, InferenceComponentName=a)[0] == text


def test_what_has_no_room_fails_and_leaves_the_others(bench, shared, artifact):
    a = component(bench, shared, artifact, memory=4096)
    assert settled(bench, a)["InferenceComponentStatus"] == "InService"
    b = component(bench, shared, artifact, copies=4, memory=4096)
    got = settled(bench, b)
    assert got["InferenceComponentStatus"] == "Failed" and "not enough hardware resources" in got["FailureReason"]
    bench.sagemaker.update_inference_component_runtime_config(InferenceComponentName=a, DesiredRuntimeConfig={"CopyCount": 9})
    got = settled(bench, a)
    assert got["InferenceComponentStatus"] == "InService" and "not enough hardware resources" in got["FailureReason"]
    assert got["RuntimeConfig"]["DesiredCopyCount"] == got["RuntimeConfig"]["CurrentCopyCount"] == 1
    assert bench.ask(shared, csv(bench.held_out[:1]), InferenceComponentName=a)[0]
    bench.sagemaker.delete_inference_component(InferenceComponentName=b)
    with refused("ValidationException", "Could not find inference component"):
        poll(lambda: bench.sagemaker.describe_inference_component(InferenceComponentName=b) and None, 20, "it to be gone")


def test_an_update_replaces_the_container(bench, shared, artifact):
    a = component(bench, shared, artifact)
    settled(bench, a)
    bad = bench.put(f"{unique('broken')}/model.tar.gz", b"no archive")
    spec = {"ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024}}
    for data, status in ((bad, False), (artifact, True)):
        bench.sagemaker.update_inference_component(InferenceComponentName=a, Specification={
            **spec, "Container": {"Image": bench.image, "ArtifactUrl": data, "Environment": {"WHICH": data[-30:]}}})
        got = settled(bench, a)
        assert got["InferenceComponentStatus"] == "InService"
        assert ("FailureReason" not in got) == status, got
        assert got["Specification"]["Container"]["ArtifactUrl"] == artifact
        assert bench.ask(shared, csv(bench.held_out[:1]), InferenceComponentName=a)[0]


def test_a_rolling_update_takes_its_time(bench, shared, artifact):
    a = component(bench, shared, artifact, copies=2)
    settled(bench, a)
    row = csv(bench.held_out[:1])
    with refused(RUNTIME, "TargetModel cannot be specified"):
        bench.ask(shared, row, InferenceComponentName=a, TargetModel="a.tar.gz")
    half = {"Type": "COPY_COUNT", "Value": 1}
    began = time.time()
    bench.sagemaker.update_inference_component(
        InferenceComponentName=a, Specification={"Container": {"Image": bench.image, "ArtifactUrl": artifact, "Environment": {"A": "B"}},
                                                 "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024}},
        DeploymentConfig={"RollingUpdatePolicy": {"MaximumBatchSize": half, "WaitIntervalInSeconds": 1}})
    while bench.sagemaker.describe_inference_component(InferenceComponentName=a)["InferenceComponentStatus"] == "Updating":
        assert bench.ask(shared, row, InferenceComponentName=a)[0]
    got = settled(bench, a)
    assert got["InferenceComponentStatus"] == "InService" and time.time() - began >= 2
    assert got["Specification"]["Container"]["Environment"] == {"A": "B"} and got["RuntimeConfig"]["CurrentCopyCount"] == 2
