# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server at random moments, while jobs train and endpoints serve.

After each restart every request that was answered has its result, once: each
job one model and one log without a line twice, the endpoints answer, and at
the end no process and no working folder is left over.
"""

import collections
import random
import re
import threading
import time

import botocore.exceptions
import numpy
import pytest

from support.server import poll
from support.work import FAST, Workbench, csv

MOMENTS = 20
ROUNDS = 600
GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture(scope="module")
def home(other):
    return other("crash")


def clients(bench):
    """New clients for a server that has another port now."""
    server = bench.server
    for service in ("sagemaker", "s3", "logs"):
        setattr(bench, service, server.client(service))
    bench.runtime = server.client("sagemaker-runtime")


def submit(bench, moment, acknowledged):
    """Creates small jobs one after the other until the server is gone."""
    for i in range(10_000):
        name = f"small-{moment}-{i}"
        try:
            bench.sagemaker.create_training_job(**bench.request(name, hyper={"num_round": "5"}))
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return
        acknowledged.append(name)
        time.sleep(0.05)


def test_kill_at_random_moments(home):
    chance = random.Random(20)
    bench = Workbench(home)
    served = bench.deploy(bench.train("seed")["ModelArtifacts"]["S3ModelArtifacts"], name="kept")
    data = bench.sagemaker.describe_model(ModelName=served)["PrimaryContainer"]["ModelDataUrl"]
    rows = csv(bench.held_out[:5])
    want, _ = bench.ask(served, rows)
    acknowledged = []
    for moment in range(MOMENTS):
        big = f"big-{moment}"
        bench.sagemaker.create_training_job(**bench.request(big, hyper={"num_round": str(ROUNDS)}))
        acknowledged.append(big)
        passing = f"passing-{moment // 2}"  # an endpoint that is made at one moment and deleted at the next
        if moment % 2 == 0:
            bench.sagemaker.create_model(ModelName=passing, ExecutionRoleArn=bench.role,
                                         PrimaryContainer={"Image": bench.image, "ModelDataUrl": data})
            bench.sagemaker.create_endpoint_config(EndpointConfigName=passing, ProductionVariants=[
                {"VariantName": "v", "ModelName": passing, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
            bench.sagemaker.create_endpoint(EndpointName=passing, EndpointConfigName=passing)
        else:
            bench.sagemaker.delete_endpoint(EndpointName=passing)
        worker = threading.Thread(target=submit, args=(bench, moment, acknowledged))
        worker.start()
        time.sleep(chance.uniform(0, 0.8))
        home.kill()
        worker.join()
        home.start()
        clients(bench)

        def answers():
            try:
                return bench.ask(served, rows)[0]
            except botocore.exceptions.ClientError as e:  # the tasks are being found again
                assert e.response["Error"]["Code"] in ("ServiceUnavailable", "ValidationError"), e
        assert poll(answers, 20, "the endpoint to answer") == want
        if moment % 2 == 0:
            bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=passing, WaiterConfig=FAST)
            assert bench.ask(passing, rows)[0] == want
        else:
            bench.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=passing, WaiterConfig=FAST)

    jobs = {j["TrainingJobName"] for page in bench.sagemaker.get_paginator("list_training_jobs").paginate()
            for j in page["TrainingJobSummaries"]}
    lost = set(acknowledged) - jobs
    assert not lost, "jobs whose creation was answered are gone"
    assert len(jobs) >= 2 * MOMENTS
    for name in sorted(jobs):
        check_job(bench, name)
    poll(lambda: serving_only(home), 20, "the trainers to be gone")
    working = home.home / "work" / "training"
    poll(lambda: list(working.iterdir()) == [], 20, f"{working} to be empty")


def check_job(bench, name):
    job = bench.finished(name)
    assert job["TrainingJobStatus"] == "Completed", (name, job.get("FailureReason"))
    states = [s["Status"] for s in job["SecondaryStatusTransitions"]]
    assert states == ["Starting", "Downloading", "Training", "Uploading", "Completed"], (name, states)
    assert bench.keys(f"s3://{bench.bucket}/output/{name}/") == [f"output/{name}/output/{what}.tar.gz" for what in ("model", "output")]
    streams = bench.log_lines(GROUP, name + "/")
    assert len(streams) == 1, (name, list(streams))
    (lines,) = streams.values()
    rounds = [int(m.group(1)) for line in lines if (m := re.match(r"\[(\d+)\]#011", line))]
    wanted = int(job["HyperParameters"]["num_round"])
    assert rounds == list(range(wanted)), (name, [r for r, n in collections.Counter(rounds).items() if n > 1],
                                           sorted(set(range(wanted)) - set(rounds)))
    assert len(lines) - len(set(lines)) <= 2, (name, [line for line, n in collections.Counter(lines).items() if n > 1])
    assert job["FinalMetricDataList"], name


def serving_only(home):
    """Whether the one endpoint's task is all that runs: its parent, its init and the server in it."""
    running = []
    for pid in home.tasks():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                running.append(f.read().replace(b"\0", b" ").decode())
        except OSError:
            pass
    return bool(running) and sum("algo serve" in c for c in running) == 1 and not any("algo train" in c for c in running)


def test_the_models_after_a_crash_are_those_without(home):
    """The seed's job, trained once more in peace, gives the bytes that a crashed one gave."""
    from support.work import members
    bench = Workbench(home)
    rows = bench.train(hyper={"num_round": str(ROUNDS)})
    calm = members(bench.get(rows["ModelArtifacts"]["S3ModelArtifacts"]))
    sagemaker = home.client("sagemaker")
    for moment in range(MOMENTS):
        job = sagemaker.describe_training_job(TrainingJobName=f"big-{moment}")
        assert members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"])) == calm
    assert numpy.isfinite([m["Value"] for m in rows["FinalMetricDataList"]]).all()
