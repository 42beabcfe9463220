# SPDX-License-Identifier: Apache-2.0
"""Images of any language: pushed to the registry, trained and served without Docker and with it."""

import datetime
import json
import os
import shutil
import socket
import threading

import botocore.exceptions
import pytest

from support import oci, work
from support.server import poll

DOCKER = os.environ.get("SAGEBRUSH_TEST_DOCKER")


class Shop:
    """A workbench with the image of test/support/container in its registry."""

    def __init__(self, server, program):
        self.bench = work.Workbench(server)
        self.ecr = self.bench.ecr
        repository = self.ecr.create_repository(repositoryName="counter")["repository"]
        self.registry = oci.Registry(server, self.ecr)
        self.uri = repository["repositoryUri"] + ":1"
        self.layers = [oci.layer({"container": (program.read_bytes(), 0o755), "etc/passwd": (b"root:x:0:0::/:/\nworker:x:1000:1000::/tmp:/\n", 0o644),
                                  "opt/tmp/x": (b"", 0o644), "tmp/y": (b"", 0o644)})]
        self.digest = self.registry.push("counter", "1", self.layers, Entrypoint=["/container"], Env=["FROM_IMAGE=yes"])

    def train(self, name, settled=True, **more):
        request = self.bench.request(work.unique(name))
        request["HyperParameters"] = {"times": "3"}
        request["AlgorithmSpecification"] = {"TrainingImage": self.uri, "TrainingInputMode": "File"}
        request.update(more)
        self.bench.sagemaker.create_training_job(**request)
        return self.bench.finished(request["TrainingJobName"]) if settled else request["TrainingJobName"]

    def log(self, job):
        lines = self.bench.log_lines("/aws/sagemaker/TrainingJobs", job["TrainingJobName"] + "/")
        return [line for stream in sorted(lines) for line in lines[stream]]


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    return oci.program(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="session")
def shops(other, program):
    """Makes the shop of each kind once, for the whole session."""
    made = {}

    def get(kind):
        if kind not in made:
            flags = ["--containers", kind]
            if kind == "docker":
                os.environ["DOCKER_HOST"] = DOCKER
                flags += ["--listen", "0.0.0.0:0"]  # the engine pulls from the server wherever that listens
            try:
                made[kind] = Shop(other("containers-" + kind, *flags), program)
            finally:
                os.environ.pop("DOCKER_HOST", None)
            if kind == "process":
                made[kind].stubborn = begin_stubborn(made[kind])
        return made[kind]
    return get


def begin_stubborn(shop):
    """A job that was told to stop and does not; it is begun first, since its end takes two minutes."""
    name = shop.train("stubborn", settled=False, Environment={"MODE": "stubborn"})
    shop.bench.reached(name, "Training")
    poll(lambda: "stubborn" in shop.log({"TrainingJobName": name}), 30, "the container to ignore SIGTERM")
    shop.bench.sagemaker.stop_training_job(TrainingJobName=name)
    return name, datetime.datetime.now(datetime.timezone.utc)


@pytest.fixture(params=["process", "docker"])
def shop(request, shops):
    if request.param == "docker" and not DOCKER:
        pytest.skip("there is no Docker engine: SAGEBRUSH_TEST_DOCKER is not set (test/dockerd.sh sets one up)")
    return shops(request.param)


def test_an_image_trains_and_serves(shop):
    job = shop.train("counter")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    model = json.loads(work.members(shop.bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))["model.json"])
    lines = shop.bench.get(shop.bench.train_uri + "part-0.csv").count(b"\n")
    assert model == {"lines": lines, "times": "3"}
    log = shop.log(job)
    assert any(line.startswith("host algo-1, ") for line in log), log
    root = next(line for line in log if " root " in line).partition(" root ")[2].split()
    assert "container" in root and not {"home", "root", "work", "usr"} & set(root), "it sees its own files only"

    endpoint = shop.bench.deploy(job["ModelArtifacts"]["S3ModelArtifacts"], image=shop.uri)
    text, _ = shop.bench.ask(endpoint, b"hello", content_type="text/plain")
    assert json.loads(text) == {"model": model, "asked": "hello"}
    shop.bench.undeploy(endpoint)


def test_the_uri_of_aws_is_the_same_image(shop):
    uri = f"{shop.bench.account}.dkr.ecr.{shop.bench.region}.amazonaws.com/counter@{shop.digest}"
    job = shop.train("aws", AlgorithmSpecification={"TrainingImage": uri, "TrainingInputMode": "File"})
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")


def test_entry_points_and_arguments(shop):
    spec = {"TrainingImage": shop.uri, "TrainingInputMode": "File"}
    job = shop.train("args", AlgorithmSpecification={**spec, "ContainerArguments": ["args", "a b", "c"]})
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert "arguments a b|c" in shop.log(job)
    job = shop.train("entry", AlgorithmSpecification={**spec, "ContainerEntrypoint": ["/container", "args"], "ContainerArguments": ["x"]})
    assert "arguments x" in shop.log(job)
    job = shop.train("none", AlgorithmSpecification={**spec, "ContainerEntrypoint": ["/no/such/program"]})
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ") and "no such file" in job["FailureReason"]


@pytest.fixture()
def listener():
    """A TCP server of this machine, on all its addresses."""
    s = socket.create_server(("0.0.0.0", 0))
    seen = []

    def accept():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            seen.append(1)
            c.close()
    threading.Thread(target=accept, daemon=True).start()
    yield s.getsockname()[1], seen
    s.close()


def test_network_isolation(shop, listener):
    port, seen = listener
    # The first address of this machine that is not its loopback: containers reach it from any network but none.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        host = probe.getsockname()[0]
    environment = {"MODE": "connect", "CONNECT": f"{host}:{port}"}
    job = shop.train("open", Environment=environment)
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), shop.log(job))
    assert seen
    job = shop.train("isolated", Environment=environment, EnableNetworkIsolation=True)
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"] == "AlgorithmError: , exit code: 4"
    assert len(seen) == 1


@pytest.mark.parametrize("mode, reason", [
    ("exit137", "AlgorithmError: , exit code: 137"),
    ("failure", "AlgorithmError: too long: xxx"),
])
def test_containers_that_fail(shop, mode, reason):
    job = shop.train(mode, Environment={"MODE": mode})
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)
    assert len(job["FailureReason"]) <= 1024


def test_binary_output_does_no_harm(shop):
    job = shop.train("binary", Environment={"MODE": "binary"})
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert any("after the noise" in line for line in shop.log(job))


def test_a_full_disk_ends_the_job_and_not_the_machine(shop):
    before = shutil.disk_usage("/").free
    job = shop.train("fill", Environment={"MODE": "fill"},
                     ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1})
    assert job["TrainingJobStatus"] == "Failed"
    assert "No space left on device" in job["FailureReason"], job["FailureReason"]
    assert shutil.disk_usage("/").free > before - (8 << 30), "what it wrote is gone again"


def test_a_fork_bomb_ends_the_job_and_not_the_machine(shop):
    job = shop.train("forks", Environment={"MODE": "forks"})
    assert job["TrainingJobStatus"] == "Failed"
    assert any("no child after" in line for line in shop.log(job)) or "137" in job["FailureReason"]


@pytest.mark.parametrize("uri, text", [
    ("nobody:1", "Cannot find the training image"),
    ("123456789012.dkr.ecr.us-east-1.amazonaws.com/nobody:1", "Cannot find the training image"),
    ("123456789012.dkr.ecr.us-east-1.amazonaws.com/counter:2", "Cannot find the training image"),
])
def test_an_image_that_is_not_there_is_refused(shop, uri, text):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        shop.train("absent", settled=False, AlgorithmSpecification={"TrainingImage": uri, "TrainingInputMode": "File"})
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert text in refused.value.response["Error"]["Message"]


@pytest.mark.last
def test_a_container_that_ignores_sigterm_is_killed(shops):
    """The suite of the runtimes has this for Docker, with less patience."""
    name, began = shops("process").stubborn
    job = shops("process").bench.finished(name, limit=150)
    assert job["TrainingJobStatus"] == "Stopped"
    assert 115 < (job["TrainingEndTime"] - began).total_seconds() < 140, "SIGKILL comes 120 s after SIGTERM"
