# SPDX-License-Identifier: Apache-2.0
"""Application Auto Scaling: an endpoint's instances follow policies, alarms and schedules."""

import datetime

import pytest

from support.refusal import refused
from support.server import poll
from support.work import FAST, unique

UTC = datetime.timezone.utc
COUNT = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


@pytest.fixture(scope="module")
def scaling(server):
    return server.client("application-autoscaling")


@pytest.fixture(scope="module")
def target(bench, trained, scaling):
    """The resource ID of a variant of an endpoint of this module's, registered for 1 to 3 instances."""
    name = bench.deploy(trained["ModelArtifacts"]["S3ModelArtifacts"], name=unique("scaled"))
    resource = f"endpoint/{name}/variant/AllTraffic"
    scaling.register_scalable_target(ResourceId=resource, MinCapacity=1, MaxCapacity=3, Tags={"team": "risk"}, **COUNT)
    yield resource
    scaling.deregister_scalable_target(ResourceId=resource, **COUNT)
    bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
    bench.undeploy(name)


def count(bench, resource):
    """How many instances are in service, once the endpoint is."""
    endpoint = bench.sagemaker.describe_endpoint(EndpointName=resource.split("/")[1])
    (variant,) = endpoint["ProductionVariants"]
    return variant["CurrentInstanceCount"] if endpoint["EndpointStatus"] == "InService" else None


def activity(scaling, resource, cause):
    """Waits for the newest activity to have this cause and an end."""
    def look():
        found = scaling.describe_scaling_activities(ServiceNamespace="sagemaker", ResourceId=resource)["ScalingActivities"]
        return found[0] if found and cause in found[0]["Cause"] and "EndTime" in found[0] else None
    return poll(look, 60, f"an activity by {cause!r}")


def measure(bench, metric, values):
    """Publishes values of a metric of one's own: the last of them for the last whole minute."""
    now = datetime.datetime.now(UTC).replace(second=30, microsecond=0)
    for i in range(0, len(values), 15):
        bench.cloudwatch.put_metric_data(Namespace="Test/Scaling", MetricData=[
            {"MetricName": metric, "Timestamp": now - datetime.timedelta(minutes=len(values) - n), "Value": float(v)}
            for n, v in enumerate(values)][i:i + 15])


def test_a_target_is_described(scaling, target, bench):
    (found,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target])["ScalableTargets"]
    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 3)
    assert found["RoleARN"] == (f"arn:aws:iam::{bench.account}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
                                "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint")
    assert found["SuspendedState"] == {"DynamicScalingInSuspended": False, "DynamicScalingOutSuspended": False, "ScheduledScalingSuspended": False}
    arn = found["ScalableTargetARN"]
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "risk"}
    scaling.tag_resource(ResourceARN=arn, Tags={"stage": "test"})
    scaling.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"stage": "test"}
    pages = scaling.get_paginator("describe_scalable_targets").paginate(ServiceNamespace="sagemaker")
    assert found in [t for page in pages for t in page["ScalableTargets"]]
    assert scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []


def test_bounds_bring_the_capacity_in(scaling, target, bench):
    scaling.register_scalable_target(ResourceId=target, MinCapacity=2, **COUNT)
    done = activity(scaling, target, "minimum capacity was set to 2")
    assert done["Description"] == "Setting desired instance count to 2."
    assert done["StatusCode"] == "Successful", done
    assert done["StatusMessage"] == "Successfully set desired instance count to 2. Change successfully fulfilled by sagemaker."
    assert count(bench, target) == 2
    scaling.register_scalable_target(ResourceId=target, MinCapacity=1, MaxCapacity=1, **COUNT)
    assert activity(scaling, target, "maximum capacity was set to 1")["StatusCode"] == "Successful"
    assert count(bench, target) == 1
    scaling.register_scalable_target(ResourceId=target, MinCapacity=1, MaxCapacity=3, **COUNT)


def test_a_step_policy_follows_its_alarm(scaling, target, bench):
    policy = unique("steps")
    arn = scaling.put_scaling_policy(PolicyName=policy, ResourceId=target, PolicyType="StepScaling", StepScalingPolicyConfiguration={
        "AdjustmentType": "ChangeInCapacity", "Cooldown": 0, "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]},
        **COUNT)["PolicyARN"]
    alarm = unique("busy")
    bench.cloudwatch.put_metric_alarm(AlarmName=alarm, AlarmActions=[arn], Namespace="Test/Scaling", MetricName=alarm, Statistic="Sum", Period=60,
                                      EvaluationPeriods=1, Threshold=10, ComparisonOperator="GreaterThanThreshold")
    (found,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", PolicyNames=[policy])["ScalingPolicies"]
    assert [a["AlarmName"] for a in found["Alarms"]] == [alarm] and found["PolicyARN"] == arn
    bench.cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    done = activity(scaling, target, f"monitor alarm {alarm} in state ALARM triggered policy {policy}")
    assert done["StatusCode"] == "Successful" and count(bench, target) == 2
    history = poll(lambda: bench.cloudwatch.describe_alarm_history(AlarmName=alarm, HistoryItemType="Action")["AlarmHistoryItems"], 10, "the action in the history")
    assert history[0]["HistorySummary"] == f"Successfully executed action {arn}"
    bench.cloudwatch.delete_alarms(AlarmNames=[alarm])
    scaling.delete_scaling_policy(PolicyName=policy, ResourceId=target, **COUNT)
    scaling.register_scalable_target(ResourceId=target, MinCapacity=1, MaxCapacity=1, **COUNT)
    activity(scaling, target, "maximum capacity was set to 1")
    scaling.register_scalable_target(ResourceId=target, MinCapacity=1, MaxCapacity=3, **COUNT)


def test_target_tracking_goes_out_and_in(scaling, target, bench):
    policy, metric = unique("follow"), unique("Load")
    measure(bench, metric, [250, 250, 250])
    put = scaling.put_scaling_policy(PolicyName=policy, ResourceId=target, PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
        "TargetValue": 100, "ScaleInCooldown": 0, "ScaleOutCooldown": 0,
        "CustomizedMetricSpecification": {"Namespace": "Test/Scaling", "MetricName": metric, "Statistic": "Average"}}, **COUNT)
    high, low = (a["AlarmName"] for a in put["Alarms"])
    assert high.startswith(f"TargetTracking-{target}-AlarmHigh-") and low.startswith(f"TargetTracking-{target}-AlarmLow-")
    alarms = {a["AlarmName"]: a for a in bench.cloudwatch.describe_alarms(AlarmNames=[high, low])["MetricAlarms"]}
    assert (alarms[high]["Threshold"], alarms[high]["EvaluationPeriods"], alarms[high]["AlarmActions"]) == (100, 3, [put["PolicyARN"]])
    assert (alarms[low]["Threshold"], alarms[low]["EvaluationPeriods"], alarms[low]["ComparisonOperator"]) == (90, 15, "LessThanThreshold")
    done = activity(scaling, target, f"monitor alarm {high} in state ALARM triggered policy {policy}")
    assert done["Description"] == "Setting desired instance count to 3." and done["StatusCode"] == "Successful" and count(bench, target) == 3
    scaling.delete_scaling_policy(PolicyName=policy, ResourceId=target, **COUNT)
    assert bench.cloudwatch.describe_alarms(AlarmNames=[high, low])["MetricAlarms"] == []

    policy, metric = unique("follow"), unique("Load")
    measure(bench, metric, [20] * 17)
    put = scaling.put_scaling_policy(PolicyName=policy, ResourceId=target, PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
        "TargetValue": 100, "ScaleInCooldown": 0,
        "CustomizedMetricSpecification": {"Metrics": [
            {"Id": "m1", "ReturnData": False, "MetricStat": {"Stat": "Average", "Metric": {"Namespace": "Test/Scaling", "MetricName": metric}}},
            {"Id": "e1", "Expression": "m1 * 2", "ReturnData": True}]}}, **COUNT)
    done = activity(scaling, target, f"monitor alarm {put['Alarms'][1]['AlarmName']} in state ALARM triggered policy {policy}")
    # The data are older than the change before, and tell of the one instance there was then: 40 % of it are needed.
    assert done["Description"] == "Setting desired instance count to 1." and count(bench, target) == 1, done
    scaling.delete_scaling_policy(PolicyName=policy, ResourceId=target, **COUNT)


def test_requests_count_as_a_predefined_metric(scaling, target, bench):
    """What the endpoint publishes is what the policy reads: the whole minute must pass."""
    policy = unique("invocations")
    scaling.put_scaling_policy(PolicyName=policy, ResourceId=target, PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
        "TargetValue": 0.5, "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}, **COUNT)
    (found,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=target, PolicyNames=[policy])["ScalingPolicies"]
    (high, _) = found["Alarms"]
    (alarm,) = bench.cloudwatch.describe_alarms(AlarmNames=[high["AlarmName"]])["MetricAlarms"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/SageMaker", "InvocationsPerInstance", "Sum")
    with refused("ValidationException", "Only one TargetTrackingScaling policy for a given metric specification is allowed."):
        scaling.put_scaling_policy(PolicyName=unique("again"), ResourceId=target, PolicyType="TargetTrackingScaling",
                                   TargetTrackingScalingPolicyConfiguration=found["TargetTrackingScalingPolicyConfiguration"], **COUNT)
    bench.predict(target.split("/")[1], bench.held_out[:2])
    now = datetime.datetime.now(UTC)

    def published():
        return bench.cloudwatch.get_metric_statistics(
            Namespace=alarm["Namespace"], MetricName=alarm["MetricName"], Dimensions=alarm["Dimensions"], Statistics=[alarm["Statistic"]], Period=60,
            StartTime=now - datetime.timedelta(minutes=2), EndTime=now + datetime.timedelta(minutes=2))["Datapoints"]
    assert poll(published, 10, "the metric of the alarm")[0]["Sum"] > 0
    scaling.delete_scaling_policy(PolicyName=policy, ResourceId=target, **COUNT)


def test_a_scheduled_action_runs(scaling, target, bench):
    name = unique("soon")
    at = (datetime.datetime.now(UTC) + datetime.timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%S")
    scaling.put_scheduled_action(ScheduledActionName=name, ResourceId=target, Schedule=f"at({at})",
                                 ScalableTargetAction={"MinCapacity": 1, "MaxCapacity": 1}, **COUNT)
    scaling.put_scheduled_action(ScheduledActionName=name + "-daily", ResourceId=target, Schedule="cron(0 8 ? * MON-FRI *)", Timezone="Europe/Berlin",
                                 ScalableTargetAction={"MinCapacity": 2}, **COUNT)
    found = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker", ResourceId=target, ScheduledActionNames=[name, name + "-daily"])["ScheduledActions"]
    assert [a["Schedule"] for a in found] == [f"at({at})", "cron(0 8 ? * MON-FRI *)"] and found[1]["Timezone"] == "Europe/Berlin"

    def ran():
        return [a for a in scaling.describe_scaling_activities(ServiceNamespace="sagemaker", ResourceId=target)["ScalingActivities"]
                if a["Cause"] == f"scheduled action name {name} was triggered"]
    (done,) = poll(ran, 30, "the scheduled action")
    assert (done["StatusCode"], done["StatusMessage"]) == ("Successful", "Successfully set min capacity to 1 and max capacity to 1")
    poll(lambda: count(bench, target) == 1, 60, "one instance")
    for n in (name, name + "-daily"):
        scaling.delete_scheduled_action(ScheduledActionName=n, ResourceId=target, **COUNT)
    with refused("ObjectNotFoundException", "No scheduled action found"):
        scaling.delete_scheduled_action(ScheduledActionName=name, ResourceId=target, **COUNT)


def test_what_is_refused(scaling, target):
    with refused("ValidationException", "Could not find endpoint"):
        scaling.register_scalable_target(ResourceId="endpoint/none/variant/AllTraffic", MinCapacity=1, MaxCapacity=2, **COUNT)
    with refused("ValidationException", "Unsupported service namespace, resource type or scalable dimension"):
        scaling.register_scalable_target(ServiceNamespace="ecs", ResourceId="service/a/b", ScalableDimension="ecs:service:DesiredCount", MinCapacity=1, MaxCapacity=2)
    with refused("ValidationException", "Maximum capacity cannot be less than minimum capacity"):
        scaling.register_scalable_target(ResourceId=target, MinCapacity=9, **COUNT)
    with refused("ValidationException", "Member must satisfy enum value set"):
        scaling.describe_scalable_targets(ServiceNamespace="sage")
    with refused("ObjectNotFoundException", "No scalable target registered for service namespace: sagemaker, resource ID: endpoint/none/variant/v, "
                                            "scalable dimension: sagemaker:variant:DesiredInstanceCount"):
        scaling.deregister_scalable_target(ResourceId="endpoint/none/variant/v", **COUNT)
    with refused("ObjectNotFoundException", "No scaling policy found for service namespace: sagemaker"):
        scaling.delete_scaling_policy(PolicyName="none", ResourceId=target, **COUNT)
    with refused("InvalidNextTokenException"):
        scaling.describe_scaling_policies(ServiceNamespace="sagemaker", NextToken="none")
    with refused("ValidationException", "Error in expression"):
        scaling.put_scaling_policy(PolicyName="p", ResourceId=target, PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 1, "CustomizedMetricSpecification": {"Metrics": [{"Id": "e1", "Expression": "nonsense(", "ReturnData": True}]}}, **COUNT)
    with refused("ResourceNotFoundException"):
        scaling.list_tags_for_resource(ResourceARN="arn:aws:application-autoscaling:us-east-1:123456789012:scalable-target/none")


def test_deleting_the_endpoint_deregisters_it(scaling, trained, bench):
    name = bench.deploy(trained["ModelArtifacts"]["S3ModelArtifacts"], name=unique("gone"))
    resource = f"endpoint/{name}/variant/AllTraffic"
    scaling.register_scalable_target(ResourceId=resource, MinCapacity=1, MaxCapacity=3, **COUNT)
    scaling.put_scheduled_action(ScheduledActionName="later", ResourceId=resource, Schedule="rate(1 day)", ScalableTargetAction={"MinCapacity": 2}, **COUNT)
    bench.undeploy(name)
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])["ScalableTargets"] == []
    assert scaling.describe_scheduled_actions(ServiceNamespace="sagemaker", ResourceId=resource)["ScheduledActions"] == []
    with refused("ValidationException", "Could not find endpoint"):
        scaling.register_scalable_target(ResourceId=resource, MinCapacity=2, **COUNT)
    with refused("ObjectNotFoundException", "No scalable target registered"):
        scaling.deregister_scalable_target(ResourceId=resource, **COUNT)
