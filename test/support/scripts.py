# SPDX-License-Identifier: Apache-2.0
"""Jobs of users' own scripts, asked for as the SDK v2 asks: code as an archive
in S3, hyperparameters as JSON."""

import io
import json
import subprocess
import tarfile
import textwrap

from support.server import BINARY, poll
from support.work import Workbench, archive, channel, members, unique

# An image with Python and little else, and one with a framework.
PYTHON = "081325390199.dkr.ecr.us-east-1.amazonaws.com/sagemaker-base-python-310:1.0"
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

TRAINING, PROCESSING = "/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"

# An environment that is not cached yet is installed first.
LIMIT = 300


def source(text):
    """A script's bytes, without the indentation that it has in a test."""
    return textwrap.dedent(text).encode()


def odd_archive(*entries):
    """The bytes of a .tar.gz of (name, content) and (name, type, link target): of what a good archive never has."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, *what in entries:
            info = tarfile.TarInfo(name)
            if len(what) == 2:
                info.type, info.linkname = what
                tar.addfile(info)
            else:
                info.size = len(what[0])
                tar.addfile(info, io.BytesIO(what[0]))
    return out.getvalue()


def interrupt(server, name):
    """`sagebrush interrupt`: the ended process."""
    return subprocess.run([BINARY, "interrupt", "--home", server.home, name], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


class ScriptBench(Workbench):
    """A workbench for scripts."""

    def code(self, files):
        """Stores an archive of {name: bytes}, or the bytes of one, and returns its URI."""
        return self.put(f"code/{unique('source')}/sourcedir.tar.gz", files if isinstance(files, bytes) else archive(files))

    def script(self, text, name=None, image=PYTHON, hyper=(), channels=(), files=(), hosts=1, program="train.py", code=None, **more):
        """A CreateTrainingJob request for a script, given as text, and for other files of its source directory.

        channels are {name: URI} or [channel]; code is the URI of an archive instead.
        """
        if isinstance(channels, dict):
            channels = [channel(n, uri) for n, uri in channels.items()]
        own = {"sagemaker_program": program, "sagemaker_submit_directory": code or self.code({"train.py": source(text), **dict(files)}),
               "sagemaker_region": self.region, "sagemaker_container_log_level": 20}
        request = {"TrainingJobName": name or unique("script"), "RoleArn": self.role,
                   "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
                   "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/output"},
                   "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 5},
                   "StoppingCondition": {"MaxRuntimeInSeconds": 600},
                   "HyperParameters": {k: json.dumps(v) for k, v in {**own, **dict(hyper)}.items()}, **more}
        if channels:
            request["InputDataConfig"] = list(channels)
        return request

    def begin(self, *args, **kwargs):
        """Creates a job of script() and returns its name."""
        request = self.script(*args, **kwargs)
        self.sagemaker.create_training_job(**request)
        return request["TrainingJobName"]

    def run(self, *args, **kwargs):
        """Runs a job of script() to its end, however that is, and returns what Describe says."""
        return self.finished(self.begin(*args, **kwargs), limit=LIMIT)

    def good(self, *args, **kwargs):
        """Runs a job of script(), which must complete."""
        job = self.run(*args, **kwargs)
        assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), self.log(job["TrainingJobName"])[-20:])
        return job

    def bad(self, *args, **kwargs):
        """Runs a job of script(), which must fail: (why, what Describe says)."""
        job = self.run(*args, **kwargs)
        assert job["TrainingJobStatus"] == "Failed" and job["SecondaryStatus"] == "Failed", job["TrainingJobStatus"]
        return job["FailureReason"], job

    def model(self, job):
        """{name: bytes} of the model of a job that has completed, as Describe tells of it."""
        return members(self.get(job["ModelArtifacts"]["S3ModelArtifacts"]))

    def log(self, name, group=TRAINING):
        """The lines of all hosts of a job, those of the first host first."""
        lines = self.log_lines(group, name + "/")
        return [line for stream in sorted(lines) for line in lines[stream]]

    def logged(self, name, text, group=TRAINING):
        """Waits until a job has logged a line with text in it."""
        def look():
            try:
                found = self.logs.filter_log_events(logGroupName=group, logStreamNamePrefix=name + "/", filterPattern=json.dumps(text))
            except self.logs.exceptions.ResourceNotFoundException:
                return None
            return [e["message"] for e in found["events"]]
        return poll(look, LIMIT, f"{name} to log {text!r}", every=0.1)[0]

    def process(self, text="", name=None, image=PYTHON, inputs=(), outputs=(), arguments=(), hosts=1, command=None, **more):
        """A CreateProcessingJob request for a script as ScriptProcessor asks: inputs are {name: URI} or a list, outputs {name: mode}."""
        name = name or unique("processing")
        if isinstance(inputs, dict):
            inputs = [self.input(n, uri) for n, uri in inputs.items()]
        if not command:
            inputs = [*inputs, self.input("code", self.put(f"code/{name}/process.py", source(text)), "code")]
        app = {"ImageUri": image, "ContainerEntrypoint": command or ["python3", "/opt/ml/processing/input/code/process.py"]}
        if arguments:
            app["ContainerArguments"] = list(arguments)
        request = {"ProcessingJobName": name, "RoleArn": self.role, "AppSpecification": app, "ProcessingInputs": list(inputs),
                   "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 5}},
                   "StoppingCondition": {"MaxRuntimeInSeconds": 600}, **more}
        if outputs:
            request["ProcessingOutputConfig"] = {"Outputs": [
                {"OutputName": n, "S3Output": {"S3Uri": self.results(name, n), "LocalPath": f"/opt/ml/processing/output/{n}", "S3UploadMode": mode}}
                for n, mode in dict(outputs).items()]}
        return request

    def input(self, name, uri, at=None, **more):
        return {"InputName": name, "S3Input": {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/input/{at or name}", "S3DataType": "S3Prefix",
                                               "S3InputMode": "File", "S3DataDistributionType": "FullyReplicated", **more}}

    def results(self, job, output):
        """Where an output of a processing job goes."""
        return f"s3://{self.bucket}/results/{job}/{output}"

    def objects(self, uri):
        """{name below uri: bytes} of what is stored there."""
        uri = uri.rstrip("/") + "/"
        prefix = uri.removeprefix("s3://").partition("/")[2]
        return {key[len(prefix):]: self.get(f"s3://{uri.removeprefix('s3://').partition('/')[0]}/{key}") for key in self.keys(uri)}

    def processed(self, name, limit=LIMIT):
        """Waits until a processing job has ended, and returns what Describe says."""
        def look():
            job = self.sagemaker.describe_processing_job(ProcessingJobName=name)
            return job if job["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped") else None
        return poll(look, limit, f"the job {name} to end")

    def start_processing(self, *args, **kwargs):
        """Creates a job of process() and returns its name."""
        request = self.process(*args, **kwargs)
        self.sagemaker.create_processing_job(**request)
        return request["ProcessingJobName"]
