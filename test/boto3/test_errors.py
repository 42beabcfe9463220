# SPDX-License-Identifier: Apache-2.0
"""Requests that no client would send: each is refused in the service's form."""

import datetime
import hashlib
import http.client
import json
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest

from support.work import csv

JSON = {"X-Amz-Target": "SageMaker.DescribeModel", "Content-Type": "application/x-amz-json-1.1"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def code(self):
        """The error code, where a client of the answer's protocol looks for it."""
        if self.body[:1] == b"{":
            return json.loads(self.body)["__type"]
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()

    @property
    def message(self):
        if self.body[:1] == b"{":
            return json.loads(self.body)["message"]
        return self.body.partition(b"<Message>")[2].partition(b"</Message>")[0].decode()


def send(server, method="POST", path="/", headers=(), body=b"", service="sagemaker", key=None, secret=None, token=None,
         skew=datetime.timedelta(0), region=None, after=None):
    """Sends a request, signed unless service is None by a clock that is wrong by skew; after may change its headers then."""
    request = botocore.awsrequest.AWSRequest(method=method, url=server.url + path, data=body, headers=dict(headers))
    c = server.credentials
    if service:
        credentials = botocore.credentials.Credentials(key or c["accessKeyId"], secret or c["secretAccessKey"])
        signer = botocore.auth.SigV4Auth(credentials, service, region or c["region"])
        when = (datetime.datetime.now(datetime.timezone.utc) + skew).strftime("%Y%m%dT%H%M%SZ")
        request.context["timestamp"] = when  # where add_auth would put the time of now
        request.headers["X-Amz-Date"] = when
        if token:
            request.headers["X-Amz-Security-Token"] = token
        if service == "s3":
            request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
        signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        signer._inject_signature_to_request(request, signature)
    sent = dict(request.headers.items())
    if after:
        after(sent)
    to = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(to.hostname, to.port, timeout=30)
    try:
        try:
            connection.request(method, path, body=body, headers=sent)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before it was sent: as urllib3 does, read why
        return Answer(connection.getresponse())
    finally:
        connection.close()


def describe(**more):
    return {"headers": JSON, "body": b'{"ModelName":"m"}', **more}


@pytest.fixture(autouse=True)
def nothing_is_made(bench):
    """No refusal leaves a record behind."""
    def count():
        listed = bench.sagemaker.list_models(MaxResults=100)["Models"], bench.sagemaker.list_training_jobs(
            MaxResults=100)["TrainingJobSummaries"], bench.iam.list_roles()["Roles"]
        return [sorted(x[next(k for k in x if k.endswith("Name"))] for x in part) for part in listed]
    before = count()
    yield
    assert count() == before


def test_the_signing_here_is_good(server):
    answer = send(server, **describe())
    assert (answer.status, answer.code) == (400, "ValidationException")
    assert "Could not find model" in answer.message


MINUTES = datetime.timedelta(minutes=1)


@pytest.mark.parametrize("request_, status, code", [
    (describe(service=None), 400, "MissingAuthenticationTokenException"),
    (describe(secret="wrong"), 400, "InvalidSignatureException"),
    (describe(key="AKIAIOSFODNN7EXAMPLE"), 400, "UnrecognizedClientException"),
    (describe(token="a-token-that-nobody-gave"), 400, "UnrecognizedClientException"),
    (describe(skew=-16 * MINUTES), 400, "InvalidSignatureException"),
    (describe(skew=16 * MINUTES), 400, "InvalidSignatureException"),
    (describe(after=lambda h: h.update({"X-Amz-Date": "20200101T000000Z"})), 400, "InvalidSignatureException"),
    (describe(after=lambda h: h.update({"X-Amz-Target": "SageMaker.DeleteModel"})), 400, "InvalidSignatureException"),
    (describe(after=lambda h: h.update({"Authorization": "AWS4-HMAC-SHA256 nonsense"})), 400, "IncompleteSignatureException"),
    ({"path": "/endpoints/e/invocations", "body": b"1", "service": None}, 403, "MissingAuthenticationTokenException"),
    ({"path": "/endpoints/e/invocations", "body": b"1", "secret": "wrong"}, 403, "InvalidSignatureException"),
    ({"path": "/endpoints/e/invocations", "body": b"1", "skew": -16 * MINUTES}, 403, "InvalidSignatureException"),
    ({"headers": FORM, "body": b"Action=GetCallerIdentity&Version=2011-06-15", "service": None}, 403, "MissingAuthenticationToken"),
    ({"headers": FORM, "body": b"Action=GetCallerIdentity&Version=2011-06-15", "service": "sts", "secret": "wrong"}, 403,
     "SignatureDoesNotMatch"),
    ({"headers": FORM, "body": b"Action=GetCallerIdentity&Version=2011-06-15", "service": "sts", "skew": -16 * MINUTES}, 403,
     "SignatureDoesNotMatch"),
    ({"method": "GET", "path": "/BUCKET/key", "service": None}, 403, "AccessDenied"),
    ({"method": "GET", "path": "/BUCKET/key", "service": "s3", "secret": "wrong"}, 403, "SignatureDoesNotMatch"),
    ({"method": "GET", "path": "/BUCKET/key", "service": "s3", "skew": -16 * MINUTES}, 403, "RequestTimeTooSkewed"),
], ids=["unsigned", "wrong secret", "unknown key", "unasked token", "too old", "from the future", "another date", "another operation",
        "no signature", "unsigned invocation", "wrongly signed invocation", "old invocation", "unsigned query", "wrongly signed query",
        "old query", "unsigned object", "wrongly signed object", "old object"])
def test_a_request_that_is_not_rightly_signed(bench, server, request_, status, code):
    if "path" in request_:  # S3 tells everyone whether a bucket exists
        request_ = {**request_, "path": request_["path"].replace("BUCKET", bench.bucket)}
    answer = send(server, **request_)
    assert (answer.status, answer.code) == (status, code), answer.body
    assert answer.message


def test_fourteen_minutes_are_no_skew(server):
    for skew in (-14 * MINUTES, 14 * MINUTES):
        assert send(server, **describe(skew=skew)).code == "ValidationException"


def test_a_changed_body_is_noticed(server):
    request = describe()
    to = urllib.parse.urlsplit(server.url)
    kept = {}
    send(server, **request, after=kept.update)
    connection = http.client.HTTPConnection(to.hostname, to.port, timeout=30)
    kept.pop("Content-Length", None)
    connection.request("POST", "/", body=b'{"ModelName":"n"}', headers=kept)
    answer = Answer(connection.getresponse())
    connection.close()
    assert (answer.status, answer.code) == (400, "InvalidSignatureException")


@pytest.mark.parametrize("target, code", [
    ("SageMaker.MakeCoffee", "UnknownOperationException"),
    ("Nobody.DescribeModel", "UnknownOperationException"),
    ("SageMaker", "UnknownOperationException"),
])
def test_an_unknown_operation(server, target, code):
    answer = send(server, headers={**JSON, "X-Amz-Target": target}, body=b"{}")
    assert answer.status in (400, 404) and answer.code == code, answer.body


def test_an_unknown_query_action(server):
    answer = send(server, headers=FORM, body=b"Action=MakeCoffee&Version=2010-05-08", service="iam")
    assert (answer.status, answer.code) == (400, "InvalidAction")


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"text"', b'{"ModelName": 5}', b'{"ModelName": "m"} trailing', b"\xff\xfe", b'{"ModelName": {"a": 1}}',
                                  b'{"ModelName": "a", "ModelName": ["b"]}', b"[" * 10_000, b'{"ModelName":' * 10_000],
                         ids=["cut", "empty", "array", "string", "number", "trailing", "not UTF-8", "object", "twice", "deep array", "deep object"])
def test_malformed_json(server, body):
    answer = send(server, headers=JSON, body=body)
    assert answer.status == 400, answer.body
    assert answer.code in ("SerializationException", "ValidationException"), answer.body
    assert answer.headers["x-amzn-RequestId"]
    assert answer.code == "SerializationException" or body == b"", answer.body


def test_members_that_the_model_does_not_know_are_ignored(server):
    answer = send(server, headers=JSON, body=b'{"ModelName":"m","Colour":"green"}')
    assert answer.code == "ValidationException" and "Could not find model" in answer.message


def test_an_empty_name_is_a_constraint(server):
    answer = send(server, headers=JSON, body=b"{}")
    assert (answer.status, answer.code) == (400, "ValidationException")
    assert answer.message == ("1 validation error detected: Value null at 'modelName' failed to satisfy constraint: "
                              "Member must not be null")


@pytest.mark.parametrize("request_", [
    {"headers": JSON}, {"path": "/endpoints/served/invocations", "headers": {"Content-Type": "text/csv"}},
    {"headers": FORM, "service": "iam"},
], ids=["control plane", "invocation", "query"])
def test_ten_megabytes(server, request_):
    answer = send(server, body=b"x" * (10 << 20), **request_)
    assert answer.status == 413, answer.body
    assert answer.code and answer.message


def test_ten_megabytes_from_boto3(bench):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        bench.sagemaker.create_model(ModelName="m", ExecutionRoleArn=bench.role, PrimaryContainer={
            "Image": bench.image, "Environment": {f"k{i}": "v" * 1000 for i in range(10_000)}})
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_a_body_that_is_shorter_than_it_says(server):
    answer = None
    to = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(to.hostname, to.port, timeout=30)
    connection.putrequest("POST", "/")
    for name, value in {**JSON, "Content-Length": "100"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"{")
    connection.sock.shutdown(1)
    try:
        answer = Answer(connection.getresponse())
    except http.client.HTTPException:
        pass
    finally:
        connection.close()
    assert answer is None or answer.status == 400


@pytest.mark.parametrize("method, path", [("GET", "/endpoints/e/invocations"), ("DELETE", "/endpoints/e/invocations"),
                                          ("POST", "/no/such/path"), ("PATCH", "/"), ("GET", "/endpoints")])
def test_odd_paths_are_no_server_error(server, method, path):
    for service in ("sagemaker", None):
        answer = send(server, method=method, path=path, service=service)
        assert 400 <= answer.status < 500, (answer.status, answer.body)


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a%2fb", "a" * 200, "caf%C3%A9"])
def test_odd_endpoint_names(server, name):
    answer = send(server, path=f"/endpoints/{name}/invocations", headers={"Content-Type": "text/csv"}, body=b"1")
    assert 400 <= answer.status < 500, (answer.status, answer.body)


def test_the_answer_names_its_request(server):
    ids = {send(server, **describe()).headers["x-amzn-RequestId"] for _ in range(3)}
    assert len(ids) == 3 and all(len(i) == 36 for i in ids)


def test_nothing_of_this_harmed_the_endpoint(bench, endpoint):
    assert bench.ask(endpoint, csv(bench.held_out[:1]))[1]["ResponseMetadata"]["HTTPStatusCode"] == 200
