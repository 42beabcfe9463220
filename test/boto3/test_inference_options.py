# SPDX-License-Identifier: Apache-2.0
"""Several containers, serverless variants, streamed answers, shadow variants: with unmodified boto3."""

import concurrent.futures
import datetime
import time

import botocore.exceptions
import pytest

from support.refusal import refused
from support.server import poll
from support.work import FAST, csv, unique

RUNTIME = "ValidationError"


@pytest.fixture(scope="module")
def artifact(trained):
    return trained["ModelArtifacts"]["S3ModelArtifacts"]


def serve(bench, containers, name=None, mode=None, variant=None, **config):
    """An endpoint of a model of these containers."""
    name = name or unique("options")
    more = {"InferenceExecutionConfig": {"Mode": mode}} if mode else {}
    bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, Containers=containers, **more)
    variant = variant or {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "v", "ModelName": name, **variant}], **config)
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    return name


def metric(bench, name, endpoint, stat="SampleCount", **dims):
    """A metric's sum over the last minutes, of all that there is."""
    now = datetime.datetime.now(datetime.timezone.utc)
    found = bench.cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker", MetricName=name, StartTime=now - datetime.timedelta(minutes=10), EndTime=now + datetime.timedelta(minutes=1),
        Period=60, Statistics=[stat], Dimensions=[{"Name": k, "Value": v} for k, v in {"EndpointName": endpoint, "VariantName": "v", **dims}.items()])
    return sum(p[stat] for p in found["Datapoints"])


# A second model, trained on the first one's probabilities, makes a pipeline of two built-ins.
@pytest.fixture(scope="module")
def second(bench, trained, endpoint):
    scores = bench.predict(endpoint, bench.held_out)
    uri = bench.put(f"{unique('second')}/train/a.csv", csv(bench.labels, scores), up=1)
    job = bench.train(hyper={"num_round": "5"}, InputDataConfig=[{
        "ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job["ModelArtifacts"]["S3ModelArtifacts"]


def test_a_pipeline_hands_each_answer_on(bench, artifact, second, endpoint):
    alone = serve(bench, [{"Image": bench.image, "ModelDataUrl": second}])
    both = serve(bench, [{"Image": bench.image, "ModelDataUrl": artifact, "ContainerHostname": "first"},
                         {"Image": bench.image, "ModelDataUrl": second, "ContainerHostname": "second"}])
    got = bench.sagemaker.describe_model(ModelName=both)
    assert got["InferenceExecutionConfig"] == {"Mode": "Serial"}
    assert len(bench.sagemaker.describe_endpoint(EndpointName=both)["ProductionVariants"][0]["DeployedImages"]) == 2
    rows = csv(bench.held_out[:1])
    middle, _ = bench.ask(endpoint, rows, accept="text/csv")
    want, _ = bench.ask(alone, middle, accept="text/csv")
    text, answer = bench.ask(both, rows, accept="text/csv")
    assert text == want and answer["InvokedProductionVariant"] == "v"
    with refused(RUNTIME, "TargetContainerHostname cannot be specified"):
        bench.ask(both, rows, TargetContainerHostname="first")
    poll(lambda: metric(bench, "ContainerLatency", both, ContainerName="second"), 20, "the second container's latency")
    streams = bench.logs.describe_log_streams(logGroupName=f"/aws/sagemaker/Endpoints/{both}")["logStreams"]
    assert {s["logStreamName"].split("/")[-1] for s in streams} == {"first", "second"}
    for name in (alone, both):
        bench.undeploy(name)


def test_the_first_bad_container_ends_the_pipeline(bench, artifact, second):
    both = serve(bench, [{"Image": bench.image, "ModelDataUrl": artifact, "ContainerHostname": "first"},
                         {"Image": bench.image, "ModelDataUrl": second, "ContainerHostname": "second"}])
    with pytest.raises(botocore.exceptions.ClientError) as e:
        bench.ask(both, b"a,b,c\n")
    assert e.value.response["Error"]["Code"] == "ModelError"
    assert "from first with message" in e.value.response["Error"]["Message"]
    bench.undeploy(both)


def test_direct_containers_are_asked_by_name(bench, artifact, second):
    name = serve(bench, [{"Image": bench.image, "ModelDataUrl": artifact, "ContainerHostname": "large"},
                         {"Image": bench.image, "ModelDataUrl": second, "ContainerHostname": "small"}], mode="Direct")
    large, _ = bench.ask(name, csv(bench.held_out[:1]), accept="text/csv", TargetContainerHostname="large")
    small, _ = bench.ask(name, b"0.9\n", accept="text/csv", TargetContainerHostname="small")
    assert 0 <= float(large) <= 1 and 0.5 < float(small) <= 1
    with refused(RUNTIME, "TargetContainerHostname must be specified"):
        bench.ask(name, b"0.9\n")
    with refused(RUNTIME, "no container with hostname nobody"):
        bench.ask(name, b"0.9\n", TargetContainerHostname="nobody")
    bench.undeploy(name)
    with refused("ValidationException", "ContainerHostname must be specified for each container"):
        bench.sagemaker.create_model(ModelName=unique("model"), ExecutionRoleArn=bench.role, InferenceExecutionConfig={"Mode": "Direct"},
                                     Containers=[{"Image": bench.image, "ModelDataUrl": artifact}] * 2)


def test_a_serverless_endpoint_starts_on_demand(bench, artifact):
    name = serve(bench, [{"Image": bench.image, "ModelDataUrl": artifact}], variant={"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 4}})
    (v,) = bench.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert v["CurrentServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 4} and "CurrentInstanceCount" not in v
    row = csv(bench.held_out[:1])
    want, _ = bench.ask(name, row)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert {pool.submit(bench.ask, name, row).result()[0] for _ in range(60)} == {want}
    bench.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=[
        {"VariantName": "v", "ServerlessUpdateConfig": {"MaxConcurrency": 1}}])
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)

    def outcome():
        try:
            return bench.ask(name, csv(bench.held_out[:1].repeat(5000, axis=0)))[0] != ""
        except botocore.exceptions.ClientError as e:
            return e.response["Error"]["Code"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        seen = {f.result() for f in [pool.submit(outcome) for _ in range(16)]}
    assert seen == {True, "ThrottlingException"}
    bench.undeploy(name)


SERVERLESS = {
    "an instance type too": ({"InstanceType": "ml.m5.large"}, {}, "cannot be specified with ServerlessConfig"),
    "more provisioned than at most": ({"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1, "ProvisionedConcurrency": 2}}, {},
                                      "must not be greater than its MaxConcurrency"),
    "an odd memory": ({"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 1}}, {}, "MemorySizeInMB must be"),
}


@pytest.mark.parametrize("case", SERVERLESS)
def test_what_a_serverless_variant_cannot_have(bench, endpoint, case):
    change, config, message = SERVERLESS[case]
    with refused("ValidationException", message):
        bench.sagemaker.create_endpoint_config(EndpointConfigName=unique("config"), ProductionVariants=[
            {"VariantName": "v", "ModelName": "served", "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}, **change}], **config)


def test_a_streamed_answer_is_the_same(bench, endpoint):
    rows = csv(bench.held_out)
    want, _ = bench.ask(endpoint, rows, accept="text/csv")
    answer = bench.runtime.invoke_endpoint_with_response_stream(EndpointName=endpoint, ContentType="text/csv", Accept="text/csv", Body=rows)
    assert answer["ContentType"].startswith("text/csv") and answer["InvokedProductionVariant"] == "AllTraffic"
    assert b"".join(e["PayloadPart"]["Bytes"] for e in answer["Body"]).decode() == want
    with pytest.raises(botocore.exceptions.ClientError) as e:
        bench.runtime.invoke_endpoint_with_response_stream(EndpointName=endpoint, ContentType="text/csv", Body=b"a,b\n")
    assert e.value.response["Error"]["Code"] == "ModelError"


def test_a_shadow_variant_gets_copies(bench, artifact):
    name = unique("shadowed")
    bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, PrimaryContainer={"Image": bench.image, "ModelDataUrl": artifact})
    one = {"ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[{"VariantName": "v", "InitialVariantWeight": 2.0, **one}],
                                           ShadowProductionVariants=[{"VariantName": "copy", "InitialVariantWeight": 1.0, **one}])
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    (v,) = bench.sagemaker.describe_endpoint(EndpointName=name)["ShadowProductionVariants"]
    assert (v["VariantName"], v["CurrentInstanceCount"]) == ("copy", 1)
    for _ in range(200):
        _, answer = bench.ask(name, csv(bench.held_out[:1]))
        assert answer["InvokedProductionVariant"] == "v"
    poll(lambda: metric(bench, "Invocations", name) == 200, 20, "the production variant's invocations")
    assert 60 <= metric(bench, "Invocations", name, VariantName="copy") <= 140  # a half, give or take
    with refused(RUNTIME, "Variant copy of endpoint"):
        bench.ask(name, b"1\n", TargetVariant="copy")
    bench.undeploy(name)
