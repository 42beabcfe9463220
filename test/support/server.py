# SPDX-License-Identifier: Apache-2.0
"""The built binary as a server process with a home of its own."""

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.request

import boto3
import botocore.config

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SAGEBRUSH_BIN", ROOT / "bin" / "sagebrush"))
# Python environments of framework images: all servers of a run, and of later runs, share them.
ENVIRONMENTS = pathlib.Path(os.environ.get("SAGEBRUSH_ENVIRONMENTS", ROOT / ".cache" / "environments"))

# Variables of the person who runs the tests must not lead clients elsewhere.
for _name in [n for n in os.environ if n.startswith(("AWS_", "SAGEBRUSH_")) and n not in ("SAGEBRUSH_BIN", "SAGEBRUSH_TEST_DOCKER")]:
    del os.environ[_name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


class Server:
    """One home and, between start and stop or kill, the process that serves it."""

    def __init__(self, home, *flags):
        self.home = pathlib.Path(home)
        self.flags = flags
        self.log = self.home.with_name(self.home.name + ".log")
        self.process = None
        self.url = None
        self.trust = None  # the SSL context of a server that speaks HTTPS

    def start(self):
        """Starts the server and returns once it answers."""
        assert self.process is None
        told = self.home / "server.json"
        told.unlink(missing_ok=True)  # of a server that was killed
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--home", self.home, "--listen", "127.0.0.1:0", "--environments", ENVIRONMENTS, *self.flags],
                stdout=subprocess.DEVNULL, stderr=log, stdin=subprocess.DEVNULL)
        poll(lambda: told.exists() or self._fail_if_dead(), 30, "the server to listen", every=0.01)
        self.url = json.loads(told.read_text())["url"]
        with urllib.request.urlopen(self.url + "/healthz", timeout=10, context=self.trust) as answer:
            assert json.load(answer) == {"status": "ok"}
        return self

    def _fail_if_dead(self):
        code = self.process.poll()
        assert code is None, f"the server ended with {code}:\n{self.tail()}"

    def tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def stop(self):
        """Asks the server to stop, and expects that it does so in peace."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the server did not stop in 30 s:\n{self.tail()}") from None
        assert code == 0, f"the server ended with {code}:\n{self.tail()}"

    def kill(self):
        """kill -9."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    @property
    def credentials(self):
        return json.loads((self.home / "credentials.json").read_text())

    @property
    def account(self):
        return self.credentials["account"]

    @property
    def region(self):
        return self.credentials["region"]

    def session(self):
        c = self.credentials
        return boto3.Session(aws_access_key_id=c["accessKeyId"], aws_secret_access_key=c["secretAccessKey"],
                             region_name=c["region"])

    def client(self, service, config=None, **more):
        """A boto3 client of the root key. It tries once: a retry would hide an error."""
        base = botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=90)
        return self.session().client(service, endpoint_url=self.url,
                                     config=base.merge(config) if config else base, **more)

    def environment(self):
        """The variables that point other programs at the server."""
        c = self.credentials
        return {**os.environ, "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": c["accessKeyId"],
                "AWS_SECRET_ACCESS_KEY": c["secretAccessKey"], "AWS_DEFAULT_REGION": c["region"],
                "SAGEBRUSH_HOME": str(self.home)}

    def tasks(self):
        """PIDs of all processes that work for this home, the server's not among them."""
        parents, ours = {}, set()
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                stat = (entry / "stat").read_text()
                command = (entry / "cmdline").read_bytes()
            except OSError:  # it has ended meanwhile
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if state == "Z":
                continue
            pid = int(entry.name)
            parents[pid] = int(parent)
            if str(self.home).encode() in command:
                ours.add(pid)
        server = self.process.pid if self.process else -1
        ours.discard(server)
        grown = True
        while grown:
            more = {p for p, parent in parents.items() if parent in ours} - ours - {server}
            ours |= more
            grown = bool(more)
        return ours - {os.getpid()}

    def close(self):
        """Ends all work of the home and the server, and expects that nothing is left over."""
        if self.process is None:
            self.start()
        sagemaker = self.client("sagemaker")
        for page in sagemaker.get_paginator("list_endpoints").paginate():
            for e in page["Endpoints"]:
                if e["EndpointStatus"] in ("InService", "Failed"):
                    sagemaker.delete_endpoint(EndpointName=e["EndpointName"])
        for page in sagemaker.get_paginator("list_hyper_parameter_tuning_jobs").paginate(StatusEquals="InProgress"):
            for j in page["HyperParameterTuningJobSummaries"]:  # or they would begin more
                sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=j["HyperParameterTuningJobName"])
        for page in sagemaker.get_paginator("list_training_jobs").paginate(StatusEquals="InProgress"):
            for j in page["TrainingJobSummaries"]:
                sagemaker.stop_training_job(TrainingJobName=j["TrainingJobName"])
        for page in sagemaker.get_paginator("list_processing_jobs").paginate(StatusEquals="InProgress"):
            for j in page["ProcessingJobSummaries"]:
                sagemaker.stop_processing_job(ProcessingJobName=j["ProcessingJobName"])
        try:
            poll(lambda: not self.tasks(), 30, "the tasks to end")
        finally:
            left = self.tasks()
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            self.stop()


def poll(what, seconds, expected, every=0.05):
    """Calls what until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        seen = what()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {expected}; last seen: {seen!r}")
        time.sleep(every)
