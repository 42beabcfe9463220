# SPDX-License-Identifier: Apache-2.0
"""Checks every answer that a boto3 client gets against botocore's model.

botocore itself forgives nearly everything in an answer: members that the model
does not know are dropped, required ones may be missing. Here both fail the
test, and so do wrong types, unknown enum values, null, strings that do not
match their pattern, times without a zone, and answers of status 500.
"""

import collections
import datetime
import json
import re
import xml.etree.ElementTree as ElementTree

import botocore.session
from botocore.eventstream import EventStream

# Members that the model requires and the service leaves out nonetheless.
ABSENT = {
    # A job that has no model yet, or will have none, cannot tell where it is.
    ("sagemaker.DescribeTrainingJob", "ModelArtifacts"),
}

# Lists that are longer than the model says.
LONGER = {
    # What a built-in image defines: a train and a validation metric for each of XGBoost's.
    "sagemaker.DescribeTrainingJob.AlgorithmSpecification.MetricDefinitions",
}

# Strings and lists that are shorter than the model says.
SHORTER = {
    # What ECR itself answers of a repository without images, and when none was deleted.
    "ecr.ListImages.imageIds", "ecr.BatchDeleteImage.imageIds",
    # The account's root has neither path nor name, and the account as its ID.
    "iam.GetUser.User.Path", "iam.GetUser.User.UserName", "iam.GetUser.User.UserId",
}

# Values that are no value of their enum.
OTHER = {
    # The embedded S3 server on an upload that was begun without a checksum.
    ("s3.ListParts.ChecksumAlgorithm", "null"), ("s3.ListParts.ChecksumType", "null"),
    # What IAM itself answers here.
    ("iam.SimulatePrincipalPolicy.EvaluationResults[].MatchedStatements[].SourcePolicyType", "IAM Policy"),
}

# What was called in this session: (service, operation) → Counter of "OK" and error codes.
calls = collections.defaultdict(collections.Counter)


def install():
    """Makes every client of this process checked."""
    create = botocore.session.Session.create_client

    def checked(self, *args, **kwargs):
        client = create(self, *args, **kwargs)
        client.meta.events.register("after-call", check_call)
        return client

    botocore.session.Session.create_client = checked


def check_call(http_response, parsed, model, **_):
    """Is called by botocore after each answer; raises AssertionError."""
    where = f"{model.service_model.service_name}.{model.name}"
    protocol = model.service_model.resolved_protocol
    status = http_response.status_code
    if status >= 300:
        error = parsed.get("Error", {})
        code = error.get("Code")
        calls[model.service_model.service_name, model.name][code] += 1
        assert code, f"{where}: an error without a code: HTTP {status} {http_response.content[:500]!r}"
        # The answer to HEAD has no body, so that its error has no text.
        assert error.get("Message") or model.http.get("method") == "HEAD", f"{where}: {code} without a message"
        assert status < 500 or code in ("NotImplementedException", "ServiceUnavailable"), \
            f"{where}: HTTP {status} {code}: {error.get('Message')}"
        if protocol in ("json", "rest-json"):
            check_raw_error(where, http_response, model, code)
    else:
        calls[model.service_model.service_name, model.name]["OK"] += 1
        if model.output_shape is not None:
            answer = {k: v for k, v in parsed.items() if k != "ResponseMetadata"}
            check_parsed(answer, model.output_shape, where, root=True)
        if not model.has_streaming_output and not model.has_event_stream_output:
            check_raw_answer(where, protocol, http_response, model)
    assert parsed["ResponseMetadata"].get("RequestId"), f"{where}: the answer has no request ID"


def check_raw_answer(where, protocol, response, model):
    shape = model.output_shape
    body = response.content
    if protocol == "query":
        check_xml(ElementTree.fromstring(body), model, where)
    elif protocol in ("json", "rest-json"):
        assert response.headers.get("Content-Type", "").startswith("application/"), \
            f"{where}: content type {response.headers.get('Content-Type')}"
        if shape is None or "payload" in shape.serialization:
            return
        raw = json.loads(body or b"{}")
        check_raw(raw, shape, where)


def check_raw_error(where, response, model, code):
    raw = json.loads(response.content)
    known = {"__type", "message", "Message", "code", "Code"}
    for shape in model.error_shapes:
        if shape.name == code or shape.error_code == code:
            known |= set(shape.members)
    unknown = set(raw) - known
    assert not unknown, f"{where}: the error {code} has unknown members {unknown}"


def check_parsed(value, shape, at, root=False):
    """Compares what botocore read with the shape."""
    kind = shape.type_name
    if kind == "structure":
        if isinstance(value, EventStream):
            return  # its events are the caller's to read
        assert isinstance(value, dict), f"{at}: {value!r} is no structure"
        for name in shape.required_members:
            assert value.get(name) is not None or (at, name) in ABSENT, f"{at}: the required member {name} is missing"
        if getattr(shape, "is_tagged_union", False) and not root:
            assert len(value) == 1, f"{at}: a union with the members {list(value)}"
        for name, item in value.items():
            assert name in shape.members, f"{at}: unknown member {name}"
            check_parsed(item, shape.members[name], f"{at}.{name}")
    elif kind == "list":
        assert isinstance(value, list), f"{at}: {value!r} is no list"
        check_size(value, shape, at)
        for i, item in enumerate(value):
            check_parsed(item, shape.member, f"{at}[{i}]")
    elif kind == "map":
        assert isinstance(value, dict), f"{at}: {value!r} is no map"
        check_size(value, shape, at)
        for key, item in value.items():
            check_parsed(key, shape.key, f"{at} key")
            check_parsed(item, shape.value, f"{at}[{key!r}]")
    elif kind == "string":
        if shape.name == "policyDocumentType" and isinstance(value, dict):
            return  # botocore has decoded it
        assert isinstance(value, str), f"{at}: {value!r} is no string"
        check_string(value, shape, at)
    elif kind in ("integer", "long"):
        assert isinstance(value, int) and not isinstance(value, bool), f"{at}: {value!r} is no integer"
    elif kind in ("float", "double"):
        assert isinstance(value, (int, float)) and not isinstance(value, bool), f"{at}: {value!r} is no number"
    elif kind == "boolean":
        assert isinstance(value, bool), f"{at}: {value!r} is no boolean"
    elif kind == "timestamp":
        assert isinstance(value, datetime.datetime) and value.tzinfo is not None, f"{at}: {value!r} is no time with a zone"
        assert 2010 < value.year < 2100, f"{at}: the time {value} cannot be right"


def check_string(value, shape, at):
    enum = shape.enum if hasattr(shape, "enum") else None
    # In XML an empty element is as good as none.
    if enum and (value or not at.startswith("s3.")) and (re.sub(r"\[\d+]", "[]", at), value) not in OTHER:
        assert value in enum, f"{at}: {value!r} is none of {enum}"
    check_size(value, shape, at)
    pattern = shape.metadata.get("pattern")
    if pattern and (value or at not in SHORTER):
        try:
            compiled = re.compile(pattern)
        except re.error:  # Java's \p{...}
            return
        assert compiled.fullmatch(value), f"{at}: {value!r} does not match {pattern}"


def check_size(value, shape, at):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    assert low is None or len(value) >= low or at in SHORTER, f"{at}: {value!r:.200} is shorter than {low}"
    assert high is None or len(value) <= high or at in LONGER, f"{at}: {value!r:.200} is longer than {high}"


def check_raw(value, shape, at):
    """Compares the JSON itself with the shape: what botocore would drop or coerce."""
    kind = shape.type_name
    assert value is not None, f"{at}: null; members that are not set must be left out"
    if kind == "structure":
        assert isinstance(value, dict), f"{at}: {value!r} is no object"
        known = {m.serialization.get("name", name): m for name, m in shape.members.items()}
        for name, item in value.items():
            assert name in known, f"{at}: the model has no member {name}"
            check_raw(item, known[name], f"{at}.{name}")
    elif kind == "list":
        assert isinstance(value, list), f"{at}: {value!r} is no array"
        for i, item in enumerate(value):
            check_raw(item, shape.member, f"{at}[{i}]")
    elif kind == "map":
        assert isinstance(value, dict), f"{at}: {value!r} is no object"
        for key, item in value.items():
            check_raw(item, shape.value, f"{at}[{key!r}]")
    elif kind == "string":
        assert isinstance(value, str), f"{at}: {value!r} is no string"
    elif kind in ("integer", "long"):
        assert isinstance(value, int) and not isinstance(value, bool), f"{at}: {value!r} is no integer"
    elif kind in ("float", "double"):
        assert isinstance(value, (int, float)) and not isinstance(value, bool), f"{at}: {value!r} is no number"
    elif kind == "boolean":
        assert isinstance(value, bool), f"{at}: {value!r} is no boolean"
    elif kind == "timestamp":
        # The Go, Java and JavaScript SDKs read nothing but numbers in awsJson.
        assert isinstance(value, (int, float)) and not isinstance(value, bool), f"{at}: the time {value!r} is no number"
        assert round(value, 3) == value, f"{at}: the time {value!r} has more than milliseconds"


def check_xml(root, model, where):
    """Looks for elements of a query answer that the model does not know."""
    def tag(e):
        return e.tag.rpartition("}")[2]

    assert tag(root) == model.name + "Response", f"{where}: the root element is {root.tag}"
    parts = {tag(e): e for e in root}
    assert "ResponseMetadata" in parts, f"{where}: no ResponseMetadata"
    wrapper = model.output_shape.serialization.get("resultWrapper") if model.output_shape else None
    assert set(parts) <= {"ResponseMetadata", wrapper}, f"{where}: elements {list(parts)}"

    def walk(element, shape, at):
        if shape.type_name == "structure":
            known = {m.serialization.get("name", name): m for name, m in shape.members.items()}
            for child in element:
                assert tag(child) in known, f"{at}: the model has no member {tag(child)}"
                walk(child, known[tag(child)], f"{at}.{tag(child)}")
        elif shape.type_name == "list":
            for child in element:
                assert tag(child) == shape.member.serialization.get("name", "member"), f"{at}: element {child.tag}"
                walk(child, shape.member, f"{at}[]")

    if wrapper in parts:
        walk(parts[wrapper], model.output_shape, where)
