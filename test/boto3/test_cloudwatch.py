# SPDX-License-Identifier: Apache-2.0
"""CloudWatch metrics: the caller's own, and those of jobs and endpoints."""

import datetime

import botocore.exceptions
import pytest

from support.refusal import refused
from support.server import poll
from support.work import unique

UTC = datetime.timezone.utc


def hour():
    now = datetime.datetime.now(UTC)
    return {"StartTime": now - datetime.timedelta(minutes=30), "EndTime": now + datetime.timedelta(minutes=30)}


@pytest.fixture(scope="module")
def space(bench):
    """A namespace with one metric: the values 1 to 5, all in one minute."""
    name = "Test/" + unique("space")
    at = datetime.datetime.now(UTC).replace(second=10, microsecond=0)
    bench.cloudwatch.put_metric_data(Namespace=name, MetricData=[
        {"MetricName": "loss", "Dimensions": [{"Name": "run", "Value": "a"}], "Timestamp": at, "Value": float(v), "Unit": "Count"}
        for v in range(1, 6)])
    return name


def test_statistics_of_what_was_put(bench, space):
    (point,) = bench.cloudwatch.get_metric_statistics(
        Namespace=space, MetricName="loss", Dimensions=[{"Name": "run", "Value": "a"}], Period=60,
        Statistics=["Sum", "Average", "Minimum", "Maximum", "SampleCount"], **hour())["Datapoints"]
    assert [point[s] for s in ("Sum", "Average", "Minimum", "Maximum", "SampleCount")] == [15.0, 3.0, 1.0, 5.0, 5.0]
    assert point["Unit"] == "Count" and point["Timestamp"].second == 0


def test_metric_data_and_its_paginator(bench, space):
    query = [{"Id": i, "MetricStat": {"Metric": {"Namespace": space, "MetricName": "loss", "Dimensions": [{"Name": "run", "Value": "a"}]},
                                      "Period": 60, "Stat": stat}} for i, stat in (("total", "Sum"), ("count", "SampleCount"), ("high", "p100"))]
    pages = bench.cloudwatch.get_paginator("get_metric_data").paginate(MetricDataQueries=query, **hour())
    got = {r["Id"]: (r["Values"], r["StatusCode"]) for p in pages for r in p["MetricDataResults"]}
    assert got == {"total": ([15.0], "Complete"), "count": ([5.0], "Complete"), "high": ([5.0], "Complete")}


def test_metrics_are_listed(bench, space):
    (metric,) = bench.cloudwatch.list_metrics(Namespace=space)["Metrics"]
    assert metric == {"Namespace": space, "MetricName": "loss", "Dimensions": [{"Name": "run", "Value": "a"}]}
    assert bench.cloudwatch.list_metrics(Namespace=space, MetricName="gain")["Metrics"] == []
    assert bench.cloudwatch.list_metrics(Namespace=space, Dimensions=[{"Name": "run", "Value": "b"}])["Metrics"] == []
    everything = [m for p in bench.cloudwatch.get_paginator("list_metrics").paginate() for m in p["Metrics"]]
    assert metric in everything


def test_the_metrics_of_a_training_job(bench, trained):
    where = {"Namespace": "/aws/sagemaker/TrainingJobs", "Dimensions": [{"Name": "TrainingJobName", "Value": "trained"}]}
    final = {m["MetricName"]: m["Value"] for m in trained["FinalMetricDataList"]}

    def points():
        return bench.cloudwatch.get_metric_statistics(
            MetricName="validation:auc", Period=60, Statistics=["Maximum", "SampleCount"], **where, **hour())["Datapoints"]
    found = poll(points, 15, "the metric of the job")
    assert sum(p["SampleCount"] for p in found) == 20
    assert max(p["Maximum"] for p in found) >= final["validation:auc"]


def test_the_metrics_of_an_endpoint(bench, endpoint):
    for _ in range(3):
        bench.predict(endpoint, bench.held_out[:1])
    with pytest.raises(botocore.exceptions.ClientError):
        bench.ask(endpoint, b"1,2\n")
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def total(name, stat="Sum"):
        found = bench.cloudwatch.get_metric_statistics(Namespace="AWS/SageMaker", MetricName=name, Dimensions=dimensions,
                                                       Period=3600, Statistics=[stat], **hour())["Datapoints"]
        return sum(p[stat] for p in found)
    poll(lambda: total("Invocations") >= 4 and total("Invocation4XXErrors") >= 1, 15, "the invocations to be counted")
    assert total("Invocation5XXErrors") == 0
    assert 0 < total("ModelLatency", "Minimum") < 60_000_000  # microseconds
    assert total("OverheadLatency", "Minimum") >= 0


def put(**datum):
    return {"MetricData": [{"MetricName": "m", **datum}]}


@pytest.mark.parametrize("call", [
    lambda c: c.put_metric_data(Namespace="AWS/Mine", **put(Value=1.0)),
    lambda c: c.put_metric_data(Namespace="Mine", **put()),
    lambda c: c.put_metric_data(Namespace="Mine", **put(Value=1.0, Timestamp=datetime.datetime(2021, 1, 1, tzinfo=UTC))),
    lambda c: c.put_metric_data(Namespace="Mine", **put(Values=[1.0, 2.0], Counts=[1.0])),
    lambda c: c.get_metric_statistics(Namespace="N", MetricName="m", Period=7, Statistics=["Sum"], **hour()),
    lambda c: c.get_metric_statistics(Namespace="N", MetricName="m", Period=60, **hour()),
    lambda c: c.get_metric_statistics(Namespace="N", MetricName="m", Period=60, Statistics=["Sum"],
                                      StartTime=hour()["EndTime"], EndTime=hour()["StartTime"]),
    lambda c: c.get_metric_data(MetricDataQueries=[{"Id": "Upper", "Expression": "1"}], **hour()),
    lambda c: c.list_metrics(NextToken="nonsense"),
], ids=["reserved namespace", "no value", "too old", "counts", "odd period", "no statistic", "backwards", "bad id", "token"])
def test_refused(bench, call):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(bench.cloudwatch)
    error = caught.value.response["Error"]
    assert error["Code"] in ("InvalidParameterValue", "InvalidParameterCombination", "MissingParameter", "ValidationError",
                             "InvalidParameterValueException", "InvalidNextToken", "InvalidParameterCombinationException",
                             "MissingRequiredParameterException", "MissingParameterException"), error


def test_a_missing_metric_has_no_points(bench):
    assert bench.cloudwatch.get_metric_statistics(Namespace="N", MetricName="never", Period=60, Statistics=["Sum"], **hour()
                                                  )["Datapoints"] == []
    with refused("ValidationError", "at 'metricData.1.member.unit' failed to satisfy constraint"):
        bench.cloudwatch.put_metric_data(Namespace="Mine", **put(Value=1.0, Unit="Furlongs"))
