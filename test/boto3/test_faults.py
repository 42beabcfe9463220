# SPDX-License-Identifier: Apache-2.0
"""Containers that answer badly, late or never, that die, leak or fall ill: what callers and metrics tell, and that nobody else notices."""

import concurrent.futures
import datetime
import json
import threading
import time

import botocore.config
import botocore.exceptions
import pytest

from support import oci, work
from support.refusal import refused
from support.server import poll
from support.work import FAST, unique


LAST = "test_a_container_that_never_answers_has_a_minute"


class Ward:
    """A workbench with the image of test/support/container, whose faults are asked for by CustomAttributes."""

    def __init__(self, server, program):
        self.bench = work.Workbench(server)
        repository = self.bench.ecr.create_repository(repositoryName="faulty")["repository"]
        layers = [oci.layer({"container": (program.read_bytes(), 0o755), "etc/passwd": (b"root:x:0:0::/:/\n", 0o644), "tmp/x": (b"", 0o644)})]
        oci.Registry(server, self.bench.ecr).push("faulty", "1", layers, Entrypoint=["/container"], Env=["MODEL=none"])
        self.uri = repository["repositoryUri"] + ":1"
        # A caller that sends what boto3 holds back, from many threads.
        self.runtime = server.client("sagemaker-runtime", botocore.config.Config(parameter_validation=False, max_pool_connections=64))

    def begin(self, word, config=None, **variant):
        """Asks for an endpoint; its name."""
        name = unique(word)
        sagemaker = self.bench.sagemaker
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=self.bench.role, PrimaryContainer={"Image": self.uri})
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
            {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, **variant}], **(config or {}))
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return name

    def ready(self, name):
        self.bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
        return name

    def deploy(self, word, **variant):
        return self.ready(self.begin(word, **variant))

    def ask(self, name, do, body=b"x", **more):
        """What a fault answers, as text."""
        return self.runtime.invoke_endpoint(EndpointName=name, CustomAttributes=do, Body=body, **more)["Body"].read().decode()

    def stream(self, name, do, body=b"x", **more):
        answer = self.runtime.invoke_endpoint_with_response_stream(EndpointName=name, CustomAttributes=do, Body=body, **more)
        return answer["Body"]

    def who(self, name, **more):
        return json.loads(self.ask(name, "who", **more))

    def boots(self, name, n=40):
        """The containers that answer n requests."""
        return {self.who(name)["boot"] for _ in range(n)}

    def described(self, name):
        d = self.bench.sagemaker.describe_endpoint(EndpointName=name)
        return d["EndpointStatus"], d["ProductionVariants"][0]["CurrentInstanceCount"]

    def sums(self, name):
        """The sum of each of the invocation metrics."""
        now = datetime.datetime.now(datetime.timezone.utc)
        out = {}
        for metric in ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors"):
            found = self.bench.cloudwatch.get_metric_statistics(
                Namespace="AWS/SageMaker", MetricName=metric, StartTime=now - datetime.timedelta(minutes=30), EndTime=now + datetime.timedelta(minutes=1),
                Period=60, Statistics=["Sum"], Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "v"}])
            out[metric] = sum(p["Sum"] for p in found["Datapoints"])
        return out

    def counts(self, name, before, **more):
        """Waits until the metrics have grown by what is given, and those of errors by no more."""
        want = {k: before[k] + more.get(k, 0) for k in before}
        poll(lambda: all(n >= want[k] for k, n in self.sums(name).items()), 10, f"the metrics to be {want}")
        seen = self.sums(name)
        assert {k: n for k, n in seen.items() if "Error" in k} == {k: n for k, n in want.items() if "Error" in k}


@pytest.fixture(scope="module")
def ward(other, tmp_path_factory):
    return Ward(other("faults", "--containers", "process"), oci.program(tmp_path_factory.mktemp("program")))


@pytest.fixture(scope="module")
def never(ward, request):
    """A request that is never answered: it takes 60 s, and is looked at after all other tests. None where nobody will."""
    if not any(item.name == LAST for item in request.session.items):
        return None
    name = ward.deploy("never")
    pool = concurrent.futures.ThreadPoolExecutor(1)

    def ask():
        began = time.monotonic()
        with refused("ModelError", status=424) as caught:
            ward.ask(name, "hang")
        return time.monotonic() - began, caught.value.response
    asking = pool.submit(ask)
    pool.shutdown(wait=False)
    return name, asking


@pytest.fixture(scope="module")
def ill(ward):
    """An endpoint of two instances, one of which is told to fail its pings; when it was told, and which it is."""
    name = ward.deploy("ill", InitialInstanceCount=2)
    assert len(ward.boots(name)) == 2
    return name, ward.ask(name, "sick 1h"), time.monotonic()


@pytest.fixture(scope="module", autouse=True)
def steady(ward, never, ill):
    """An endpoint that is asked all the time, and must answer whatever happens to others."""
    name = ward.deploy("steady")
    over = threading.Event()
    seen, wrong = [], []

    def ask():
        while not over.wait(0.02):
            began = time.monotonic()
            try:
                ward.ask(name, "who")
            except Exception as e:  # any at all is a failure of the test
                wrong.append(repr(e))
            seen.append(time.monotonic() - began)
    asking = threading.Thread(target=ask)
    asking.start()
    yield name
    over.set()
    asking.join()
    assert not wrong and len(seen) > 100, (len(seen), wrong[:3])
    assert max(seen) < 30, "no request had to wait for those that are never answered"


@pytest.fixture(scope="module")
def faulty(ward):
    """An endpoint whose only container is asked for faults that it survives."""
    return ward.deploy("faulty")


# --- answers ------------------------------------------------------------------

def test_a_late_answer_is_an_answer(ward, faulty):
    before = ward.sums(faulty)
    began = time.monotonic()
    assert ward.ask(faulty, "late 2s") == ward.who(faulty)["boot"]
    assert time.monotonic() - began >= 2
    ward.counts(faulty, before, Invocations=2)


@pytest.mark.parametrize("status, side, metric", [
    (400, "client", "Invocation4XXErrors"), (404, "client", "Invocation4XXErrors"), (429, "client", "Invocation4XXErrors"),
    (500, "server", "Invocation5XXErrors"), (503, "server", "Invocation5XXErrors"), (507, "server", "Invocation5XXErrors")])
def test_a_status_is_told_as_it_was(ward, faulty, status, side, metric):
    before = ward.sums(faulty)
    with refused("ModelError", rf'Received {side} error \({status}\) from primary with message "why: é"\. See https://', 424) as caught:
        ward.ask(faulty, f"status {status}", "why: é".encode())
    told = caught.value.response
    assert (told["OriginalStatusCode"], told["OriginalMessage"]) == (status, "why: é")
    assert told["LogStreamArn"] == f"arn:aws:logs:{ward.bench.region}:{ward.bench.account}:log-group:/aws/sagemaker/Endpoints/{faulty}"
    with refused("ModelError", rf"\({status}\)", 424):
        ward.stream(faulty, f"status {status}")
    ward.counts(faulty, before, Invocations=2, InvocationModelErrors=2, **{metric: 2})


@pytest.mark.parametrize("do, text", [("garbage", "was not HTTP"), ("hangup", "closed the connection"),
                                      ("cut", "broke off"), ("cut-pieces 3", "broke off")])
def test_no_answer_is_a_server_error_of_the_model(ward, faulty, do, text):
    before = ward.sums(faulty)
    with refused("ModelError", rf"Received server error \(0\) from primary with message .*{text}", 424) as caught:
        ward.ask(faulty, do)
    told = caught.value.response
    assert told["OriginalStatusCode"] == 0 and told["OriginalMessage"] and told["LogStreamArn"].endswith(faulty)
    ward.counts(faulty, before, Invocations=1, InvocationModelErrors=1, Invocation5XXErrors=1)
    assert ward.who(faulty)["bytes"] == 1, "the next request is answered"


def test_a_long_answer_that_is_cut_looks_cut(ward, faulty):
    before = ward.sums(faulty)
    body = ward.runtime.invoke_endpoint(EndpointName=faulty, CustomAttributes="cut-large", Body=b"x")["Body"]
    with pytest.raises((botocore.exceptions.IncompleteReadError, botocore.exceptions.ResponseStreamingError)):
        body.read()
    body.close()
    ward.counts(faulty, before, Invocations=1, InvocationModelErrors=1, Invocation5XXErrors=1)


@pytest.mark.parametrize("size", [0, 1, 5000, 300_000, 6_000_000, 20_000_000])
def test_answers_of_any_size_are_whole(ward, faulty, size):
    got = ward.runtime.invoke_endpoint(EndpointName=faulty, CustomAttributes=f"large {size}", Body=b"x")["Body"].read()
    assert len(got) == size and not any(got[:1000])


def test_early_hints_are_no_answer(ward, faulty):
    assert ward.ask(faulty, "early") == "later"
    assert ward.who(faulty)["bytes"] == 1


def test_a_stream_that_breaks_tells_so(ward, faulty):
    before = ward.sums(faulty)
    got, stream = [], ward.stream(faulty, "cut-pieces 3 50ms")
    with pytest.raises(botocore.exceptions.EventStreamError) as caught:
        for event in stream:
            got.append(event["PayloadPart"]["Bytes"])
    assert b"".join(got) == b"piece 0\npiece 1\npiece 2\n" and len(got) == 3, "what came before the break was passed on as it came"
    error = caught.value.response["Error"]
    assert error["Code"] == "ModelStreamError"
    # botocore keeps of an exception what every error has; the ErrorCode is in the event.
    assert "broke off" in str(caught.value)
    stream.close()
    ward.counts(faulty, before, Invocations=1, InvocationModelErrors=1, Invocation5XXErrors=1)


def test_a_stream_of_no_answer_is_refused_at_once(ward, faulty):
    for do in ("garbage", "hangup"):
        with refused("ModelError", r"Received server error \(0\)", 424):
            ward.stream(faulty, do)


def test_a_stream_comes_piece_by_piece(ward, faulty):
    began, times = time.monotonic(), []
    for event in ward.stream(faulty, "pieces 4 300ms"):
        times.append(time.monotonic() - began)
    assert len(times) == 4 and times[0] < 0.3 and times[3] >= 0.9


def test_a_caller_that_leaves_a_stream_frees_the_container(ward):
    name = ward.deploy("left")
    stream = ward.stream(name, "hang-pieces 1")
    assert next(iter(stream))["PayloadPart"]["Bytes"] == b"piece 0\n"
    stream.close()

    def told():
        lines = ward.bench.log_lines(f"/aws/sagemaker/Endpoints/{name}", "v/")
        return [line for stream in lines.values() for line in stream if "went away" in line]
    poll(told, 10, "the container to hear of it")
    ward.bench.undeploy(name)


# --- headers and bodies ---------------------------------------------------------

def test_only_the_documented_headers_are_passed_on(ward, faulty):
    got = ward.who(faulty, ContentType="text/x", Accept="text/y", InferenceId="id-1", body=b"12345")
    assert got["bytes"] == 5
    assert got["headers"] == {"Content-Type": ["text/x"], "Accept": ["text/y"], "Content-Length": ["5"],
                              "X-Amzn-Sagemaker-Custom-Attributes": ["who"], "X-Amzn-Sagemaker-Inference-Id": ["id-1"]}
    answer = ward.runtime.invoke_endpoint(EndpointName=faulty, CustomAttributes="attributes a=b c=d", Body=b"x")
    assert answer["CustomAttributes"].strip() == "a=b c=d"
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert "set-cookie" not in headers and headers["x-amzn-requestid"] != "not-ours"
    streamed = ward.runtime.invoke_endpoint_with_response_stream(EndpointName=faulty, CustomAttributes="attributes a=b", Body=b"x")
    assert streamed["CustomAttributes"].strip() == "a=b" and list(streamed["Body"]) == []


@pytest.mark.parametrize("member, value", [
    ("InferenceId", "x" * 65), ("CustomAttributes", "x" * 1025), ("CustomAttributes", "é"), ("SessionId", "x" * 257), ("SessionId", "-"),
    ("TargetVariant", "under_score"), ("TargetContainerHostname", "a b"), ("ContentType", "x" * 1025)])
def test_values_beyond_the_model_are_refused(ward, faulty, member, value):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        ward.runtime.invoke_endpoint(EndpointName=faulty, Body=b"x", **{member: value})
    assert caught.value.response["Error"]["Code"] == "ValidationError", caught.value
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert member[0].lower() + member[1:] in str(caught.value)


def test_a_body_of_6_mib_and_not_a_byte_more(ward, faulty):
    limit = 6 << 20
    for size in (limit - 1, limit):
        assert json.loads(ward.ask(faulty, "who", b"x" * size))["bytes"] == size
    for call in (ward.ask, ward.stream):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            call(faulty, "who", b"x" * (limit + 1))
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413, caught.value
    assert ward.who(faulty)["bytes"] == 1


def test_an_empty_body(ward, faulty):
    assert ward.who(faulty, body=b"")["bytes"] == 0


# --- sessions -------------------------------------------------------------------

def opened(answer):
    """A session's ID and which container has it."""
    return answer["NewSessionId"].split(";")[0], answer["Body"].read().decode()


def test_sessions_stick_to_their_instance_and_variant(ward):
    name = unique("sessions")
    sagemaker = ward.bench.sagemaker
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ward.bench.role, PrimaryContainer={"Image": ward.uri})
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        {"VariantName": v, "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": n} for v, n in (("v", 2), ("w", 1))])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    ward.ready(name)

    def ask(do="session", **more):
        return ward.runtime.invoke_endpoint(EndpointName=name, CustomAttributes=do, Body=b"x", **more)
    held = [opened(ask("session 1h", SessionId="NEW_SESSION")) for _ in range(12)]
    assert len({boot for _, boot in held}) == 3 and len({i for i, _ in held}) == 12
    for _ in range(5):
        for session, boot in held:
            assert ask(SessionId=session)["Body"].read().decode() == boot
            parts = ward.stream(name, "session", SessionId=session)
            assert b"".join(e["PayloadPart"]["Bytes"] for e in parts).decode() == boot
    first = held[0][0]
    answer = ask("session close", SessionId=first)
    assert answer["ClosedSessionId"] == first
    for session in (first, "never-opened"):
        with refused("ValidationError", f"Session {session} of endpoint"):
            ask(SessionId=session)
    short, _ = opened(ask("session 1s", SessionId="NEW_SESSION"))
    time.sleep(2.1)  # the header tells whole seconds
    with refused("ValidationError", f"Session {short} of endpoint"):
        ask(SessionId=short)
    with refused("ValidationError", "'NEW_SESSION' at 'sessionId'"):
        ward.stream(name, "session", SessionId="NEW_SESSION")
    # A session ends with its instance.
    session, boot = held[1]
    with refused("ServiceUnavailable", status=503):
        ask("crash 0", SessionId=session)
    poll(lambda: ward.bench.sagemaker.describe_endpoint(EndpointName=name) and boot not in {ward.who(name)["boot"] for _ in range(10)}, 20, "the instance to go")
    with refused("ValidationError", f"Session {session} of endpoint"):
        ask(SessionId=session)
    ward.bench.undeploy(name)


# --- load -----------------------------------------------------------------------

def test_more_than_the_queue_holds_is_refused_at_once(ward):
    """One instance takes 1024 requests; those that come while it has them are told at once."""
    name = ward.deploy("overload")

    def hold(client):
        try:
            return client.invoke_endpoint(EndpointName=name, CustomAttributes="gather 1024 3s", Body=b"x")["Body"].read() != b""
        except botocore.exceptions.ClientError as e:
            return e.response["Error"]["Code"]
    client = ward.bench.server.client("sagemaker-runtime", botocore.config.Config(max_pool_connections=1100))
    before = ward.sums(name)
    with concurrent.futures.ThreadPoolExecutor(1060) as pool:
        done = [pool.submit(hold, client) for _ in range(1060)]
        seen = [f.result() for f in done]
    client.close()  # else its sockets are told of as unclosed, whenever they are collected
    assert seen.count(True) == 1024 and seen.count("ServiceUnavailable") == 36, {s: seen.count(s) for s in set(seen)}
    ward.counts(name, before, Invocations=1060, InvocationModelErrors=36, Invocation5XXErrors=36)
    assert ward.who(name)["bytes"] == 1
    ward.bench.undeploy(name)


# --- containers that die ----------------------------------------------------------

def test_a_leak_ends_its_own_instance_only(ward):
    """The limit is that of the instance type: 3.75 GiB."""
    name = ward.deploy("leak", InitialInstanceCount=2, InstanceType="ml.c4.large")
    boots = ward.boots(name)
    assert len(boots) == 2
    before = ward.sums(name)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        leaking = pool.submit(ward.ask, name, "leak")
        answered = 0
        while not leaking.done():
            ward.who(name)
            answered += 1
        with refused("ServiceUnavailable", "has no instance that can take the request now", 503):
            leaking.result()
    assert answered > 10
    poll(lambda: ward.described(name) == ("InService", 2) and len(ward.boots(name) - boots) == 1, 20, "another instance in its place")
    assert len(ward.boots(name) & boots) == 1, "the other one went on"
    ward.counts(name, before, InvocationModelErrors=1, Invocation5XXErrors=1)
    assert "OOMKilled" in ward.bench.server.log.read_text()
    ward.bench.undeploy(name)


def test_a_crash_loop_after_service_is_waited_out(ward):
    name = ward.deploy("loop", InitialInstanceCount=2)
    boots = ward.boots(name)
    with refused("ServiceUnavailable", status=503):
        ward.ask(name, "crash 4")
    counts, deadline = set(), time.monotonic() + 40
    while time.monotonic() < deadline:
        assert ward.who(name)["boot"]  # the other instance answers all the time
        status, n = ward.described(name)
        assert status == "InService"
        counts.add(n)
        if n == 2 and 1 in counts:
            break
    assert counts == {1, 2}
    poll(lambda: len(ward.boots(name) - boots) == 1, 10, "the instance in its fifth life")
    lines = ward.bench.log_lines(f"/aws/sagemaker/Endpoints/{name}", "v/")
    assert len(lines) == 7, "each life has a stream: two at first, and five"
    assert sum("crash, to come again" in line for stream in lines.values() for line in stream) == 4
    ward.bench.undeploy(name)


def test_an_endpoint_whose_only_instance_crashes_says_so_meanwhile(ward):
    name = ward.deploy("alone")
    with refused("ServiceUnavailable", status=503):
        ward.ask(name, "crash 3")
    poll(lambda: ward.described(name) == ("InService", 0), 10, "the instance to be missed")
    with refused("ServiceUnavailable", "has no instance that can take the request now", 503):
        ward.who(name)
    with refused("ServiceUnavailable", "has no instance that can take the request now", 503):
        ward.stream(name, "who")
    poll(lambda: ward.described(name) == ("InService", 1), 20, "the instance to be back")
    assert ward.who(name)["bytes"] == 1
    ward.bench.undeploy(name)


# --- last, since they take their time ------------------------------------------------

def test_an_instance_that_fails_its_pings_is_replaced(ward, ill):
    name, boot, since = ill
    poll(lambda: ward.described(name)[1] == 1 or boot not in ward.boots(name, 20), 30, "the ill instance to be taken out")
    assert time.monotonic() - since > 5, "one ping missed is none"
    assert ward.described(name)[0] == "InService"
    assert len(ward.boots(name)) >= 1

    def back():
        boots = ward.boots(name)
        return len(boots) == 2 and boot not in boots and ward.described(name) == ("InService", 2)
    poll(back, 20, "another in its place")
    sums = ward.sums(name)
    assert sums["InvocationModelErrors"] == 0, "no request was lost"
    ward.bench.undeploy(name)


@pytest.mark.last
def test_a_container_that_never_answers_has_a_minute(ward, never):
    name, asking = never
    took, told = asking.result()
    assert 59 < took < 65
    assert (told["OriginalStatusCode"], told["Error"]["Code"]) == (0, "ModelError")
    assert "timed out while waiting for a response from container primary" in told["OriginalMessage"]
    poll(lambda: ward.sums(name)["Invocation5XXErrors"] == 1, 10, "the error to be counted")
    assert ward.who(name)["bytes"] == 1, "it takes other requests"
    ward.bench.undeploy(name)
