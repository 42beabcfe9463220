# SPDX-License-Identifier: Apache-2.0
"""Jobs of one's own code, beside the same program run by hand: what a job costs beyond its work."""

import json
import os
import pathlib
import shutil
import subprocess

from containers import Containers
from lab import ROOT, Result, ms, spread, table
from support.work import archive

# Environments for framework images outlive a run, for they take a minute to install.
ENVIRONMENTS = pathlib.Path(os.environ.get("BENCH_ENVIRONMENTS", ROOT / ".cache" / "environments"))

SKLEARN = "683313688378.dkr.ecr.{}.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

TRAIN = b"""
import os, sys
import joblib, numpy
from sklearn.linear_model import LogisticRegression
rows = numpy.loadtxt(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "part-0.csv"), delimiter=",")
model = LogisticRegression(max_iter=50).fit(rows[:, 1:] / rows[:, 1:].max(axis=0), rows[:, 0])
joblib.dump(model, os.path.join(os.environ["SM_MODEL_DIR"], "model.joblib"))
print("python", sys.executable)
"""

PROCESS = b"""
import sys
import pandas
rows = pandas.read_csv(sys.argv[1] + "/part-0.csv", header=None)
rows.describe().to_csv(sys.argv[2] + "/summary.csv")
print("python", sys.executable)
"""


def run(lab):
    result, rounds = Result(), 3 if lab.quick else 9
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    containers = Containers(lab, "overhead", "--containers", "process", "--environments", ENVIRONMENTS)
    rows = [scripts(lab, containers, rounds), processing(lab, containers, rounds),
            image(lab, containers, rounds, "own image, process runtime")]
    lab.done(containers.server)
    with Engine() as engine:
        if engine.address:
            os.environ["DOCKER_HOST"] = engine.address
            try:
                containers = Containers(lab, "docker", "--containers", "docker")
                rows.append(image(lab, containers, rounds, "own image, Docker runtime", engine))
                lab.done(containers.server)
            finally:
                del os.environ["DOCKER_HOST"]
    for what, jobs, alone in rows:
        beyond = [j - a for j, a in zip(jobs, alone)]
        result.target(f"{what}: Create to Completed, beyond the program by hand", "–", spread(beyond, ms), f"{spread(alone, ms)} by hand")
    result.say(f"{rounds} jobs of each kind, each after a run of the same program by hand, and one more before them that makes environment or image "
               "ready and is not counted. The caller asks every 5 ms. By hand is: the same script with the interpreter of the job's environment, or "
               "the same program, as a process of this machine.")
    result.say(*table(["job", "Create to Completed seen", "program by hand", "beyond it"], [
        [what, spread(jobs, ms), spread(alone, ms), spread([j - a for j, a in zip(jobs, alone)], ms)] for what, jobs, alone in rows]))
    result.say(engine.told)
    return result


def scripts(lab, containers, rounds):
    """Script mode: a scikit-learn model of 398 rows."""
    bench = containers.bench
    code = bench.put("code/source.tar.gz", archive({"train.py": TRAIN}))
    request = bench.request()
    request["AlgorithmSpecification"] = {"TrainingImage": SKLEARN.format(bench.region), "TrainingInputMode": "File"}
    request["InputDataConfig"] = request["InputDataConfig"][:1]
    request["HyperParameters"] = {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": json.dumps(code)}

    def job(n):
        return lab.settle(containers.server, "TrainingJob", {**request, "TrainingJobName": f"script-{n}"}, 600)["seconds"]
    job("warm")
    python = interpreter(containers, "/aws/sagemaker/TrainingJobs", "script-warm")
    place = lab.dir / "script"
    (place / "model").mkdir(parents=True)
    data = containers.server.home / "s3" / "data" / bench.train_uri.removeprefix("s3://")
    script = lab.file("train.py", TRAIN)
    return beside("script mode, scikit-learn", job, rounds, lambda: lab.measure(
        python, script, env={**os.environ, "SM_CHANNEL_TRAIN": str(data), "SM_MODEL_DIR": str(place / "model")})["seconds"])


def processing(lab, containers, rounds):
    """A processing job of a script on the same file."""
    bench = containers.bench
    code = bench.put("processing/process.py", PROCESS)

    def source(name, uri):
        return {"InputName": name, "S3Input": {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/input/{name}", "S3DataType": "S3Prefix",
                                               "S3InputMode": "File"}}
    request = {"RoleArn": bench.role, "ProcessingInputs": [source("code", code), source("data", bench.train_uri)],
               "ProcessingOutputConfig": {"Outputs": [{"OutputName": "summary", "S3Output": {
                   "S3Uri": f"s3://{bench.bucket}/summary", "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}}]},
               "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}},
               "AppSpecification": {"ImageUri": SKLEARN.format(bench.region), "ContainerEntrypoint": [
                   "python3", "/opt/ml/processing/input/code/process.py"], "ContainerArguments": [
                   "/opt/ml/processing/input/data", "/opt/ml/processing/output"]}}

    def job(n):
        return lab.settle(containers.server, "ProcessingJob", {**request, "ProcessingJobName": f"processing-{n}"}, 600)["seconds"]
    job("warm")
    python = interpreter(containers, "/aws/sagemaker/ProcessingJobs", "processing-warm")
    place = lab.dir / "processing"
    place.mkdir()
    data = containers.server.home / "s3" / "data" / bench.train_uri.removeprefix("s3://")
    script = lab.file("process.py", PROCESS)
    return beside("processing, pandas", job, rounds, lambda: lab.measure(python, script, data, place)["seconds"])


def image(lab, containers, rounds, what, engine=None):
    """An image FROM scratch whose static program reads the channel. Of a container engine, by hand is docker run."""
    data = containers.server.home / "s3" / "data" / containers.bench.train_uri.removeprefix("s3://")
    mine = [lab.dir / "load", "read", data]

    def job(n):
        return containers.run(f"image-{n}", ["read", "/opt/ml/input/data/train"], limit=300)[0]["seconds"]
    job("warm")
    if engine:
        pulled = engine.images(containers.server.url.partition("://")[2] + "/load")
        mine = [*engine.docker, "run", "--rm", "--volume", f"{data}:/opt/ml/input/data/train:ro", pulled[0], "read", "/opt/ml/input/data/train"]
    seen = beside(what, job, rounds, lambda: lab.measure(*mine)["seconds"])
    if engine:
        subprocess.run([*engine.docker, "rmi", *pulled], capture_output=True, check=True)
    return seen


def beside(what, job, rounds, alone):
    by_hand, jobs = [], []
    alone()  # reads the program once
    for n in range(rounds):
        by_hand.append(alone())
        jobs.append(job(n))
    return what, jobs, by_hand


def interpreter(containers, group, job):
    """The interpreter that a job's script has told of."""
    lines = [line for stream in containers.bench.log_lines(group, job).values() for line in stream]
    (python,) = [line.split()[1] for line in lines if line.startswith("python /")]
    return python


class Engine:
    """A container engine, if one runs or there is a dockerd that can be started; nothing is installed for it."""

    def __init__(self):
        self.address, self.ours, self.told = "", False, ""

    def __enter__(self):
        script = ROOT / "test" / "dockerd.sh"
        if not shutil.which("dockerd"):
            self.told = "There was no dockerd on the machine: nothing of Docker was measured."
            return self
        running = pathlib.Path(os.environ.get("SAGEBRUSH_DOCKERD_DIR", "/var/tmp/sagebrush-dockerd"), "docker.sock").exists()
        done = subprocess.run([script, "start"], capture_output=True, text=True, check=False)
        self.address = done.stdout.strip()
        if not self.address:
            self.told = "No container engine could be started here: nothing of Docker was measured."
            return self
        self.ours = not running
        self.docker = ["docker", "--host", self.address]
        version = subprocess.run([*self.docker, "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=True)
        self.told = f"The engine is Docker {version.stdout.strip()}; there, by hand is `docker run --rm` of the image that was pulled."
        return self

    def images(self, name):
        """References by digest of the images that the engine has under a name."""
        done = subprocess.run([*self.docker, "images", "--digests", "--format", "{{.Repository}}@{{.Digest}}"], capture_output=True, text=True,
                              check=True)
        return [line for line in done.stdout.split() if line.startswith(name + "@")]

    def __exit__(self, *_):
        if self.ours:
            subprocess.run([ROOT / "test" / "dockerd.sh", "stop"], capture_output=True, check=True)
