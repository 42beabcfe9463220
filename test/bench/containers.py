# SPDX-License-Identifier: Apache-2.0
"""Jobs of an image FROM scratch whose only program is the load generator."""

import json
import os

from support import oci
from support.work import Workbench

GROUP = "/aws/sagemaker/TrainingJobs"


class Containers:
    """A server with that image in its registry; flags are the server's."""

    def __init__(self, lab, name, *flags):
        self.lab = lab
        self.bench = Workbench(lab.server(name, *flags))
        self.server = self.bench.server
        repository = self.bench.ecr.create_repository(repositoryName="load")["repository"]
        self.image = repository["repositoryUri"] + ":1"
        layer = oci.layer({"load": ((lab.dir / "load").read_bytes(), 0o755)})
        oci.Registry(self.server, self.bench.ecr).push("load", "1", [layer], Entrypoint=["/load"])

    def folder(self, prefix):
        """The folder of the store that an empty prefix of the bucket is, made. Objects are files in it."""
        path = self.server.home / "s3" / "data" / self.bench.bucket / prefix
        path.mkdir(parents=True)
        return path

    def uri(self, prefix):
        return f"s3://{self.bench.bucket}/{prefix}/"

    def request(self, name, arguments, channel=None, mode="File", **of_channel):
        """A training job that runs the program with arguments on a channel."""
        request = self.bench.request(name)
        request["HyperParameters"] = {}
        request["AlgorithmSpecification"] = {"TrainingImage": self.image, "TrainingInputMode": mode,
                                             "ContainerEntrypoint": ["/load", *map(str, arguments)]}
        request["InputDataConfig"] = [{"ChannelName": "train", **of_channel, "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": channel or self.bench.train_uri}}}]
        return request

    def run(self, *args, limit=120, every=5, **more):
        """Runs such a job. What is seen of it, and what its program printed."""
        request = self.request(*args, **more)
        seen = self.lab.settle(self.server, "TrainingJob", request, limit, every)
        return seen, self.said(request["TrainingJobName"])

    def said(self, job):
        """The last line of a job's log, which is JSON."""
        return json.loads(self.events(job, limit=1)["events"][-1]["message"])

    def stream(self, job):
        found = self.bench.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=job + "/")["logStreams"]
        return found[0]["logStreamName"] if found else None

    def events(self, job, **more):
        """A page of a job's log."""
        return self.bench.logs.get_log_events(logGroupName=GROUP, logStreamName=self.stream(job), **more)


def disk(folder):
    """Bytes of disk that a folder and all below it take; what is linked twice counts once."""
    seen, total = set(), 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                s = os.lstat(os.path.join(at, name))
            except FileNotFoundError:  # gone meanwhile
                continue
            if (s.st_dev, s.st_ino) not in seen:
                seen.add((s.st_dev, s.st_ino))
                total += s.st_blocks * 512
    return total
