# SPDX-License-Identifier: Apache-2.0
"""CloudWatch Logs: what jobs and endpoints write, and what callers may."""

import datetime
import re
import time

import pytest

from support.refusal import refused
from support.server import poll
from support.work import csv, unique

GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture(scope="module")
def group(bench):
    name = "/test/" + unique("group")
    bench.logs.create_log_group(logGroupName=name)
    bench.logs.create_log_stream(logGroupName=name, logStreamName="stream")
    return name


def test_a_job_has_one_stream_with_its_lines(bench, trained):
    (stream,) = bench.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="trained/")["logStreams"]
    assert re.fullmatch(r"trained/algo-1-\d{10}", stream["logStreamName"])
    assert stream["firstEventTimestamp"] <= stream["lastEventTimestamp"]
    events = bench.logs.get_log_events(logGroupName=GROUP, logStreamName=stream["logStreamName"], startFromHead=True)["events"]
    rounds = [m.group(1) for e in events if (m := re.search(r"\[(\d+)\]#011train-auc:\S+#011train-logloss:\S+#011validation-auc:"
                                                            r"\S+#011validation-logloss:", e["message"]))]
    assert rounds == [str(i) for i in range(20)]
    created = trained["CreationTime"].timestamp() * 1000
    assert all(created - 1000 <= e["timestamp"] <= time.time() * 1000 for e in events)
    assert [e["timestamp"] for e in events] == sorted(e["timestamp"] for e in events)


def test_reading_follows_a_job_while_it_runs(bench):
    """The loop of the SageMaker SDK: tokens forward, until nothing new comes."""
    request = bench.long()
    name = request["TrainingJobName"]
    bench.sagemaker.create_training_job(**request)
    stream = poll(lambda: bench.logs.describe_log_streams(
        logGroupName=GROUP, logStreamNamePrefix=name + "/", orderBy="LogStreamName", limit=1)["logStreams"], 20, "a stream")[0]
    where = {"logGroupName": GROUP, "logStreamName": stream["logStreamName"], "startFromHead": True}
    seen, token = [], {}
    while len(seen) < 50:
        page = bench.logs.get_log_events(**where, **token)
        seen += [e["message"] for e in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    bench.finished(name)
    while True:
        page = bench.logs.get_log_events(**where, **token)
        if page["nextForwardToken"] == token["nextToken"]:
            break
        seen += [e["message"] for e in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}
    assert page["events"] == []
    rounds = [int(m.group(1)) for line in seen if (m := re.match(r".*\[(\d+)\]#011train", line))]
    assert rounds == list(range(len(rounds))) and len(rounds) > 20
    assert seen == bench.log_lines(GROUP, name + "/")[stream["logStreamName"]]


def test_an_endpoint_has_a_stream_per_instance(bench, endpoint):
    bench.predict(endpoint, bench.held_out[:1])
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    streams = poll(lambda: bench.logs.describe_log_streams(logGroupName=group)["logStreams"], 10, "a stream of the endpoint")
    assert [s for s in streams if re.fullmatch(r"AllTraffic/i-\w+", s["logStreamName"])] == streams
    assert len(streams) == 1


def test_groups_and_streams_are_made_listed_and_deleted(bench):
    logs, name = bench.logs, "/test/" + unique("life")
    logs.create_log_group(logGroupName=name, tags={"team": "blue"})
    with refused("ResourceAlreadyExistsException"):
        logs.create_log_group(logGroupName=name)
    (group,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert group["logGroupName"] == name and name in group["arn"]
    for c in "cab":
        logs.create_log_stream(logGroupName=name, logStreamName=c)
    with refused("ResourceAlreadyExistsException"):
        logs.create_log_stream(logGroupName=name, logStreamName="a")
    pages = list(logs.get_paginator("describe_log_streams").paginate(logGroupName=name, PaginationConfig={"PageSize": 2}))
    assert [[s["logStreamName"] for s in p["logStreams"]] for p in pages] == [["a", "b"], ["c"]]
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]["retentionInDays"] == 7
    logs.delete_retention_policy(logGroupName=name)
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]
    logs.delete_log_stream(logGroupName=name, logStreamName="b")
    assert [s["logStreamName"] for s in logs.describe_log_streams(logGroupName=name)["logStreams"]] == ["a", "c"]
    logs.delete_log_group(logGroupName=name)
    with refused("ResourceNotFoundException"):
        logs.describe_log_streams(logGroupName=name)


def test_groups_are_listed_in_pages(bench):
    names = ["/paged/" + unique(c) for c in "abc"]
    for n in names:
        bench.logs.create_log_group(logGroupName=n)
    pages = list(bench.logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix="/paged/", PaginationConfig={"PageSize": 2}))
    assert [g["logGroupName"] for p in pages for g in p["logGroups"]] == sorted(names)
    assert len(pages) == 2


def test_events_are_written_and_found(bench, group):
    now = int(time.time() * 1000)
    where = {"logGroupName": group, "logStreamName": "stream"}
    events = [{"timestamp": now - 3000 + i * 1000, "message": m} for i, m in enumerate(["ERROR one", "all is well", "ERROR two"])]
    assert "rejectedLogEventsInfo" not in bench.logs.put_log_events(**where, logEvents=events)
    got = bench.logs.get_log_events(**where, startFromHead=True)["events"]
    assert [(e["timestamp"], e["message"]) for e in got] == [(e["timestamp"], e["message"]) for e in events]
    page = bench.logs.get_log_events(**where, startTime=now - 2000, endTime=now - 1000, startFromHead=True)
    assert [e["message"] for e in page["events"]] == ["all is well"]
    pages = bench.logs.get_paginator("filter_log_events").paginate(logGroupName=group, filterPattern="ERROR",
                                                                   PaginationConfig={"PageSize": 1})
    assert [e["message"] for p in pages for e in p["events"]] == ["ERROR one", "ERROR two"]
    last = bench.logs.get_log_events(**where, limit=1)["events"]
    assert [e["message"] for e in last] == ["ERROR two"]


LINES = [
    '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534',
    '127.0.0.1 - frank [10/Oct/2000:13:25:16 -0700] "GET /style.css HTTP/1.0" 200 90',
    '{"level": "error", "code": 500, "user": {"tags": ["a", "b"]}}',
    '{"level": "info", "code": 200, "took": 0.5}',
    "ERROR 401 UNAUTHORIZED REQUEST",
    "INFO REQUEST done",
]


@pytest.fixture(scope="module")
def lines(bench):
    name = "/test/" + unique("patterns")
    bench.logs.create_log_group(logGroupName=name)
    bench.logs.create_log_stream(logGroupName=name, logStreamName="s")
    now = int(time.time() * 1000)
    bench.logs.put_log_events(logGroupName=name, logStreamName="s",
                              logEvents=[{"timestamp": now + i, "message": m} for i, m in enumerate(LINES)])
    return name


@pytest.mark.parametrize("pattern, want", [
    ("", [0, 1, 2, 3, 4, 5]),
    ("REQUEST", [4, 5]),
    ("REQUEST -ERROR", [5]),
    ("?ERROR ?done", [4, 5]),
    ("?ERROR REQUEST", [4, 5]),  # terms with ? do not count beside others
    ('"401 UNAUTHORIZED"', [4]),
    ("%40[14]%", [0, 4]),
    ("[ip, user, username, timestamp, request =*.html*, status_code = 4*, bytes]", [0]),
    ("[..., status_code = 200 || status_code = 404, bytes > 1000]", [0]),
    ("[..., request=%css%, status_code, bytes]", [1]),
    ("[w1=ERROR, ...]", [4]),
    ('{ $.level = "error" && $.code >= 500 }', [2]),
    ('{ $.user.tags[*] = "b" }', [2]),
    ("{ $.level = %^(info)?% }", None),
    ("{ $.took NOT EXISTS || $.took < 1 }", [2, 3]),
    ("user:frank", None),  # must be quoted
    ("[..., a, ...]", None),
    ("{ $.level = ", None),
])
def test_filter_patterns(bench, lines, pattern, want):
    if want is None:
        with refused("InvalidParameterException"):
            bench.logs.filter_log_events(logGroupName=lines, filterPattern=pattern)
        return
    events = bench.logs.filter_log_events(logGroupName=lines, filterPattern=pattern)["events"]
    assert [LINES.index(e["message"]) for e in events] == want


def test_metrics_can_be_watched_while_a_job_runs(bench):
    """The values that the definitions find come with the lines, not with the end of the job."""
    request = bench.long()
    name = request["TrainingJobName"]
    bench.sagemaker.create_training_job(**request)
    now = datetime.datetime.now(datetime.timezone.utc)
    points = poll(lambda: bench.cloudwatch.get_metric_statistics(
        Namespace=GROUP, MetricName="train:auc", Dimensions=[{"Name": "TrainingJobName", "Value": name}], Period=1, Statistics=["Average"],
        StartTime=now - datetime.timedelta(minutes=5), EndTime=now + datetime.timedelta(minutes=5))["Datapoints"], 20, "a value")
    assert bench.sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress"
    assert all(0.5 < p["Average"] <= 1 for p in points)
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    bench.finished(name)


@pytest.mark.parametrize("call, code", [
    (lambda l, g: l.get_log_events(logGroupName="/nothing", logStreamName="s"), "ResourceNotFoundException"),
    (lambda l, g: l.get_log_events(logGroupName=g, logStreamName="nothing"), "ResourceNotFoundException"),
    (lambda l, g: l.filter_log_events(logGroupName="/nothing"), "ResourceNotFoundException"),
    (lambda l, g: l.describe_log_streams(logGroupName="/nothing"), "ResourceNotFoundException"),
    (lambda l, g: l.create_log_stream(logGroupName="/nothing", logStreamName="s"), "ResourceNotFoundException"),
    (lambda l, g: l.put_log_events(logGroupName=g, logStreamName="nothing", logEvents=[{"timestamp": 1, "message": "m"}]),
     "ResourceNotFoundException"),
    (lambda l, g: l.delete_log_group(logGroupName="/nothing"), "ResourceNotFoundException"),
    (lambda l, g: l.delete_log_stream(logGroupName=g, logStreamName="nothing"), "ResourceNotFoundException"),
    (lambda l, g: l.put_retention_policy(logGroupName="/nothing", retentionInDays=7), "ResourceNotFoundException"),
    (lambda l, g: l.put_retention_policy(logGroupName=g, retentionInDays=8), "InvalidParameterException"),
    (lambda l, g: l.delete_retention_policy(logGroupName="/nothing"), "ResourceNotFoundException"),
    (lambda l, g: l.create_log_group(logGroupName="what is this?"), "InvalidParameterException"),
    (lambda l, g: l.describe_log_streams(logGroupName=g, orderBy="LastEventTime", logStreamNamePrefix="s"), "InvalidParameterException"),
    (lambda l, g: l.get_log_events(logGroupName=g, logStreamName="stream", nextToken="nonsense"), "InvalidParameterException"),
    (lambda l, g: l.describe_log_groups(limit=51), "InvalidParameterException"),
])
def test_refused(bench, group, call, code):
    with refused(code):
        call(bench.logs, group)
