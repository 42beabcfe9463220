# SPDX-License-Identifier: Apache-2.0
"""CloudWatch alarms and metric math, as boto3 sees them."""

import datetime
import json
import time

import pytest

from support.refusal import refused
from support.server import poll
from support.work import unique

UTC = datetime.timezone.utc
TOPIC = "arn:aws:sns:{}:{}:pager"


@pytest.fixture(scope="module")
def cloudwatch(bench):
    return bench.cloudwatch


def metric_alarm(name, space, **more):
    return {"AlarmName": name, "Namespace": space, "MetricName": "errors", "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
            "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold", **more}


def put(cloudwatch, space, value, name="errors", at=None):
    cloudwatch.put_metric_data(Namespace=space, MetricData=[
        {"MetricName": name, "Dimensions": [{"Name": "EndpointName", "Value": "e"}], "Value": value, "StorageResolution": 1,
         "Timestamp": at or datetime.datetime.now(UTC)}])


def described(cloudwatch, name):
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return alarm


def test_an_alarm_of_ten_seconds_goes_to_alarm_and_back(server, cloudwatch):
    name, space = unique("alarm"), "Test/" + unique("space")
    topic = TOPIC.format(server.region, server.account)
    cloudwatch.put_metric_alarm(**metric_alarm(name, space, Period=10, AlarmActions=[topic], TreatMissingData="notBreaching", DatapointsToAlarm=1))
    cloudwatch.get_waiter("alarm_exists").wait(AlarmNames=[name])
    poll(lambda: described(cloudwatch, name)["StateValue"] == "OK", 15, "the alarm to be OK")
    put(cloudwatch, space, 4.0)
    put(cloudwatch, space, 4.0)
    put(cloudwatch, space, 4.0)  # at most one of the three is in another period than the rest
    alarm = poll(lambda: (a := described(cloudwatch, name))["StateValue"] == "ALARM" and a, 15, "the alarm")
    assert alarm["StateReason"].startswith("Threshold Crossed: 1 out of the last 1 datapoints [")
    assert "was greater than the threshold (5.0)" in alarm["StateReason"]
    assert alarm["StateReason"].endswith("(minimum 1 datapoint for OK -> ALARM transition).")
    data = json.loads(alarm["StateReasonData"])
    assert data["statistic"] == "Sum" and data["period"] == 10 and data["evaluatedDatapoints"][0]["value"] >= 8
    assert alarm["StateTransitionedTimestamp"] == alarm["StateUpdatedTimestamp"]
    put(cloudwatch, space, 1.0)
    poll(lambda: described(cloudwatch, name)["StateValue"] == "OK", 45, "the alarm to be OK again")
    pages = cloudwatch.get_paginator("describe_alarm_history").paginate(AlarmName=name, ScanBy="TimestampAscending")
    items = [i for p in pages for i in p["AlarmHistoryItems"]]
    summaries = [i["HistorySummary"] for i in items if i["HistoryItemType"] != "Action"]
    assert summaries == [f'Alarm "{name}" created', "Alarm updated from INSUFFICIENT_DATA to OK", "Alarm updated from OK to ALARM", "Alarm updated from ALARM to OK"]
    (action,) = [i for i in items if i["HistoryItemType"] == "Action"]
    done = json.loads(action["HistoryData"])
    assert topic in action["HistorySummary"] and done["notificationResource"] == topic
    message = json.loads(done["publishedMessage"])
    assert (message["NewStateValue"], message["OldStateValue"], message["AlarmName"]) == ("ALARM", "OK", name)
    assert message["Trigger"]["MetricName"] == "errors" and message["Trigger"]["Threshold"] == 5.0
    assert [json.loads(i["HistoryData"])["newState"]["stateValue"] for i in items if i["HistoryItemType"] == "StateUpdate"] == ["OK", "ALARM", "OK"]
    cloudwatch.delete_alarms(AlarmNames=[name])
    assert cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"] == []


def test_a_new_alarm_as_it_is_described(server, cloudwatch):
    name, space = unique("alarm"), "Test/" + unique("space")
    cloudwatch.put_metric_alarm(**metric_alarm(name, space, AlarmDescription="many errors", Tags=[{"Key": "team", "Value": "ml"}]))
    alarm = described(cloudwatch, name)
    times = [alarm.pop(t) for t in ("StateUpdatedTimestamp", "StateTransitionedTimestamp", "AlarmConfigurationUpdatedTimestamp")]
    arn = f"arn:aws:cloudwatch:{server.region}:{server.account}:alarm:{name}"
    assert alarm == {**metric_alarm(name, space), "AlarmDescription": "many errors", "AlarmArn": arn, "ActionsEnabled": True, "OKActions": [], "AlarmActions": [],
                     "InsufficientDataActions": [], "StateValue": "INSUFFICIENT_DATA", "StateReason": "Unchecked: Initial alarm creation"}
    assert len(set(times)) == 1
    same = {k: metric_alarm(name, space)[k] for k in ("Namespace", "MetricName", "Dimensions")}
    assert [a["AlarmName"] for a in cloudwatch.describe_alarms_for_metric(**same)["MetricAlarms"]] == [name]
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "ml"}]
    cloudwatch.tag_resource(ResourceARN=arn, Tags=[{"Key": "stage", "Value": "test"}])
    cloudwatch.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "stage", "Value": "test"}]
    cloudwatch.disable_alarm_actions(AlarmNames=[name])
    assert not described(cloudwatch, name)["ActionsEnabled"]
    cloudwatch.enable_alarm_actions(AlarmNames=[name])
    assert described(cloudwatch, name)["ActionsEnabled"]


def test_the_state_is_set_by_hand_and_composite_alarms_follow(cloudwatch):
    name, other, both, space = unique("alarm"), unique("alarm"), unique("both"), "Test/" + unique("space")
    for n in (name, other):
        cloudwatch.put_metric_alarm(**metric_alarm(n, space, TreatMissingData="ignore"))
    cloudwatch.put_composite_alarm(AlarmName=both, AlarmRule=f'ALARM("{name}") AND NOT OK({other})')
    cloudwatch.get_waiter("composite_alarm_exists").wait(AlarmNames=[both], AlarmTypes=["CompositeAlarm"])

    def state():
        (alarm,) = cloudwatch.describe_alarms(AlarmNames=[both], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        return alarm["StateValue"]
    assert state() == "OK"
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="roll back", StateReasonData='{"why": "test"}')
    alarm = described(cloudwatch, name)
    assert (alarm["StateValue"], alarm["StateReason"], alarm["StateReasonData"]) == ("ALARM", "roll back", '{"why": "test"}')
    assert state() == "ALARM"
    cloudwatch.set_alarm_state(AlarmName=other, StateValue="OK", StateReason="fine")
    assert state() == "OK"
    assert cloudwatch.describe_alarms(AlarmNames=[both])["CompositeAlarms"] == []  # unasked, only metric alarms are told
    children = cloudwatch.describe_alarms(ChildrenOfAlarmName=both)
    assert {a["AlarmName"] for a in children["MetricAlarms"]} == {name, other}
    everything = [a["AlarmName"] for p in cloudwatch.get_paginator("describe_alarms").paginate(PaginationConfig={"PageSize": 1}) for a in p["MetricAlarms"]]
    assert name in everything and other in everything and both not in everything


def test_metric_math(cloudwatch):
    space = "Test/" + unique("space")
    at = datetime.datetime.now(UTC).replace(second=5, microsecond=0) - datetime.timedelta(minutes=10)
    minute = datetime.timedelta(minutes=1)
    for i, (errors, requests) in enumerate([(1, 10), (None, 20), (6, 30)]):
        put(cloudwatch, space, float(requests), "requests", at + i * minute)
        if errors:
            put(cloudwatch, space, float(errors), "errors", at + i * minute)

    def query(i, name):
        return {"Id": i, "ReturnData": False, "MetricStat": {"Period": 60, "Stat": "Sum", "Metric": {
            "Namespace": space, "MetricName": name, "Dimensions": [{"Name": "EndpointName", "Value": "e"}]}}}
    found = cloudwatch.get_metric_data(StartTime=at, EndTime=at + 3 * minute, ScanBy="TimestampAscending", MetricDataQueries=[
        query("m1", "errors"), query("m2", "requests"),
        {"Id": "rate", "Expression": "100 * FILL(m1, 0) / m2", "Label": "Error rate"},
        {"Id": "high", "Expression": "IF(rate >= 10, 1, 0)"},
        {"Id": "total", "Expression": "SUM(METRICS())"}])["MetricDataResults"]
    assert [(r["Id"], r["Label"], r["Values"]) for r in found] == [
        ("rate", "Error rate", [10.0, 0.0, 20.0]), ("high", "high", [1.0, 0.0, 1.0]), ("total", "total", [11.0, 20.0, 36.0])]
    name = unique("alarm")
    cloudwatch.put_metric_alarm(AlarmName=name, EvaluationPeriods=20, DatapointsToAlarm=1, Threshold=15.0, ComparisonOperator="GreaterThanThreshold", Metrics=[
        query("m1", "errors"), query("m2", "requests"), {"Id": "rate", "Expression": "100 * m1 / m2", "ReturnData": True}])
    alarm = poll(lambda: (a := described(cloudwatch, name))["StateValue"] == "ALARM" and a, 5, "the alarm on the rate")
    assert "[20.0 (" in alarm["StateReason"] and len(alarm["Metrics"]) == 3


def test_refusals(cloudwatch):
    space = "Test/" + unique("space")
    with refused("ValidationError", "Period must be"):
        cloudwatch.put_metric_alarm(**metric_alarm("x", space, Period=45))
    with refused("ValidationError", "Anomaly detection"):
        cloudwatch.put_metric_alarm(**metric_alarm("x", space, ComparisonOperator="GreaterThanUpperThreshold"))
    with refused("ValidationError", "TreatMissingData"):
        cloudwatch.put_metric_alarm(**metric_alarm("x", space, TreatMissingData="never"))
    with refused("ValidationError", "alarmName"):
        cloudwatch.put_metric_alarm(**metric_alarm("x" * 256, space))
    with refused("ResourceNotFound", "none", 404):
        cloudwatch.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="")
    with refused("ResourceNotFound", "none", 404):
        cloudwatch.delete_alarms(AlarmNames=["none"])
    with refused("ValidationError", r"alarms \[none\] in the alarm rule do not exist"):
        cloudwatch.put_composite_alarm(AlarmName="y", AlarmRule="ALARM(none)")
    with refused("ValidationError", "Error in AlarmRule"):
        cloudwatch.put_composite_alarm(AlarmName="y", AlarmRule="ALARM(")
    with refused("ValidationError", "SEARCH is not supported"):
        now = datetime.datetime.now(UTC)
        cloudwatch.get_metric_data(StartTime=now, EndTime=now + datetime.timedelta(minutes=1), MetricDataQueries=[{"Id": "s", "Expression": "SEARCH('x', 'Sum')"}])


def test_alarms_survive_kill_9(other):
    server = other("alarms")
    cloudwatch = server.client("cloudwatch")
    for i in range(20):
        cloudwatch.put_metric_alarm(**metric_alarm(f"a{i}", "Test/kill", TreatMissingData="ignore"))
        cloudwatch.set_alarm_state(AlarmName=f"a{i}", StateValue="ALARM" if i % 2 else "OK", StateReason=f"number {i}")
    cloudwatch.put_composite_alarm(AlarmName="any", AlarmRule="ALARM(a0) OR ALARM(a2)")
    server.kill()
    server.start()
    cloudwatch = server.client("cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix="a")["MetricAlarms"]
    assert {(a["AlarmName"], a["StateValue"], a["StateReason"]) for a in alarms} == {(f"a{i}", "ALARM" if i % 2 else "OK", f"number {i}") for i in range(20)}
    history = cloudwatch.describe_alarm_history(MaxRecords=100)["AlarmHistoryItems"]
    assert len([h for h in history if h["HistoryItemType"] == "StateUpdate"]) == 20
    cloudwatch.set_alarm_state(AlarmName="a0", StateValue="ALARM", StateReason="after")
    (any_,) = cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert any_["StateValue"] == "ALARM"


def test_asking_for_one_alarm_is_quick(cloudwatch):
    name = unique("alarm")
    cloudwatch.put_metric_alarm(**metric_alarm(name, "Test/quick"))
    begun = time.monotonic()
    for _ in range(50):
        described(cloudwatch, name)
    assert time.monotonic() - begun < 5
