# SPDX-License-Identifier: Apache-2.0
"""Every operation of the model: either it is built and tested, or it says that it is not."""

import concurrent.futures
import re

import botocore.config
import botocore.exceptions
import botocore.session
import pytest

from support import shapes
from support.server import ROOT

SERVICES = ["sagemaker", "sagemaker-runtime", "sagemaker-featurestore-runtime", "sagemaker-metrics", "sagemaker-a2i-runtime",
            "sts", "iam", "logs", "cloudwatch", "ecr", "application-autoscaling", "sns", "sqs"]

# What is not built, and what nobody signs, so that it goes no further than the gateway.
NOT_BUILT = ("NotImplementedException", "MissingAuthenticationToken")

# Operations without a request that could be refused.
NEVER_REFUSED = {("ecr", "DescribeRegistry"), ("sts", "GetCallerIdentity"), ("ecr", "GetAuthorizationToken")}


def operations():
    loaded = botocore.session.get_session()
    return [(s, o) for s in SERVICES for o in loaded.get_service_model(s).operation_names]


def minimal(shape):
    """Values for what stands in path and headers, without which there is no request."""
    return {name: "x" for name, m in shape.members.items() if m.serialization.get("location") == "uri"} if shape else {}


@pytest.fixture(scope="session")
def told(server):
    """What each operation says to a request with nothing in it: {(service, operation): (status, code, message)}."""
    clients = {s: server.client(s, botocore.config.Config(
        parameter_validation=False, inject_host_prefix=False, max_pool_connections=4)) for s in SERVICES}
    before = {k: dict(v) for k, v in shapes.calls.items()}

    def ask(key):
        service, operation = key
        client = clients[service]
        model = client.meta.service_model.operation_model(operation)
        try:
            client._make_api_call(operation, minimal(model.input_shape))
        except botocore.exceptions.ClientError as e:
            error = e.response["Error"]
            return key, (e.response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"])
        return key, (200, "OK", "")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = dict(pool.map(ask, operations()))
    # These requests test nothing of what is built.
    shapes.calls.clear()
    for k, v in before.items():
        shapes.calls[k].update(v)
    return found


def test_what_is_not_built_says_so_and_names_itself(told):
    unbuilt = {k: v for k, v in told.items() if v[1] == "NotImplementedException"}
    assert len(unbuilt) > 300
    for (service, operation), (status, _, message) in unbuilt.items():
        assert status == 501
        assert re.search(rf"\b{operation}\b", message) and "docs/coverage.md" in message, message


def test_what_is_built_answers(told):
    for key, (status, code, message) in told.items():
        assert status < 500 or code == "NotImplementedException", (key, status, code, message)


def test_the_coverage_page_tells_the_truth(told):
    page = (ROOT / "docs" / "coverage.md").read_text()
    built = {k for k, v in told.items() if v[1] not in NOT_BUILT}
    missing = [f"{s}.{o}" for s, o in built if not re.search(rf"\b{o}\b", page)]
    assert not missing, f"built, and not on the page: {missing}"


@pytest.mark.last
def test_every_built_operation_was_tested_with_a_good_and_a_refused_request(told, request):
    if request.session.testscollected < 300:
        pytest.skip("not the whole suite was run")
    built = sorted(k for k, v in told.items() if v[1] not in NOT_BUILT)
    never_good = [f"{s}.{o}" for s, o in built if not shapes.calls[s, o]["OK"]]
    never_refused = [f"{s}.{o}" for s, o in built if set(shapes.calls[s, o]) <= {"OK"} and (s, o) not in NEVER_REFUSED]
    assert not never_good, f"never asked well: {never_good}"
    assert not never_refused, f"never refused: {never_refused}"
