# SPDX-License-Identifier: Apache-2.0
"""Asynchronous endpoints: requests wait in a queue that nothing can lose."""

import base64
import datetime
import json
import os
import re
import signal
import time

import botocore.config
import pytest

from support import oci, work
from support.refusal import refused
from support.server import poll
from support.work import FAST, unique

RUNTIME = "ValidationError"


class Desk:
    """A server with a model that does what it is told: sleep 2s, status 500, exit."""

    def __init__(self, server, program):
        self.server, self.bench = server, work.Workbench(server)
        repository = self.bench.ecr.create_repository(repositoryName="obedient")["repository"]
        layers = [oci.layer({"container": (program.read_bytes(), 0o755)})]
        oci.Registry(server, self.bench.ecr).push("obedient", "1", layers, Entrypoint=["/container"])
        self.data = self.bench.put("model.tar.gz", work.archive({"model.json": b"1"}))
        self.model = unique("model")
        self.bench.sagemaker.create_model(ModelName=self.model, ExecutionRoleArn=self.bench.role, PrimaryContainer={
            "Image": repository["repositoryUri"] + ":1", "ModelDataUrl": self.data})

    def config(self, name, count=1, room=2, notify=None, failures=True, **more):
        out = {"S3OutputPath": f"s3://{self.bench.bucket}/{name}/out"}
        if failures:
            out["S3FailurePath"] = f"s3://{self.bench.bucket}/{name}/failed"
        if notify:
            out["NotificationConfig"] = notify
        self.bench.sagemaker.create_endpoint_config(EndpointConfigName=name, AsyncInferenceConfig={
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": room}, "OutputConfig": out}, ProductionVariants=[
            {"VariantName": "v", "ModelName": self.model, "InstanceType": "ml.m5.large", "InitialInstanceCount": count}], **more)

    def serve(self, **more):
        name = unique("async")
        self.config(name, **more)
        self.bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.settled(name)
        return name

    def settled(self, name):
        self.bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)

    def scale(self, name, count):
        self.bench.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=[
            {"VariantName": "v", "DesiredInstanceCount": count}])
        self.settled(name)

    def ask(self, name, text, **more):
        """Puts an input and enqueues a request for it."""
        uri = self.bench.put(f"in/{unique('x')}", text.encode())
        return self.bench.runtime.invoke_endpoint_async(EndpointName=name, InputLocation=uri, ContentType="text/plain", **more)

    def exists(self, uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.bench.keys(uri) == [key]

    def result(self, answer, limit=30):
        """What became of a request: (whether it is good, the object's text)."""
        def look():
            good = self.exists(answer["OutputLocation"])
            if good or self.exists(answer["FailureLocation"]):
                return good, self.bench.get(answer["OutputLocation" if good else "FailureLocation"]).decode()
            return None
        return poll(look, limit, "the request to be done")

    def metric(self, name, endpoint, stat="Sum", **dims):
        now = datetime.datetime.now(datetime.timezone.utc)
        found = self.bench.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName=name, StartTime=now - datetime.timedelta(minutes=10), EndTime=now + datetime.timedelta(minutes=1),
            Period=60, Statistics=[stat], Dimensions=[{"Name": k, "Value": v} for k, v in {"EndpointName": endpoint, **dims}.items()])
        return [p[stat] for p in found["Datapoints"]]

    def clients(self):
        """New clients for a server that has another port now."""
        for service in ("sagemaker", "s3", "logs", "cloudwatch"):
            setattr(self.bench, service, self.server.client(service))
        self.bench.runtime = self.server.client("sagemaker-runtime")


@pytest.fixture(scope="module")
def desk(other, tmp_path_factory):
    return Desk(other("async", "--containers", "process"), oci.program(tmp_path_factory.mktemp("program")))


@pytest.fixture(scope="module")
def served(desk):
    return desk.serve()


def test_a_request_is_answered_in_the_bucket(desk, served):
    bench = desk.bench
    described = bench.sagemaker.describe_endpoint(EndpointName=served)
    assert described["AsyncInferenceConfig"]["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 2}
    assert described["AsyncInferenceConfig"] == bench.sagemaker.describe_endpoint_config(EndpointConfigName=served)["AsyncInferenceConfig"]
    answer = desk.ask(served, "hello", InferenceId="mine", Accept="application/json")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202 and answer["InferenceId"] == "mine"
    assert re.fullmatch(rf"s3://{bench.bucket}/{served}/out/[0-9a-f-]{{36}}\.out", answer["OutputLocation"])
    assert re.fullmatch(rf"s3://{bench.bucket}/{served}/failed/[0-9a-f-]{{36}}-error\.out", answer["FailureLocation"])
    good, text = desk.result(answer)
    assert good and json.loads(text) == {"model": 1, "asked": "hello"}
    bucket, _, key = answer["OutputLocation"].removeprefix("s3://").partition("/")
    assert bench.s3.head_object(Bucket=bucket, Key=key)["ContentType"] == "application/json"
    lines = poll(lambda: [line for stream, found in bench.log_lines(f"/aws/sagemaker/Endpoints/{served}", "v/").items()
                          if stream.endswith("/data-log") for line in found], 10, "the data log")
    assert "[mine] Inference request succeeded. ModelLatency: " in lines[0]
    poll(lambda: desk.metric("InvocationsProcesssed", served, VariantName="v"), 10, "its metrics")
    poll(lambda: desk.metric("ModelLatency", served, VariantName="v"), 10, "the model's metrics")
    assert desk.metric("TotalProcessingTime", served, "SampleCount", VariantName="v")
    for name in ("Invocations", "InvocationsPerInstance", "OverheadLatency"):
        assert not desk.metric(name, served, VariantName="v"), name


def test_what_cannot_be_answered_has_a_failure(desk, served):
    good, text = desk.result(desk.ask(served, "status 500"))
    assert not good and text == "as asked\n"
    answer = desk.bench.runtime.invoke_endpoint_async(EndpointName=served, InputLocation=f"s3://{desk.bench.bucket}/nothing")
    assert desk.result(answer) == (False, f"ClientError: Failed to download the input s3://{desk.bench.bucket}/nothing: The specified key does not exist.")
    answer = desk.ask(served, "sleep 20s", InvocationTimeoutSeconds=1)
    assert desk.result(answer) == (False, "ClientError: The model did not answer within 1 seconds.")
    poll(lambda: sum(desk.metric("InvocationFailures", served, VariantName="v")) >= 3, 10, "the failures to be counted")


def test_a_request_with_its_body_and_its_own_file_name(desk, served):
    answer = desk.bench.runtime.invoke_endpoint_async(EndpointName=served, Body=b"inline", ContentType="text/plain",
                                                      S3OutputPathExtension="day/one", Filename="result.json")
    assert answer["OutputLocation"] == f"s3://{desk.bench.bucket}/{served}/out/day/one/result.json"
    assert len(answer["InferenceId"]) == 36
    assert json.loads(desk.result(answer)[1])["asked"] == "inline"


REQUESTS = {
    "no input": ({}, "Either Body or InputLocation must be specified."),
    "two inputs": ({"Body": b"x", "InputLocation": "s3://b/k"}, "Body and InputLocation cannot both be specified."),
    "a bucket": ({"InputLocation": "s3://b/"}, "it names no object"),
    "a foreign place": ({"InputLocation": "https://example.com/x"}, "it must be the URI of an object in Amazon S3"),
    "a way out": ({"InputLocation": "s3://b/k", "S3OutputPathExtension": "a/../../b"}, "S3OutputPathExtension"),
    "too short a life": ({"InputLocation": "s3://b/k", "RequestTTLSeconds": 59}, "RequestTTLSeconds|requestTTLSeconds"),
    "too long a time": ({"InputLocation": "s3://b/k", "InvocationTimeoutSeconds": 3601}, "InvocationTimeoutSeconds|invocationTimeoutSeconds"),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_requests_that_are_refused(desk, served, case):
    members, message = REQUESTS[case]
    runtime = desk.server.client("sagemaker-runtime", config=botocore.config.Config(parameter_validation=False))
    with refused(RUNTIME, message):
        runtime.invoke_endpoint_async(EndpointName=served, **members)


def test_each_kind_of_endpoint_has_its_operation(desk, served):
    with refused(RUNTIME, "is an asynchronous endpoint"):
        desk.bench.ask(served, b"x")
    with refused(RUNTIME, "Endpoint nobody of account .* not found"):
        desk.bench.runtime.invoke_endpoint_async(EndpointName="nobody", InputLocation="s3://b/k")
    bench, name = desk.bench, unique("plain")
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": "v", "ModelName": desk.model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    desk.settled(name)
    with refused(RUNTIME, "is not an asynchronous endpoint"):
        bench.runtime.invoke_endpoint_async(EndpointName=name, InputLocation="s3://b/k")
    with refused("ValidationException", "DesiredInstanceCount of variant \"v\" must be at least 1"):
        desk.scale(name, 0)
    bench.undeploy(name)


def test_configs_that_are_refused(desk):
    with refused("ValidationException", "there is no such topic"):
        desk.config(unique("c"), notify={"IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"]})
    with refused("ValidationException", "ShadowProductionVariants cannot be specified with AsyncInferenceConfig"):
        desk.config(unique("c"), ShadowProductionVariants=[{"VariantName": "s", "ModelName": desk.model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])


def test_an_instance_that_is_lost_loses_no_request(desk):
    before = desk.server.tasks()
    name = desk.serve(room=1)
    answer = desk.ask(name, "sleep 3s again")
    time.sleep(1)
    killed = list(programs(desk.server.tasks() - before))
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert killed
    assert json.loads(desk.result(answer, 60)[1])["asked"] == "sleep 3s again"
    assert sum(desk.metric("InvocationFailures", name, VariantName="v")) == 0
    poisoned = desk.ask(name, "exit")
    assert desk.result(poisoned, 90) == (False, "InternalServerError: The instance that processed the request stopped before it answered.")
    desk.bench.undeploy(name)


def programs(pids):
    """Those processes that are the model itself, not what stands around it."""
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().split(b"\0")[0] == b"/container":
                    yield pid
        except OSError:  # it has ended meanwhile
            continue


def test_scaling_to_zero_and_back(desk):
    name = desk.serve()
    desk.scale(name, 0)
    (v,) = desk.bench.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert v["DesiredInstanceCount"] == 0
    answers = [desk.ask(name, f"n {i}") for i in range(3)]
    poll(lambda: 1 in desk.metric("HasBacklogWithoutCapacity", name, "Maximum"), 30, "the backlog without capacity to be measured")
    assert 3 in desk.metric("ApproximateBacklogSize", name, "Maximum")
    assert 3 in desk.metric("ApproximateBacklogSizePerInstance", name, "Maximum")
    assert not any(desk.exists(a["OutputLocation"]) for a in answers)
    desk.server.kill()  # an endpoint without instances takes requests after a restart as well
    desk.server.start()
    desk.clients()
    answers.append(poll(lambda: late(desk, name), 20, "the endpoint to be routed"))
    desk.scale(name, 1)
    assert [json.loads(desk.result(a)[1])["asked"] for a in answers] == ["n 0", "n 1", "n 2", "late"]
    desk.bench.undeploy(name)


def late(desk, name):
    try:
        return desk.ask(name, "late")
    except desk.bench.runtime.exceptions.ValidationError:
        return None


def test_kill_in_the_middle(desk):
    name = desk.serve(room=3)
    answers = [desk.ask(name, f"sleep 0.5s {i}" if i % 4 else "status 500") for i in range(24)]
    for _ in range(3):
        time.sleep(0.9)
        desk.server.kill()
        desk.server.start()
    desk.clients()
    for i, answer in enumerate(answers):
        good, text = desk.result(answer, 60)
        assert good == (i % 4 > 0) and (not good or json.loads(text)["asked"] == f"sleep 0.5s {i}")
    assert len(desk.bench.keys(f"s3://{desk.bench.bucket}/{name}/out/")) == 18
    assert len(desk.bench.keys(f"s3://{desk.bench.bucket}/{name}/failed/")) == 6
    desk.bench.undeploy(name)


def test_requests_end_with_their_endpoint(desk):
    name = desk.serve(room=1)
    answers = [desk.ask(name, "sleep 2s"), desk.ask(name, "waiting")]
    desk.bench.undeploy(name)
    again = unique("async")
    desk.config(again)
    desk.bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=again)  # the same name begins anew
    desk.settled(name)
    assert desk.result(desk.ask(name, "new"))[0]
    assert not any(desk.exists(a[k]) for a in answers for k in ("OutputLocation", "FailureLocation"))
    desk.bench.undeploy(name)


class Ear:
    """Two topics, and a queue behind each that hears all that is told."""

    def __init__(self, desk):
        self.sns, self.sqs = desk.server.client("sns"), desk.server.client("sqs")
        self.topics, self.queues = {}, {}
        for word in ("good", "bad"):
            name = unique(word)
            self.topics[word] = self.sns.create_topic(Name=name)["TopicArn"]
            self.queues[word] = self.sqs.create_queue(QueueName=name)["QueueUrl"]
            arn = self.sqs.get_queue_attributes(QueueUrl=self.queues[word], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            self.sqs.set_queue_attributes(QueueUrl=self.queues[word], Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}]})})
            self.sns.subscribe(TopicArn=self.topics[word], Protocol="sqs", Endpoint=arn)
        self.heard = {"good": [], "bad": []}

    def restarted(self, desk):
        """The server has another port now, which the queues' addresses hold."""
        self.sqs = desk.server.client("sqs")
        self.queues = {word: self.sqs.get_queue_url(QueueName=url.rpartition("/")[2])["QueueUrl"] for word, url in self.queues.items()}

    def listen(self):
        for word, url in self.queues.items():
            for m in self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                envelope = json.loads(m["Body"])
                assert envelope["TopicArn"] == self.topics[word]
                self.heard[word].append(json.loads(envelope["Message"]))
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])
        return self.heard

    def hears(self, good, bad, limit=30):
        """Listens until so many requests have been told of."""
        def enough():
            heard = self.listen()
            return [len({m["inferenceId"] for m in heard[word]}) for word in ("good", "bad")] == [good, bad]
        poll(enough, limit, f"{good} good and {bad} bad notifications")
        return self.heard

    def settings(self):
        return {"SuccessTopic": self.topics["good"], "ErrorTopic": self.topics["bad"],
                "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC", "ERROR_NOTIFICATION_TOPIC"]}


def test_topics_are_told(desk):
    ear = Ear(desk)
    name = desk.serve(notify=ear.settings())
    good = desk.ask(name, "hello", CustomAttributes="c=1")
    bad = desk.ask(name, "status 500")
    heard = ear.hears(1, 1)
    (told,) = heard["good"]
    assert told["invocationStatus"] == "Completed" and told["inferenceId"] == good["InferenceId"] and told["awsRegion"] == desk.bench.region
    assert told["responseParameters"] == {"contentType": "application/json", "outputLocation": good["OutputLocation"]}
    assert told["requestParameters"]["endpointName"] == name and told["requestParameters"]["customAttributes"] == "c=1"
    assert base64.b64decode(told["responseBody"]["content"]) == desk.bench.get(good["OutputLocation"])
    assert (told["eventName"], told["eventSource"], told["eventVersion"]) == ("InferenceResult", "aws:sagemaker", "1.0")
    (told,) = heard["bad"]
    assert told["invocationStatus"] == "Failed" and told["inferenceId"] == bad["InferenceId"]
    assert told["failureReason"].startswith("ClientError: Received server error (500) from model.")
    assert told["responseParameters"]["failureLocation"] == bad["FailureLocation"]
    assert base64.b64decode(told["responseBody"]["content"]) == b"as asked\n"
    desk.bench.undeploy(name)


def test_a_kill_neither_loses_nor_changes_what_is_told(desk):
    ear = Ear(desk)
    name = desk.serve(room=3, notify=ear.settings())
    answers = [desk.ask(name, f"sleep 0.4s {i}" if i % 4 else "status 500") for i in range(20)]
    for _ in range(4):
        time.sleep(0.6)
        desk.server.kill()
        desk.server.start()
    desk.clients()
    ear.restarted(desk)
    heard = ear.hears(15, 5, 60)
    assert {m["inferenceId"] for m in heard["good"]} == {a["InferenceId"] for i, a in enumerate(answers) if i % 4}
    assert {m["inferenceId"] for m in heard["bad"]} == {a["InferenceId"] for i, a in enumerate(answers) if i % 4 == 0}
    desk.bench.undeploy(name)
