# SPDX-License-Identifier: Apache-2.0
"""Deployments, other weights, other counts and killed instances, while requests come at a steady rate: what fails, and who answers."""

import collections
import datetime
import json
import os
import signal
import subprocess
import time

from lab import Result, count, ms, table
from support.server import poll
from support.work import FAST, csv

CONNECTIONS = 16
COUNT = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
INSTANCES = 4


def run(lab):
    return Deploy(lab).run()


class Deploy:
    def __init__(self, lab):
        self.lab, self.result, self.bench = lab, Result(), lab.workbench("deploy")
        self.rate, self.stay = (400, 2) if lab.quick else (3000, 10)  # requests a second; seconds of one split of the traffic
        self.rows, self.splits, self.phases = [], [], []
        bench, self.answers = self.bench, {}
        self.row = csv(bench.held_out[:1]).strip()
        self.body = lab.file("row.csv", self.row)
        for name, rounds in (("blue", "5"), ("green", "20")):  # they answer differently, so that an answer tells who gave it
            model = bench.train(name, hyper={"num_round": rounds})["ModelArtifacts"]["S3ModelArtifacts"]
            bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role,
                                         PrimaryContainer={"Image": bench.image, "ModelDataUrl": model})
            self.config(name, {"v": (name, INSTANCES, 1)})
            self.endpoint(name, name)
            text, _ = bench.ask(name, self.row, accept="text/csv")
            self.answers[text.strip()] = name
            bench.undeploy(name)
        assert len(self.answers) == 2, self.answers

    def config(self, name, variants):
        self.bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
            {"VariantName": v, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": instances, "InitialVariantWeight": weight}
            for v, (model, instances, weight) in variants.items()])

    def endpoint(self, name, config):
        self.bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.in_service(name)

    def in_service(self, name):
        self.bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)

    def run(self):
        self.endpoint("e", "blue")
        for what, config in (("all at once", blue_green("ALL_AT_ONCE", 0)),
                             ("canary, 1 of 4 instances", blue_green("CANARY", self.stay, CanarySize={"Type": "INSTANCE_COUNT", "Value": 1})),
                             ("linear, steps of 25 %", blue_green("LINEAR", self.stay, LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": 25})),
                             ("rolling, 1 of 4 instances", {"RollingUpdatePolicy": {
                                 "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 2}})):
            self.update(what, config)
        for _ in range(1 if self.lab.quick else 5):
            self.kill()
        self.capacity()
        self.weights()
        self.scaling()
        self.report()
        self.lab.done(self.bench.server)
        return self.result

    def phase(self, what, endpoint, act, by="body"):
        """Does something while requests come, from a second before until one after."""
        p = self.lab.popen(self.lab.dir / "load", "drive", *map(str, (
            *self.lab.at(self.bench.server), "-path", f"/endpoints/{endpoint}/invocations", "-body", self.body, "-header", "Accept: text/csv",
            "-conns", CONNECTIONS, "-rate", self.rate, "-warm", "0s", "-for", "1h", "-retries", 4, "-tally", by)), stdout=subprocess.PIPE)
        time.sleep(1)
        begin = time.monotonic()
        act()
        took = time.monotonic() - begin
        time.sleep(1)
        p.send_signal(signal.SIGTERM)
        d = json.loads(p.communicate(timeout=60)[0])
        self.lab.processes.remove(p)
        self.phases.append(d)
        self.rows.append([what, f"{took:.1f} s", count(d["sent"]), d["errors"], d["again"], ms(d["p50"]), ms(d["p99"]), ms(d["max"])])
        if d["errors"]:
            self.rows[-1][3] = f"{d['errors']}: {d['firstError'][:100]}"
        return d

    def update(self, what, deployment):
        """To the other model, by a deployment."""
        now = self.bench.sagemaker.describe_endpoint(EndpointName="e")["EndpointConfigName"]
        to = "green" if now == "blue" else "blue"

        def act():
            self.bench.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=to, DeploymentConfig=deployment)
            self.in_service("e")
            seen = self.bench.sagemaker.describe_endpoint(EndpointName="e")
            assert seen["EndpointConfigName"] == to and "FailureReason" not in seen, seen
        d = self.phase(f"update, {what}", "e", act)
        shares = [collections.Counter({self.answers[text]: n for text, n in s["of"].items()}) for s in d["slots"]]
        if "linear" in what or "canary" in what:
            for step in (0.25, 0.5, 0.75) if "linear" in what else (0.25,):
                self.split(f"{what}: at {step:.0%}", step, stretch(shares, to, step))

    def split(self, what, want, seen):
        """seen is (answers that are meant, all answers)."""
        meant, whole = seen
        self.splits.append((what, want, meant / whole if whole else 0, whole))

    def kill(self):
        """kill -9 of the processes of one instance of four."""
        server = self.bench.server
        poll(lambda: len(instances(server)) == INSTANCES, 30, "instances of before to be gone")

        def act():
            before = server.tasks()
            # The parent writes down how its child ended and is killed too: all of the instance goes at once.
            whole = instances(server)
            victim = whole[min(whole)]
            for pid in victim:
                os.kill(pid, signal.SIGKILL)
            poll(lambda: len(server.tasks() - before) >= len(victim), 30, "another instance to be started")
            poll(lambda: self.bench.sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"][0]["CurrentInstanceCount"] == INSTANCES,
                 30, "all instances to be there")
        self.phase("kill -9 of an instance", "e", act)

    def capacity(self):
        """1 to 4 instances and back, by UpdateEndpointWeightsAndCapacities."""
        self.config("one", {"v": ("blue", 1, 1)})
        self.endpoint("one", "one")

        def to(instances):
            def act():
                self.bench.sagemaker.update_endpoint_weights_and_capacities(EndpointName="one", DesiredWeightsAndCapacities=[
                    {"VariantName": "v", "DesiredInstanceCount": instances}])
                self.in_service("one")
                poll(lambda: self.instances("one") == instances, 60, f"{instances} instances")
            return act
        for _ in range(1 if self.lab.quick else 3):
            self.phase("1 to 4 instances", "one", to(4))
            self.phase("4 to 1 instances", "one", to(1))

    def instances(self, endpoint):
        seen = self.bench.sagemaker.describe_endpoint(EndpointName=endpoint)
        return seen["ProductionVariants"][0]["CurrentInstanceCount"] if seen["EndpointStatus"] == "InService" else None

    def weights(self):
        """Two variants with other weights, and what CloudWatch counted."""
        self.config("two", {"a": ("blue", 1, 1), "b": ("green", 1, 1)})
        self.endpoint("two", "two")
        whole = collections.Counter()
        for a, b in ((1, 1), (3, 1), (1, 9)):
            self.bench.sagemaker.update_endpoint_weights_and_capacities(EndpointName="two", DesiredWeightsAndCapacities=[
                {"VariantName": "a", "DesiredWeight": a}, {"VariantName": "b", "DesiredWeight": b}])
            self.in_service("two")
            d = self.phase(f"steady, weights {a}:{b}", "two", lambda: time.sleep(self.stay - 2), "X-Amzn-Invoked-Production-Variant")
            of = sum((collections.Counter(s["of"]) for s in d["slots"]), collections.Counter())
            whole += of
            self.split(f"weights {a}:{b}: variant a", a / (a + b), (of["a"], of["a"] + of["b"]))

        def change():
            for a, b in ((1, 1), (5, 1), (1, 5), (0, 1), (1, 0), (1, 1)):
                self.bench.sagemaker.update_endpoint_weights_and_capacities(EndpointName="two", DesiredWeightsAndCapacities=[
                    {"VariantName": "a", "DesiredWeight": a}, {"VariantName": "b", "DesiredWeight": b}])
                self.in_service("two")
                time.sleep(self.stay / 10)
        d = self.phase("weights changed six times", "two", change, "X-Amzn-Invoked-Production-Variant")
        whole += sum((collections.Counter(s["of"]) for s in d["slots"]), collections.Counter())
        seen = poll(lambda: self.counted("two", whole), 20, f"CloudWatch to count {dict(whole)}", every=0.5)
        self.result.target("deploy: Invocations of each variant in CloudWatch", "= answers that name it",
                           ", ".join(f"{v} {count(n)}" for v, n in sorted(seen.items())),
                           ", ".join(f"{v} {count(n)}" for v, n in sorted(whole.items())) + " answers", met=seen == whole)

    def counted(self, endpoint, want):
        """Sum of Invocations {variant: n}, once it is what is wanted or five seconds have gone by since it changed."""
        def look():
            now = datetime.datetime.now(datetime.UTC)
            return collections.Counter({v: int(sum(p["Sum"] for p in self.bench.cloudwatch.get_metric_statistics(
                Namespace="AWS/SageMaker", MetricName="Invocations", Period=60, Statistics=["Sum"], StartTime=now - datetime.timedelta(hours=1),
                EndTime=now + datetime.timedelta(minutes=1), Dimensions=[
                    {"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": v}])["Datapoints"])) for v in want})
        for _ in range(10):
            if look() == want:
                break
            time.sleep(0.5)
        return look()

    def scaling(self):
        """1 to 4 instances and back, by Application Auto Scaling: actions that are due at a time."""
        scaling, resource = self.bench.server.client("application-autoscaling"), "endpoint/one/variant/v"
        scaling.register_scalable_target(ResourceId=resource, MinCapacity=1, MaxCapacity=4, **COUNT)

        def to(instances):
            def act():
                at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
                scaling.put_scheduled_action(ScheduledActionName=f"to-{instances}", ResourceId=resource, Schedule=f"at({at:%Y-%m-%dT%H:%M:%S})",
                                             ScalableTargetAction={"MinCapacity": instances, "MaxCapacity": instances}, **COUNT)
                poll(lambda: self.instances("one") == instances, 60, f"{instances} instances by the scheduled action")
            return act
        self.phase("1 to 4 instances, scheduled action", "one", to(4))
        self.phase("4 to 1 instances, scheduled action", "one", to(1))

    def report(self):
        sent, errors, again = (sum(d[k] for d in self.phases) for k in ("sent", "errors", "again"))
        self.result.target("deploy: requests that failed while endpoints were updated, scaled and killed", "0 of ≥ 200,000",
                           f"{errors} of {count(sent)}", f"{again} answers of 503, after which the request was sent again",
                           met=errors == 0 and sent >= 200_000)
        worst = max(self.splits, key=lambda s: abs(s[2] - s[1]))
        self.result.target("deploy: the split of the traffic, most beside what was asked for", "< 1 % of all requests",
                           f"{abs(worst[2] - worst[1]):.2%}", f"{worst[0]}, {count(worst[3])} requests", met=abs(worst[2] - worst[1]) < 0.01)
        self.result.say(f"{self.rate:,} signed requests a second over {CONNECTIONS} connections, so that the machine is not busy; a phase is from a "
                        "second before what is done until a second after it was over. Updates are from one model to another with "
                        f"{INSTANCES} instances each. A request that is answered 503 is sent again, as the SDKs do by themselves: the column "
                        "*again* counts these answers, which a request gets whose instance was killed while it had it. "
                        "Latencies are of requests as sent, the waits before they were sent again included.")
        self.result.say(*table(["phase", "time", "requests", "failed", "again", "p50", "p99", "slowest"], self.rows))
        self.result.say("Who answered, by the answer (the models differ) or the header `x-Amzn-Invoked-Production-Variant`. A step of a deployment "
                        "is told by the share itself, which is nearest to it then, without its first and last tenth of a second.")
        self.result.say(*table(["where", "asked for", "seen", "of requests", "beside"], [
            [what, f"{want:.2%}", f"{seen:.2%}", count(n), f"{abs(seen - want):.2%}"] for what, want, seen, n in self.splits]))


def blue_green(kind, wait, **sizes):
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}}}


def stretch(slots, of, share):
    """(answers of that model, all answers) while its share was nearest to this one of the quarters."""
    near = [i for i, s in enumerate(slots) if s.total() and round(s[of] / s.total() * 4) == share * 4]
    inner = near[1:-1]
    return sum(slots[i][of] for i in inner), sum(slots[i].total() for i in inner)


def instances(server):
    """{PID of `sagebrush task`: [it and its children]} of the tasks of a home."""
    pids, of = server.tasks(), {}
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            of[pid] = int(f.read().rpartition(")")[2].split()[1])
    roots = [p for p in pids if of[p] not in pids]

    def below(pid):
        return [pid, *(c for child in pids if of[child] == pid for c in below(child))]
    return {root: below(root) for root in roots}
