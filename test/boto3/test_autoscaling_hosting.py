# SPDX-License-Identifier: Apache-2.0
"""What scales and what is scaled, together: requests, metrics, alarms, policies, and instances that come and go."""

import concurrent.futures
import datetime
import threading
import time

import pytest

from support import oci, work
from support.refusal import refused
from support.server import poll
from support.work import FAST, unique

UTC = datetime.timezone.utc
INSTANCES = "sagemaker:variant:DesiredInstanceCount"
CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"
COPIES = "sagemaker:inference-component:DesiredCopyCount"


class Lab:
    """A server with a model that does what it is told, and what scales it."""

    def __init__(self, server, program):
        self.server, self.bench = server, work.Workbench(server)
        repository = self.bench.ecr.create_repository(repositoryName="obedient")["repository"]
        oci.Registry(server, self.bench.ecr).push("obedient", "1", [oci.layer({"container": (program.read_bytes(), 0o755)})], Entrypoint=["/container"])
        self.image = repository["repositoryUri"] + ":1"
        self.data = self.bench.put("model.tar.gz", work.archive({"model.json": b"1"}))
        self.scaling = server.client("application-autoscaling")

    def restarted(self):
        """New clients for a server that has another port now."""
        for service in ("sagemaker", "s3", "cloudwatch"):
            setattr(self.bench, service, self.server.client(service))
        self.bench.runtime = self.server.client("sagemaker-runtime")
        self.scaling = self.server.client("application-autoscaling")

    def model(self, **environment):
        name = unique("model")
        self.bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=self.bench.role, PrimaryContainer={
            "Image": self.image, "ModelDataUrl": self.data, "Environment": environment})
        return name

    def serve(self, variant, **config):
        """An endpoint in service of one variant, v."""
        name = unique("scaled")
        self.bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[{"VariantName": "v", **variant}], **config)
        self.bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.settled(name)
        return name

    def instances(self, count=1, environment=(), **more):
        return {"ModelName": self.model(**dict(environment)), "InstanceType": "ml.m5.large", "InitialInstanceCount": count, **more}

    def settled(self, name):
        self.bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)

    def variant(self, name):
        return self.bench.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"][0]

    def metric(self, name, stat, **dimensions):
        """The values of a metric of AWS/SageMaker in the last minutes, by periods of ten seconds."""
        now = datetime.datetime.now(UTC)
        found = self.bench.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName=name, StartTime=now - datetime.timedelta(minutes=5), EndTime=now + datetime.timedelta(seconds=10),
            Period=10, Statistics=[stat], Dimensions=[{"Name": k, "Value": v} for k, v in dimensions.items()])
        return [p[stat] for p in sorted(found["Datapoints"], key=lambda p: p["Timestamp"])]


class Target:
    """A scalable target and what is done with it."""

    def __init__(self, lab, resource, dimension, lowest, highest):
        self.lab = lab
        self.key = {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": dimension}
        self.bound(MinCapacity=lowest, MaxCapacity=highest)

    def bound(self, **more):
        self.lab.scaling.register_scalable_target(**self.key, **more)

    def steps(self, *steps, kind="ChangeInCapacity"):
        """A step policy; a step is (from, to, adjustment), where None has no end."""
        return self.policy("StepScaling", StepScalingPolicyConfiguration={"AdjustmentType": kind, "Cooldown": 0, "MetricAggregationType": "Maximum", "StepAdjustments": [
            {k: v for k, v in zip(("MetricIntervalLowerBound", "MetricIntervalUpperBound", "ScalingAdjustment"), step) if v is not None} for step in steps]})

    def policy(self, kind, **config):
        name = unique("policy")
        made = self.lab.scaling.put_scaling_policy(PolicyName=name, PolicyType=kind, **config, **self.key)
        return name, made["PolicyARN"], [a["AlarmName"] for a in made["Alarms"]]

    def alarm(self, policy, metric, threshold=1, comparison="GreaterThanOrEqualToThreshold", statistic="Maximum", **dimensions):
        """An alarm of one period of ten seconds that calls a policy."""
        name = unique("alarm")
        self.lab.bench.cloudwatch.put_metric_alarm(
            AlarmName=name, AlarmActions=[policy], Namespace="AWS/SageMaker", MetricName=metric, Statistic=statistic, Period=10, EvaluationPeriods=1,
            DatapointsToAlarm=1, Threshold=threshold, ComparisonOperator=comparison, TreatMissingData="missing",
            Dimensions=[{"Name": k, "Value": v} for k, v in dimensions.items()])
        return name

    def ring(self, alarm):
        """Sets off an alarm by hand."""
        self.lab.bench.cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")

    def quiet(self, *alarms):
        self.lab.bench.cloudwatch.delete_alarms(AlarmNames=list(alarms))

    def at(self, action, seconds=2):
        """Schedules other bounds, and returns the action's name."""
        name = unique("action")
        when = (datetime.datetime.now(UTC) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
        self.lab.scaling.put_scheduled_action(ScheduledActionName=name, Schedule=f"at({when})", ScalableTargetAction=action, **self.key)
        return name

    def activities(self, **more):
        return self.lab.scaling.describe_scaling_activities(**self.key, **more)["ScalingActivities"]

    def activity(self, cause, limit=30):
        """Waits for an activity by this cause to have an end, and returns the newest."""
        def look():
            found = [a for a in self.activities() if cause in a["Cause"]]
            return found[0] if found and "EndTime" in found[0] else None
        return poll(look, limit, f"an activity by {cause!r}")

    def done(self, cause, description, limit=30):
        """Waits for a change, and expects that it went well."""
        a = self.activity(cause, limit)
        what = description.removeprefix("Setting ").removesuffix(".")
        assert (a["StatusCode"], a["Description"], a["StatusMessage"]) == (
            "Successful", description, f"Successfully set {what}. Change successfully fulfilled by sagemaker."), a
        return a

    def scheduled(self, action):
        a = self.activity(f"scheduled action name {action} was triggered")
        assert a["StatusCode"] == "Successful", a
        return a


class Crowd:
    """Threads that ask without a pause, and what went wrong."""

    def __init__(self, server, endpoint, body, threads, pause=0.0, **more):
        self.stop, self.errors, self.answered = threading.Event(), [], 0
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)

        def ask():
            runtime = server.client("sagemaker-runtime")
            while not self.stop.is_set():
                try:
                    runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType="text/plain", **more)["Body"].read()
                    self.answered += 1
                except Exception as e:  # the test tells what it was
                    self.errors.append(e)
                time.sleep(pause)
        self.tasks = [self.pool.submit(ask) for _ in range(threads)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.pool.shutdown()
        for t in self.tasks:
            t.result()


@pytest.fixture(scope="module")
def lab(other, tmp_path_factory):
    return Lab(other("scaling", "--containers", "process"), oci.program(tmp_path_factory.mktemp("program")))


@pytest.fixture(scope="module")
def shared(lab):
    """An endpoint for inference components, whose instances come as copies need them, and a component without copies."""
    name = lab.serve({"InstanceType": "ml.m5.large", "InitialInstanceCount": 1, "ManagedInstanceScaling": {
        "Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 3, "ScaleInPolicy": {"Strategy": "IDLE_RELEASE", "CooldownInMinutes": 5}}},
        ExecutionRoleArn=lab.bench.role)
    component = unique("component")
    lab.bench.sagemaker.create_inference_component(
        InferenceComponentName=component, EndpointName=name, VariantName="v", RuntimeConfig={"CopyCount": 0},
        Specification={"Container": {"Image": lab.image, "ArtifactUrl": lab.data},
                       "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 4500, "NumberOfCpuCoresRequired": 0.5}})
    poll(lambda: copies(lab, component)[0] == "InService", 20, "the component to be in service")
    yield name, component
    lab.bench.sagemaker.delete_inference_component(InferenceComponentName=component)
    poll(lambda: not lab.bench.sagemaker.list_inference_components(EndpointNameEquals=name)["InferenceComponents"], 20, "the component to go")
    assert lab.scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[f"inference-component/{component}"])["ScalableTargets"] == []
    lab.bench.undeploy(name)


def copies(lab, component):
    c = lab.bench.sagemaker.describe_inference_component(InferenceComponentName=component)
    return c["InferenceComponentStatus"], c["RuntimeConfig"]["DesiredCopyCount"], c["RuntimeConfig"]["CurrentCopyCount"]


@pytest.fixture(scope="module")
def busy(lab, shared):
    """The component's target, brought from no copy to one by requests that were refused, and then under load from five callers."""
    endpoint, component = shared
    target = Target(lab, f"inference-component/{component}", COPIES, 0, 3)
    target.step, arn, _ = target.steps((0, None, 1))
    alarm = target.alarm(arn, "NoCapacityInvocationFailures", statistic="Sum", InferenceComponentName=component)
    with refused("ValidationError", "Inference Component has no capacity to process this request"):
        lab.bench.ask(endpoint, b"hello", "text/plain", InferenceComponentName=component)
    target.woken = target.done(f"monitor alarm {alarm} in state ALARM", "Setting desired copy count to 1.")
    target.quiet(alarm)
    policy, _, target.alarms = target.policy("TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
        "TargetValue": 2.0, "ScaleOutCooldown": 0, "ScaleInCooldown": 0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"}})
    with Crowd(lab.server, endpoint, b"sleep 1s", 5, InferenceComponentName=component) as target.crowd:
        yield target
    assert target.crowd.errors == [] and target.crowd.answered > 50


def test_a_refused_request_wakes_a_component(lab, shared, busy):
    endpoint, component = shared
    assert busy.woken["Cause"].endswith(f" triggered policy {busy.step}")
    assert copies(lab, component) == ("InService", 1, 1)
    assert lab.bench.ask(endpoint, b"hello", "text/plain", InferenceComponentName=component)[0]
    assert lab.metric("NoCapacityInvocationFailures", "Sum", InferenceComponentName=component) == [1]


@pytest.fixture(scope="module")
def waiting(lab):
    """An asynchronous endpoint without an instance, with requests that wait."""
    name = unique("queue")
    endpoint = lab.serve(lab.instances(), AsyncInferenceConfig={
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2}, "OutputConfig": {"S3OutputPath": f"s3://{lab.bench.bucket}/{name}"}})
    target = Target(lab, f"endpoint/{endpoint}/variant/v", INSTANCES, 0, 0)
    target.done("maximum capacity was set to 0", "Setting desired instance count to 0.")
    target.bound(MaxCapacity=2)
    _, arn, _ = target.steps((0, None, 1))
    target.waiting = target.alarm(arn, "HasBacklogWithoutCapacity", EndpointName=endpoint)
    target.answers = []
    for i in range(5):
        uri = lab.bench.put(f"in/{name}/{i}", f"request {i}".encode())
        target.answers.append(lab.bench.runtime.invoke_endpoint_async(EndpointName=endpoint, InputLocation=uri, ContentType="text/plain"))
    yield endpoint, target


def test_a_serverless_variant_is_provisioned_by_the_clock(lab, waiting):
    name = lab.serve({"ModelName": lab.model(), "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 4, "ProvisionedConcurrency": 1}})
    target = Target(lab, f"endpoint/{name}/variant/v", CONCURRENCY, 1, 3)
    policy, _, (high, low) = target.policy("TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
        "TargetValue": 0.7, "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"}})
    action = target.at({"MinCapacity": 2, "MaxCapacity": 3})
    target.scheduled(action)
    target.done("minimum capacity was set to 2", "Setting desired provisioned concurrency to 2.")
    v = lab.variant(name)
    assert v["CurrentServerlessConfig"] == v["DesiredServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 4, "ProvisionedConcurrency": 2}
    # The alarm looks at what the variant publishes.
    alarm = lab.bench.cloudwatch.describe_alarms(AlarmNames=[high])["MetricAlarms"][0]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Period"]) == ("ServerlessProvisionedConcurrencyUtilization", "Average", 60)
    with Crowd(lab.server, name, b"sleep 0.5s", 1) as crowd:
        watched = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
        poll(lambda: 0.5 in lab.metric(alarm["MetricName"], "Maximum", **watched), 15, "half of the provisioned concurrency to be used", every=0.5)
    assert crowd.errors == []
    with refused("ValidationException", "serverless"):
        Target(lab, f"endpoint/{name}/variant/v", INSTANCES, 1, 2)
    # More than MaxConcurrency is SageMaker's to refuse.
    target.bound(MinCapacity=9, MaxCapacity=9)
    failed = target.activity("minimum capacity was set to 9")
    assert failed["StatusCode"] == "Failed" and "must not be greater than its MaxConcurrency" in failed["StatusMessage"], failed
    lab.bench.undeploy(name)
    assert lab.scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target.key["ResourceId"]])["ScalableTargets"] == []
    assert lab.bench.cloudwatch.describe_alarms(AlarmNames=[high, low])["MetricAlarms"] == []


def test_a_backlog_wakes_an_asynchronous_endpoint(lab, waiting):
    endpoint, target = waiting
    target.done(f"monitor alarm {target.waiting} in state ALARM", "Setting desired instance count to 1.")
    for i, answer in enumerate(target.answers):
        bucket, _, key = answer["OutputLocation"].removeprefix("s3://").partition("/")
        poll(lambda: lab.bench.keys(answer["OutputLocation"]) == [key], 20, "the answer")
        assert f'"asked": "request {i}"' in lab.bench.get(answer["OutputLocation"]).decode()
    assert lab.variant(endpoint)["CurrentInstanceCount"] >= 1
    target.quiet(target.waiting)
    # Back to nothing, while a request is under way.
    uri = lab.bench.put("in/late", b"sleep 2s")
    late = lab.bench.runtime.invoke_endpoint_async(EndpointName=endpoint, InputLocation=uri, ContentType="text/plain")
    target.scheduled(target.at({"MinCapacity": 0, "MaxCapacity": 0}, 1))
    target.done("maximum capacity was set to 0", "Setting desired instance count to 0.")
    poll(lambda: lab.variant(endpoint)["CurrentInstanceCount"] == 0, 20, "no instance")
    poll(lambda: lab.bench.keys(late["OutputLocation"]), 20, "the request that was under way to be answered")
    lab.bench.undeploy(endpoint)


def test_instances_come_and_go_under_load(lab):
    name = lab.serve(lab.instances())
    target = Target(lab, f"endpoint/{name}/variant/v", INSTANCES, 1, 4)
    _, out, _ = target.steps((0, None, 3))
    _, back, _ = target.steps((None, 0, 1), kind="ExactCapacity")
    with Crowd(lab.server, name, b"sleep 20ms", 6) as crowd:
        up = target.alarm(out, "Never", EndpointName=name)
        target.ring(up)
        target.done(f"monitor alarm {up} in state ALARM", "Setting desired instance count to 4.")
        assert lab.variant(name)["CurrentInstanceCount"] == 4
        target.quiet(up)
        before = crowd.answered
        poll(lambda: crowd.answered > before + 50, 20, "fifty more answers")

        down = target.alarm(back, "Never", comparison="LessThanOrEqualToThreshold", EndpointName=name)
        target.bound(SuspendedState={"DynamicScalingInSuspended": True})
        target.ring(down)
        poll(lambda: history(lab, down), 10, "the alarm's action")
        time.sleep(1.5)
        assert lab.variant(name)["DesiredInstanceCount"] == 4  # suspended
        target.quiet(down)
        target.bound(SuspendedState={"DynamicScalingInSuspended": False})
        down = target.alarm(back, "Never", comparison="LessThanOrEqualToThreshold", EndpointName=name)
        target.ring(down)
        target.done(f"monitor alarm {down} in state ALARM", "Setting desired instance count to 1.")
        poll(lambda: lab.variant(name)["CurrentInstanceCount"] == 1, 20, "one instance")
        before = crowd.answered
        poll(lambda: crowd.answered > before + 50, 20, "fifty more answers")
        target.quiet(down)
        target.bound(SuspendedState={"ScheduledScalingSuspended": True})
        action = target.at({"MinCapacity": 3}, 1)
        time.sleep(2.5)
        assert not [a for a in target.activities() if action in a["Cause"]] and lab.variant(name)["DesiredInstanceCount"] == 1
    assert crowd.errors == []
    lab.bench.undeploy(name)


def history(lab, alarm):
    return lab.bench.cloudwatch.describe_alarm_history(AlarmName=alarm, HistoryItemType="Action")["AlarmHistoryItems"]


def test_concurrent_requests_bring_copies(lab, shared, busy):
    """Five callers and a target of two for a copy: three copies, for which two more instances come."""
    endpoint, component = shared
    busy.done(f"monitor alarm {busy.alarms[0]} in state ALARM", "Setting desired copy count to 3.", limit=60)
    assert copies(lab, component) == ("InService", 3, 3)
    assert lab.variant(endpoint)["CurrentInstanceCount"] == 3
    measured = lab.metric("ConcurrentRequestsPerCopy", "Maximum", InferenceComponentName=component)
    assert 5 in measured, measured
    assert busy.crowd.errors == []


def test_a_component_goes_to_sleep_by_the_clock(lab, shared, busy):
    _, component = shared
    busy.crowd.stop.set()
    for t in busy.crowd.tasks:
        t.result()
    busy.scheduled(busy.at({"MinCapacity": 0, "MaxCapacity": 0}, 1))
    busy.done("maximum capacity was set to 0", "Setting desired copy count to 0.")
    assert copies(lab, component) == ("InService", 0, 0)


def test_a_change_goes_on_after_a_kill(lab):
    name = lab.serve(lab.instances(environment={"START_AFTER": "3s"}))
    target = Target(lab, f"endpoint/{name}/variant/v", INSTANCES, 2, 3)

    def under_way():
        return [a for a in target.activities() if a["StatusCode"] == "InProgress"]
    (before,) = poll(under_way, 10, "the change to be under way", every=0.02)
    assert before["StatusMessage"] == "Successfully set desired instance count to 2. Waiting for change to be fulfilled by sagemaker."
    lab.server.kill()
    lab.server.start()
    lab.restarted()
    assert lab.variant(name)["DesiredInstanceCount"] == 2
    after = target.done("minimum capacity was set to 2", "Setting desired instance count to 2.")
    assert (after["ActivityId"], after["StartTime"]) == (before["ActivityId"], before["StartTime"]) and len(target.activities()) == 1
    assert lab.variant(name)["CurrentInstanceCount"] == 2
    # With the endpoint its target goes; one of the same name begins anew.
    assert lab.scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target.key["ResourceId"]])["ScalableTargets"]
    lab.bench.undeploy(name)
    assert lab.scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target.key["ResourceId"]])["ScalableTargets"] == []
