# SPDX-License-Identifier: Apache-2.0
"""Requests that many tests send, and the data that they train on."""

import io
import itertools
import json
import tarfile

import numpy
from sklearn import datasets, model_selection

TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]})

FAST = {"Delay": 0.1, "MaxAttempts": 600}  # botocore's waiters ask every 30 or 120 s

_serial = itertools.count(1)


def unique(word):
    """A name that no other test of this session has."""
    return f"{word}-{next(_serial)}"


def image(region, tag="1.7-1"):
    """The URI that image_uris.retrieve("xgboost", "us-east-1", ...) gives; accounts differ by region."""
    return f"683313688378.dkr.ecr.{region}.amazonaws.com/sagemaker-xgboost:{tag}"


def csv(*columns):
    """CSV bytes of arrays side by side, each number as its shortest exact text."""
    rows = numpy.column_stack(columns)
    return "".join(",".join(repr(float(v)) for v in row) + "\n" for row in rows).encode()


def split(load, seed=7, stratify=True):
    """(train x, validation x, train y, validation y) of a data set of scikit-learn, in float32."""
    x, y = load(return_X_y=True)
    return model_selection.train_test_split(x.astype("float32"), y, test_size=0.3, random_state=seed,
                                            stratify=y if stratify else None)


def breast_cancer():
    return split(datasets.load_breast_cancer)


def archive(files):
    """The bytes of a .tar.gz of {name: bytes}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def members(content):
    """{name: bytes} of a .tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        return {m.name.removeprefix("./"): tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def channel(name, uri, content_type="text/csv", **source):
    return {"ChannelName": name, "ContentType": content_type,
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, **source}}}


class Workbench:
    """What a SageMaker user has at hand: clients, a role, a bucket with data."""

    def __init__(self, server):
        self.server = server
        for service in ("sagemaker", "s3", "iam", "sts", "logs", "cloudwatch", "ecr"):
            setattr(self, service, server.client(service))
        self.runtime = server.client("sagemaker-runtime")
        self.region, self.account = server.region, server.account
        self.image = image(self.region)
        self.bucket = unique("workbench")
        self.s3.create_bucket(Bucket=self.bucket)
        self.role = self.iam.create_role(RoleName=unique("Execution"), AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        train_x, valid_x, train_y, valid_y = breast_cancer()
        self.held_out, self.labels = valid_x, valid_y
        self.train_uri = self.put("cancer/train/part-0.csv", csv(train_y, train_x), up=1)
        self.valid_uri = self.put("cancer/validation/part-0.csv", csv(valid_y, valid_x), up=1)

    def put(self, key, body, up=0):
        """Stores an object and returns its URI, or that of a folder above it."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/" + "/".join(key.split("/")[:len(key.split("/")) - up]) + ("/" if up else "")

    def get(self, uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def keys(self, uri):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        return sorted(o["Key"] for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
                      for o in page.get("Contents", []))

    def request(self, name=None, hyper=(), **more):
        """The members of a CreateTrainingJob request; hyper adds to the hyperparameters."""
        return {"TrainingJobName": name or unique("job"), "RoleArn": self.role,
                "AlgorithmSpecification": {"TrainingImage": self.image, "TrainingInputMode": "File"},
                "InputDataConfig": [channel("train", self.train_uri), channel("validation", self.valid_uri)],
                "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/output"},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
                "StoppingCondition": {"MaxRuntimeInSeconds": 600},
                "HyperParameters": {"objective": "binary:logistic", "num_round": "20", "max_depth": "4", "eta": "0.2",
                                    "eval_metric": "auc,logloss", **dict(hyper)}, **more}

    def train(self, *args, **kwargs):
        """Runs a training job to its end and returns what Describe says."""
        request = self.request(*args, **kwargs)
        self.sagemaker.create_training_job(**request)
        return self.finished(request["TrainingJobName"])

    def long(self, **more):
        """A request for a job that trains until it is stopped."""
        return self.request(hyper={"num_round": "1000000", "max_depth": "8"}, **more)

    def finished(self, name, limit=120):
        """Waits until a job has ended, however it did."""
        from support.server import poll

        def look():
            job = self.sagemaker.describe_training_job(TrainingJobName=name)
            return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None
        return poll(look, limit, f"the job {name} to end")

    def reached(self, name, secondary):
        """Waits until a job is in a secondary state, and fails if it ends before."""
        from support.server import poll

        def look():
            job = self.sagemaker.describe_training_job(TrainingJobName=name)
            assert job["TrainingJobStatus"] == "InProgress", f"{name} is {job['TrainingJobStatus']}: {job.get('FailureReason')}"
            return job["SecondaryStatus"] == secondary
        poll(look, 60, f"{name} to be {secondary}", every=0.01)

    def deploy(self, data=None, variants=None, name=None, image=None):
        """Serves a model artifact, or variants {name: {member: value}} of it, and returns the endpoint's name."""
        name = name or unique("endpoint")
        sagemaker = self.sagemaker
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=self.role,
                               PrimaryContainer={"Image": image or self.image, "ModelDataUrl": data})
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
            {"VariantName": v, "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, **more}
            for v, more in (variants or {"AllTraffic": {}}).items()])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
        return name

    def undeploy(self, name):
        self.sagemaker.delete_endpoint(EndpointName=name)
        self.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=FAST)

    def ask(self, endpoint, body, content_type="text/csv", accept="application/json", **more):
        """An endpoint's answer as (text, the whole response)."""
        answer = self.runtime.invoke_endpoint(EndpointName=endpoint, ContentType=content_type, Accept=accept, Body=body, **more)
        return answer["Body"].read().decode(), answer

    def predict(self, endpoint, x, **more):
        """The scores that an endpoint gives rows of numbers: one number or list per row."""
        text, _ = self.ask(endpoint, csv(x), **more)
        return numpy.array([p["score"] for p in json.loads(text)["predictions"]])

    def log_lines(self, group, prefix):
        """All messages of a group's streams with a prefix: {stream: [message]}."""
        streams = [s["logStreamName"] for page in self.logs.get_paginator("describe_log_streams").paginate(
            logGroupName=group, logStreamNamePrefix=prefix) for s in page["logStreams"]]
        lines = {}
        for stream in streams:
            lines[stream], token = [], {}
            while True:
                page = self.logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **token)
                if page["nextForwardToken"] == token.get("nextToken"):
                    break
                lines[stream] += [e["message"] for e in page["events"]]
                token = {"nextToken": page["nextForwardToken"]}
        return lines
