# SPDX-License-Identifier: Apache-2.0
"""Models, endpoint configs, endpoints, and what InvokeEndpoint answers."""

import collections
import concurrent.futures
import datetime
import io
import json
import os
import signal
import time

import botocore.exceptions
import numpy
import pytest

from support import work
from support.refusal import refused
from support.server import poll
from support.work import FAST, csv, unique

RUNTIME = "ValidationError"  # what the runtime calls ValidationException


@pytest.fixture(scope="module")
def artifact(trained):
    return trained["ModelArtifacts"]["S3ModelArtifacts"]


# --- models -----------------------------------------------------------------

def model_request(bench, data, name=None, **container):
    container = {"Image": bench.image, "ModelDataUrl": data, **container}
    return {"ModelName": name or unique("model"), "ExecutionRoleArn": bench.role,
            "PrimaryContainer": {k: v for k, v in container.items() if v is not None}}


def test_a_model_is_described_as_created(bench, artifact):
    request = model_request(bench, artifact, Environment={"LOG_LEVEL": "20"})
    name = request["ModelName"]
    arn = bench.sagemaker.create_model(**request)["ModelArn"]
    assert arn == f"arn:aws:sagemaker:{bench.region}:{bench.account}:model/{name}"
    got = bench.sagemaker.describe_model(ModelName=name)
    assert got["ModelArn"] == arn and got["ExecutionRoleArn"] == bench.role and got["EnableNetworkIsolation"] is False
    assert got["PrimaryContainer"] == {**request["PrimaryContainer"], "Mode": "SingleModel"}
    with refused("ValidationException", f'Cannot create already existing model "{arn}"'):
        bench.sagemaker.create_model(**request)
    bench.sagemaker.delete_model(ModelName=name)
    for operation in (bench.sagemaker.describe_model, bench.sagemaker.delete_model):
        with refused("ValidationException", f'Could not find model "{arn}"'):
            operation(ModelName=name)


def test_one_container_in_a_list_is_a_model_too(bench, artifact):
    name = unique("model")
    bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role,
                                 Containers=[{"Image": bench.image, "ModelDataUrl": artifact}])
    assert len(bench.sagemaker.describe_model(ModelName=name)["Containers"]) == 1


MODELS = {
    "unknown image": ({"Image": "012345678901.dkr.ecr.us-east-1.amazonaws.com/nothing:1"}, {}, r"(?i)image .*nothing:1"),
    "missing data": ({"ModelDataUrl": "s3://{bucket}/no/model.tar.gz"}, {}, r"Could not find model data at s3://.*/no/model.tar.gz"),
    "missing bucket": ({"ModelDataUrl": "s3://no-such-bucket-here/model.tar.gz"}, {}, r"no-such-bucket-here"),
    "no image": ({"Image": None}, {}, r"Image"),
    "dead role": ({}, {"ExecutionRoleArn": "arn:aws:iam::123456789012:role/nobody"}, r"nobody"),
    "no role": ({}, {"ExecutionRoleArn": None}, r"ExecutionRoleArn"),
    "no container": ({}, {"PrimaryContainer": None}, r"PrimaryContainer"),
    "both kinds of container": ({}, {"Containers": [{"Image": "{image}"}]}, r"PrimaryContainer and Containers"),
    "bad name": ({}, {"ModelName": "under_score"}, r"at 'modelName' failed to satisfy constraint: Member must satisfy regular"),
}


@pytest.mark.parametrize("case", MODELS)
def test_create_model_refuses_and_leaves_nothing(bench, artifact, case):
    container, more, message = MODELS[case]

    def fill(v):
        return v.replace("{bucket}", bench.bucket).replace("{image}", bench.image) if isinstance(v, str) else v
    request = model_request(bench, artifact, **{k: fill(v) for k, v in container.items()})
    request = {k: v for k, v in {**request, **more}.items() if v is not None}
    if "Containers" in request:
        request["Containers"] = [{k: fill(v) for k, v in c.items()} for c in request["Containers"]]
    with refused("ValidationException", message):
        bench.sagemaker.create_model(**request)
    assert request["ModelName"] not in {m["ModelName"] for page in bench.sagemaker.get_paginator("list_models").paginate()
                                        for m in page["Models"]}


def test_models_are_listed_in_pages(bench, artifact):
    made = [bench.sagemaker.create_model(**model_request(bench, artifact, f"listed-model-{c}"))["ModelArn"] for c in "cab"]
    pages = list(bench.sagemaker.get_paginator("list_models").paginate(
        NameContains="listed-model-", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}))
    assert [len(p["Models"]) for p in pages] == [2, 1]
    assert [m["ModelArn"] for p in pages for m in p["Models"]] == sorted(made)
    newest = bench.sagemaker.list_models(NameContains="listed-model-", SortBy="CreationTime", SortOrder="Descending")["Models"]
    assert [m["CreationTime"] for m in newest] == sorted((m["CreationTime"] for m in newest), reverse=True)
    hour = datetime.timedelta(hours=1)
    now = datetime.datetime.now(datetime.timezone.utc)
    assert bench.sagemaker.list_models(NameContains="listed-model-", CreationTimeAfter=now + hour)["Models"] == []
    assert len(bench.sagemaker.list_models(NameContains="listed-model-", CreationTimeBefore=now + hour)["Models"]) == 3
    with refused("ValidationException", "(?i)token"):
        bench.sagemaker.list_models(NextToken="nonsense")


# --- endpoint configs -------------------------------------------------------

def variant(model, name="AllTraffic", **more):
    return {"VariantName": name, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, **more}


def test_an_endpoint_config_is_described_as_created(bench, endpoint):
    name = unique("config")
    variants = [variant("served", "a", InitialVariantWeight=3.0), variant("served", "b")]
    arn = bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)["EndpointConfigArn"]
    got = bench.sagemaker.describe_endpoint_config(EndpointConfigName=name)
    assert got["EndpointConfigArn"] == arn == f"arn:aws:sagemaker:{bench.region}:{bench.account}:endpoint-config/{name}"
    assert got["ProductionVariants"] == [variants[0], {**variants[1], "InitialVariantWeight": 1.0}]
    with refused("ValidationException", "Cannot create already existing endpoint configuration"):
        bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    bench.sagemaker.delete_endpoint_config(EndpointConfigName=name)
    for operation in (bench.sagemaker.describe_endpoint_config, bench.sagemaker.delete_endpoint_config):
        with refused("ValidationException", f'Could not find endpoint configuration "{arn}"'):
            operation(EndpointConfigName=name)


CONFIGS = {
    "missing model": ([{"ModelName": "never-made"}], r'Could not find model "arn:aws:sagemaker:.*:model/never-made"'),
    "two variants of one name": ([{}, {}], r"AllTraffic"),
    "no instances": ([{"InitialInstanceCount": None}], r"InitialInstanceCount"),
    "no instance type": ([{"InstanceType": None}], r"InstanceType"),
    "unknown instance type": ([{"InstanceType": "ml.m5.gigantic"}], r"Member must satisfy enum value set"),
    "eleven variants": ([{"VariantName": f"v{i}"} for i in range(11)], r"Member must have length less than or equal to 10"),
    "negative weight": ([{"InitialVariantWeight": -1.0}], r"InitialVariantWeight|initialVariantWeight"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_create_endpoint_config_refuses_and_leaves_nothing(bench, endpoint, case):
    changes, message = CONFIGS[case]
    name = unique("config")
    variants = [{k: v for k, v in {**variant("served"), **c}.items() if v is not None} for c in changes]
    if case == "negative weight":  # botocore would not send it
        sagemaker = bench.server.client("sagemaker", botocore.config.Config(parameter_validation=False))
    else:
        sagemaker = bench.sagemaker
    with refused("ValidationException", message):
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    assert bench.sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"] == []


def test_endpoint_configs_are_listed_in_pages(bench, endpoint):
    for c in "cab":
        bench.sagemaker.create_endpoint_config(EndpointConfigName=f"listed-config-{c}", ProductionVariants=[variant("served")])
    pages = list(bench.sagemaker.get_paginator("list_endpoint_configs").paginate(
        NameContains="listed-config-", SortBy="Name", SortOrder="Descending", PaginationConfig={"PageSize": 1}))
    assert [c["EndpointConfigName"][-1] for p in pages for c in p["EndpointConfigs"]] == ["c", "b", "a"]
    with refused("ValidationException", "(?i)token"):
        bench.sagemaker.list_endpoint_configs(NextToken="nonsense")


# --- endpoints --------------------------------------------------------------

def test_an_endpoint_tells_what_it_runs(bench, endpoint):
    got = bench.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert got["EndpointStatus"] == "InService"
    assert got["EndpointArn"] == f"arn:aws:sagemaker:{bench.region}:{bench.account}:endpoint/{endpoint}"
    assert got["EndpointConfigName"] == endpoint
    (v,) = got["ProductionVariants"]
    assert (v["VariantName"], v["CurrentWeight"], v["DesiredWeight"]) == ("AllTraffic", 1.0, 1.0)
    assert (v["CurrentInstanceCount"], v["DesiredInstanceCount"]) == (1, 1)
    assert v["DeployedImages"][0]["SpecifiedImage"] == bench.image
    assert "@sha256:" in v["DeployedImages"][0]["ResolvedImage"]


def test_the_life_of_an_endpoint(bench, artifact):
    name = bench.deploy(artifact)
    arn = bench.sagemaker.describe_endpoint(EndpointName=name)["EndpointArn"]
    with refused("ValidationException", f'Cannot create already existing endpoint "{arn}"'):
        bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    running = {t for t in bench.server.tasks()}
    bench.undeploy(name)
    poll(lambda: not (bench.server.tasks() & running) or len(bench.server.tasks()) < len(running), 20, "its task to end")
    for operation in (bench.sagemaker.describe_endpoint, bench.sagemaker.delete_endpoint):
        with refused("ValidationException", f'Could not find endpoint "{arn}"'):
            operation(EndpointName=name)
    with refused(RUNTIME, f"Endpoint {name} of account {bench.account} not found"):
        bench.ask(name, b"1,2\n")
    again = bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)  # the name is free
    assert again["EndpointArn"] == arn
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    bench.undeploy(name)


def test_a_missing_config_is_refused(bench):
    name = unique("endpoint")
    with refused("ValidationException", 'Could not find endpoint configuration "arn:aws:sagemaker:.*:endpoint-config/never-made"'):
        bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="never-made")
    assert bench.sagemaker.list_endpoints(NameContains=name)["Endpoints"] == []


@pytest.mark.parametrize("content, reason", [
    (work.archive({"readme.txt": b"no model here"}), "production variant AllTraffic did not pass the ping health check"),
    (work.archive({"xgboost-model": b"\x00garbage"}), "production variant AllTraffic did not pass the ping health check"),
    (b"1,2,3\n", "model.tar.gz"),
], ids=["no model", "garbage", "no archive"])
def test_a_model_that_cannot_be_loaded_fails_the_endpoint(bench, content, reason):
    data = bench.put(f"{unique('broken')}/model.tar.gz", content)
    name = unique("endpoint")
    bench.sagemaker.create_model(**model_request(bench, data, name))
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
        variant(name, ContainerStartupHealthCheckTimeoutInSeconds=60)])
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    with pytest.raises(botocore.exceptions.WaiterError):
        bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 400})
    got = bench.sagemaker.describe_endpoint(EndpointName=name)
    assert got["EndpointStatus"] == "Failed"
    assert reason in got["FailureReason"]
    with refused("ValidationException", "(?i)endpoint"):
        bench.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name)
    bench.undeploy(name)


def test_endpoints_are_listed_with_every_filter(bench, artifact, endpoint):
    names = [bench.deploy(artifact, name=f"listed-endpoint-{c}") for c in "ba"]
    sagemaker = bench.sagemaker
    pages = list(sagemaker.get_paginator("list_endpoints").paginate(
        NameContains="listed-endpoint-", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 1}))
    assert [e["EndpointName"] for p in pages for e in p["Endpoints"]] == sorted(names)
    query = {"NameContains": "listed-endpoint-"}
    assert len(sagemaker.list_endpoints(**query, StatusEquals="InService")["Endpoints"]) == 2
    assert sagemaker.list_endpoints(**query, StatusEquals="Failed")["Endpoints"] == []
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    for word in ("CreationTime", "LastModifiedTime"):
        assert len(sagemaker.list_endpoints(**query, **{word + "Before": later})["Endpoints"]) == 2
        assert sagemaker.list_endpoints(**query, **{word + "After": later})["Endpoints"] == []
    with refused("ValidationException", "Member must satisfy enum value set"):
        sagemaker.list_endpoints(StatusEquals="Sleeping")
    for name in names:
        bench.undeploy(name)


# --- invocations ------------------------------------------------------------

def test_predictions_are_good(bench, endpoint):
    scores = bench.predict(endpoint, bench.held_out)
    assert scores.shape == (len(bench.labels),)
    assert ((scores > 0.5) == bench.labels).mean() > 0.93


def test_every_content_type_gives_the_same_scores(bench, endpoint):
    rows = bench.held_out[:7]
    want = bench.predict(endpoint, rows).tolist()
    svm = "\n".join(" ".join(f"{i}:{float(v)!r}" for i, v in enumerate(r)) for r in rows).encode()
    instances = json.dumps({"instances": [{"features": [float(v) for v in r]} for r in rows]}).encode()
    lines = "\n".join(json.dumps({"features": [float(v) for v in r]}) for r in rows).encode()
    for content_type, body in [("text/libsvm", svm), ("text/x-libsvm", svm), ("application/json", instances),
                               ("application/jsonlines", lines), ("text/csv", csv(rows)),
                               ("text/csv", csv(rows).rstrip(b"\n")), ("text/csv; charset=utf-8", csv(rows)),
                               ("text/csv", csv(rows).replace(b"\n", b"\r\n"))]:
        text, _ = bench.ask(endpoint, body, content_type)
        assert [p["score"] for p in json.loads(text)["predictions"]] == want, content_type


def test_accept_chooses_the_form_of_the_answer(bench, endpoint):
    rows = csv(bench.held_out[:3])
    scores = [p["score"] for p in json.loads(bench.ask(endpoint, rows)[0])["predictions"]]
    for accept, text in {
        "text/csv": ",".join(map(repr, scores)),
        "application/json": json.dumps({"predictions": [{"score": s} for s in scores]}),
        "application/jsonlines": "".join(json.dumps({"score": s}) + "\n" for s in scores),
    }.items():
        answer = bench.ask(endpoint, rows, accept=accept)
        assert answer[0] == text
        assert answer[1]["ContentType"] == accept
    _, answer = bench.ask(endpoint, rows, accept="*/*")
    assert answer["InvokedProductionVariant"] == "AllTraffic"


def test_a_stream_is_a_body_too(bench, endpoint):
    text, _ = bench.ask(endpoint, io.BytesIO(csv(bench.held_out[:2])))
    assert len(json.loads(text)["predictions"]) == 2


def test_the_models_refusal_is_a_model_error(bench, endpoint):
    for body, content_type in [(b"1,2,3\n", "text/csv"), (b"a,b,c\n", "text/csv"), (b"{", "application/json"), (b"\x89PNG", "image/png")]:
        with refused("ModelError", r"Received client error \(4\d\d\) from primary with message", 424) as caught:
            bench.ask(endpoint, body, content_type)
        extra = caught.value.response
        assert 400 <= extra["OriginalStatusCode"] < 500 and extra["OriginalMessage"]
        assert f"/aws/sagemaker/Endpoints/{endpoint}" in extra["LogStreamArn"]
        assert f"logEventViewer:group=/aws/sagemaker/Endpoints/{endpoint} in account {bench.account}" in str(caught.value)
    with refused("ModelError", r"Received client error \(406\)", 424):
        bench.ask(endpoint, csv(bench.held_out[:1]), accept="image/png")


@pytest.mark.parametrize("member, value, message", [
    ("TargetVariant", "nobody", "(?i)variant nobody"),
    ("TargetModel", "model.tar.gz", "(?i)multi-model"),
    ("TargetContainerHostname", "second", "(?i)multi-container|TargetContainerHostname"),
    ("InferenceComponentName", "component", "(?i)inference component"),
])
def test_targets_that_the_endpoint_has_not_are_refused(bench, endpoint, member, value, message):
    with refused(RUNTIME, message):
        bench.ask(endpoint, csv(bench.held_out[:1]), **{member: value})


def test_a_missing_endpoint_is_refused(bench):
    with refused(RUNTIME, f"Endpoint never-made of account {bench.account} not found"):
        bench.ask("never-made", b"1\n")


def test_a_payload_over_the_limit_is_refused(bench, endpoint):
    row = csv(bench.held_out[:1])
    near = row * ((5 << 20) // len(row))
    assert len(json.loads(bench.ask(endpoint, near)[0])["predictions"]) == near.count(b"\n")
    over = row * ((6 << 20) // len(row) + 1)
    lax = bench.server.client("sagemaker-runtime", botocore.config.Config(parameter_validation=False))
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        lax.invoke_endpoint(EndpointName=endpoint, ContentType="text/csv", Body=over)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert bench.predict(endpoint, bench.held_out[:1]).shape == (1,)


def test_many_callers_at_once(bench, endpoint):
    rows = bench.held_out[:16]
    want = bench.predict(endpoint, rows)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda i: (i, bench.predict(endpoint, rows[i % 16:i % 16 + 1])[0]), range(400)))
    assert all(score == want[i % 16] for i, score in got)


# --- variants, weights, updates ---------------------------------------------

@pytest.fixture(scope="module")
def two(bench, artifact):
    """An endpoint with two variants, of which b gets three times the traffic of a."""
    name = bench.deploy(artifact, {"a": {"InitialVariantWeight": 1.0}, "b": {"InitialVariantWeight": 3.0}}, "two-variants")
    yield name
    bench.undeploy(name)


def share(bench, name, n=400):
    body = csv(bench.held_out[:1])
    return collections.Counter(bench.ask(name, body)[1]["InvokedProductionVariant"] for _ in range(n))


def test_traffic_follows_the_weights(bench, two):
    seen = share(bench, two)
    assert set(seen) == {"a", "b"}
    assert 0.65 < seen["b"] / seen.total() < 0.85  # 0.75, more than four standard deviations wide


def test_a_target_variant_is_obeyed(bench, two):
    body = csv(bench.held_out[:1])
    for name in "ab":
        assert bench.ask(two, body, TargetVariant=name)[1]["InvokedProductionVariant"] == name


def test_weights_and_counts_change_in_place(bench, two):
    sagemaker = bench.sagemaker
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=two, DesiredWeightsAndCapacities=[
        {"VariantName": "a", "DesiredWeight": 0.0}, {"VariantName": "b", "DesiredWeight": 5.0, "DesiredInstanceCount": 2}])
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=two, WaiterConfig=FAST)
    a, b = sagemaker.describe_endpoint(EndpointName=two)["ProductionVariants"]
    assert (a["CurrentWeight"], a["CurrentInstanceCount"]) == (0.0, 1)
    assert (b["CurrentWeight"], b["CurrentInstanceCount"], b["DesiredInstanceCount"]) == (5.0, 2, 2)
    assert share(bench, two, 50) == {"b": 50}
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=two, DesiredWeightsAndCapacities=[
        {"VariantName": "a", "DesiredWeight": 1.0}, {"VariantName": "b", "DesiredWeight": 3.0, "DesiredInstanceCount": 1}])
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=two, WaiterConfig=FAST)
    assert sagemaker.describe_endpoint(EndpointName=two)["ProductionVariants"][1]["CurrentInstanceCount"] == 1


@pytest.mark.parametrize("change, message", [
    ([{"VariantName": "c", "DesiredWeight": 1.0}], r'variant name\(s\) "c"'),
    ([{"VariantName": "a", "DesiredInstanceCount": 0}], r"DesiredInstanceCount"),
    ([{"VariantName": "a"}, {"VariantName": "a"}], r"(?i)unique"),
], ids=["unknown variant", "no instance", "twice"])
def test_weights_refused(bench, two, change, message):
    before = bench.sagemaker.describe_endpoint(EndpointName=two)
    with refused("ValidationException", message):
        bench.sagemaker.update_endpoint_weights_and_capacities(EndpointName=two, DesiredWeightsAndCapacities=change)
    after = bench.sagemaker.describe_endpoint(EndpointName=two)
    assert (before["EndpointStatus"], before["ProductionVariants"]) == (after["EndpointStatus"], after["ProductionVariants"])


def test_weights_of_a_missing_endpoint(bench):
    with refused("ValidationException", "Could not find endpoint"):
        bench.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="never-made", DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 1.0}])


def test_an_update_moves_traffic_without_a_lost_request(bench, artifact):
    name = bench.deploy(artifact)
    other = bench.train(hyper={"num_round": "2", "eta": "1"})
    bench.sagemaker.create_model(**model_request(bench, other["ModelArtifacts"]["S3ModelArtifacts"], name + "-new"))
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name + "-new", ProductionVariants=[
        variant(name + "-new", "New", InitialInstanceCount=2)])
    row = bench.held_out[:1]
    before = bench.predict(name, row)[0]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = []

        def ask():
            seen = []
            while not done:
                text, answer = bench.ask(name, csv(row))
                seen.append((answer["InvokedProductionVariant"], json.loads(text)["predictions"][0]["score"]))
            return seen
        asking = pool.submit(ask)
        try:
            bench.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name + "-new")
            with refused("ValidationException", "Cannot update in-progress endpoint"):
                bench.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=name)
            bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
            time.sleep(0.2)  # for requests to the new fleet
        finally:
            done.append(True)
        seen = asking.result()
    after = bench.predict(name, row)[0]
    assert after != before
    assert set(seen) == {("AllTraffic", before), ("New", after)}
    order = [v for v, _ in seen]
    assert order == sorted(order), "traffic went back to the old fleet"  # AllTraffic < New
    got = bench.sagemaker.describe_endpoint(EndpointName=name)
    assert got["EndpointConfigName"] == name + "-new"
    assert [(v["VariantName"], v["CurrentInstanceCount"]) for v in got["ProductionVariants"]] == [("New", 2)]
    bench.undeploy(name)


def test_update_of_what_is_missing(bench, endpoint):
    with refused("ValidationException", "Could not find endpoint"):
        bench.sagemaker.update_endpoint(EndpointName="never-made", EndpointConfigName=endpoint)
    with refused("ValidationException", "Could not find endpoint configuration"):
        bench.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName="never-made")


def test_an_endpoint_outlives_its_config_and_model(bench, artifact):
    name = bench.deploy(artifact)
    bench.sagemaker.delete_endpoint_config(EndpointConfigName=name)
    bench.sagemaker.delete_model(ModelName=name)
    assert bench.predict(name, bench.held_out[:1]).shape == (1,)
    bench.undeploy(name)


def test_a_serving_task_that_dies_is_replaced(bench, artifact):
    before = bench.server.tasks()
    name = bench.deploy(artifact)
    want = bench.predict(name, bench.held_out[:1])[0]
    for pid in bench.server.tasks() - before:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def answers():
        try:
            return bench.predict(name, bench.held_out[:1])[0] == want
        except botocore.exceptions.ClientError as e:
            # Until the new one serves: nobody there, or cut off in the middle.
            assert e.response["Error"]["Code"] in ("ServiceUnavailable", "ModelError"), e
            return False
    poll(answers, 30, "the endpoint to answer again")
    assert bench.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    bench.undeploy(name)


def test_hosting_an_uncompressed_model(bench, artifact):
    files = work.members(bench.get(artifact))
    prefix = bench.put("unpacked/xgboost-model", files["xgboost-model"], up=1)
    name = unique("endpoint")
    bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, PrimaryContainer={
        "Image": bench.image, "ModelDataSource": {"S3DataSource": {
            "S3Uri": prefix, "S3DataType": "S3Prefix", "CompressionType": "None"}}})
    bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(name)])
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    numpy.testing.assert_array_equal(bench.predict(name, bench.held_out[:5]), bench.predict("served", bench.held_out[:5]))
    bench.undeploy(name)
