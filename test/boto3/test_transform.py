# SPDX-License-Identifier: Apache-2.0
"""Batch transform: jobs made, looked at, listed and stopped; what is sent, what comes out, why they fail, and kill -9."""

import datetime
import gzip
import json
import random
import time

import numpy
import pytest

from support.refusal import refused
from support.scripts import SKLEARN
from support.server import poll
from support.work import FAST, Workbench, archive, csv, unique

GROUP = "/aws/sagemaker/TransformJobs"


@pytest.fixture(scope="module")
def artifact(trained):
    return trained["ModelArtifacts"]["S3ModelArtifacts"]


@pytest.fixture(scope="module")
def model(bench, artifact):
    name = unique("transformed")
    bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, PrimaryContainer={"Image": bench.image, "ModelDataUrl": artifact})
    return name


@pytest.fixture(scope="module")
def scores(bench, endpoint):
    """What the endpoint says of the held-out rows, as text."""
    return bench.ask(endpoint, csv(bench.held_out), accept="text/csv")[0].split(",")


def request(bench, model, uri, name=None, split="Line", output=(), source=(), resources=(), kind="S3Prefix", **more):
    name = name or unique("transform")
    return {"TransformJobName": name, "ModelName": model,
            "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": uri}}, "ContentType": "text/csv",
                               "SplitType": split, **dict(source)},
            "TransformOutput": {"S3OutputPath": f"s3://{bench.bucket}/transformed/{name}", "AssembleWith": "Line", "Accept": "text/csv", **dict(output)},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1, **dict(resources)}, **more}


def ended(bench, name, limit=120):
    def look():
        job = bench.sagemaker.describe_transform_job(TransformJobName=name)
        return job if job["TransformJobStatus"] in ("Completed", "Failed", "Stopped") else None
    return poll(look, limit, f"the job {name} to end")


def begin(bench, *args, **kwargs):
    asked = request(bench, *args, **kwargs)
    bench.sagemaker.create_transform_job(**asked)
    return asked["TransformJobName"]


def outputs(bench, name):
    """{name below S3OutputPath: bytes}."""
    uri = f"s3://{bench.bucket}/transformed/{name}/"
    prefix = uri.removeprefix(f"s3://{bench.bucket}/")
    return {k[len(prefix):]: bench.get(f"s3://{bench.bucket}/{k}") for k in bench.keys(uri)}


def completed(bench, *args, **kwargs):
    name = begin(bench, *args, **kwargs)
    job = ended(bench, name)
    assert job["TransformJobStatus"] == "Completed", (job.get("FailureReason"), bench.log_lines(GROUP, name + "/"))
    return outputs(bench, name)


def data_log(bench, name):
    return [line for stream, lines in bench.log_lines(GROUP, name + "/").items() if stream.endswith("/data-log") for line in lines]


def test_the_story_of_a_job(bench, model, scores):
    where = unique("story")
    bench.put(f"{where}/a.csv", csv(bench.held_out[:100]))
    uri = bench.put(f"{where}/deep/b.csv", csv(bench.held_out[100:]), up=2)
    asked = request(bench, model, uri, MaxPayloadInMB=1, BatchStrategy="MultiRecord", Environment={"MINE": "1"},
                    ExperimentConfig={"TrialComponentDisplayName": "t"}, Tags=[{"Key": "team", "Value": "data"}])
    name = asked["TransformJobName"]
    arn = bench.sagemaker.create_transform_job(**asked)["TransformJobArn"]
    assert arn == f"arn:aws:sagemaker:{bench.region}:{bench.account}:transform-job/{name}"
    bench.sagemaker.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName=name, WaiterConfig=FAST)
    job = bench.sagemaker.describe_transform_job(TransformJobName=name)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    assert job["TransformInput"] == {**asked["TransformInput"], "CompressionType": "None"}
    for member in ("ModelName", "MaxPayloadInMB", "BatchStrategy", "Environment", "TransformOutput", "TransformResources", "ExperimentConfig"):
        assert job[member] == asked[member]
    assert bench.sagemaker.list_tags(ResourceArn=arn)["Tags"] == asked["Tags"]
    got = outputs(bench, name)
    assert list(got) == ["a.csv.out", "deep/b.csv.out"]
    assert got["a.csv.out"].decode().split("\n") == scores[:100] + [""], "one row for each, in their order"
    assert got["deep/b.csv.out"].decode().split("\n") == scores[100:] + [""]
    assert [line for line in data_log(bench, name) if "MaxConcurrentTransforms=" in line and "MaxPayloadInMB=1, BatchStrategy=MULTI_RECORD" in line]
    with refused("ResourceInUse", "already exists"):
        bench.sagemaker.create_transform_job(**asked)
    with refused("ValidationException", "in status Completed"):
        bench.sagemaker.stop_transform_job(TransformJobName=name)
    with refused("ValidationException", "Could not find requested job with name: nobody"):
        bench.sagemaker.describe_transform_job(TransformJobName="nobody")


def test_each_way_to_cut_gives_the_same(bench, model, scores):
    rows = csv(bench.held_out)
    uri = bench.put(f"{unique('cut')}/rows.csv", rows)
    want = ("\n".join(scores) + "\n").encode()
    for more in ({}, {"BatchStrategy": "SingleRecord"}, {"BatchStrategy": "SingleRecord", "MaxConcurrentTransforms": 8},
                 {"MaxPayloadInMB": 1, "MaxConcurrentTransforms": 2}, {"MaxPayloadInMB": 0}, {"split": "None"},
                 {"resources": {"InstanceCount": 2}}):
        assert completed(bench, model, uri, **more) == {"rows.csv.out": want}, more
    zipped = bench.put(f"{unique('cut')}/rows.csv.gz", gzip.compress(rows))
    assert completed(bench, model, zipped, source={"CompressionType": "Gzip"}) == {"rows.csv.gz.out": want}


def test_joined_with_the_input(bench, model, scores):
    """IDs stay with their rows: the example of the developer guide."""
    ids = numpy.arange(len(bench.held_out)) + 1000
    uri = bench.put(f"{unique('joined')}/rows.csv", csv(ids, bench.held_out))
    (text,) = completed(bench, model, uri, DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}).values()
    assert text.decode() == "".join(f"{float(i)!r},{s}\n" for i, s in zip(ids, scores))
    lines = b"".join(json.dumps({"id": int(i), "data": {"features": {"values": row.tolist()}}}).encode() + b"\n" for i, row in zip(ids, bench.held_out[:5]))
    uri = bench.put(f"{unique('joined')}/rows.jsonl", lines)
    (text,) = completed(bench, model, uri, source={"ContentType": "application/jsonlines"}, output={"Accept": "application/jsonlines"},
                        DataProcessing={"InputFilter": "$['data']", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"}).values()
    got = [json.loads(line) for line in text.splitlines()]
    assert [g["id"] for g in got] == ids[:5].tolist()
    assert [g["SageMakerOutput"]["score"] for g in got] == pytest.approx([float(s) for s in scores[:5]], abs=1e-6)


def test_a_manifest_names_the_objects(bench, model, scores):
    where = unique("manifest")
    base = bench.put(f"{where}/x/a.csv", csv(bench.held_out[:3]), up=2)
    bench.put(f"{where}/b.csv", csv(bench.held_out[3:5]))
    uri = bench.put(f"{where}-manifest.json", json.dumps([{"prefix": base}, "x/a.csv", "b.csv"]).encode())
    got = completed(bench, model, uri, kind="ManifestFile")
    assert {k: v.decode().split() for k, v in got.items()} == {"x/a.csv.out": scores[:3], "b.csv.out": scores[3:5]}


def test_a_pipeline(bench, artifact, endpoint, scores):
    """The second model knows what the first one says."""
    uri = bench.put(f"{unique('second')}/train/a.csv", csv(bench.labels, [float(s) for s in scores]), up=1)
    job = bench.train(hyper={"num_round": "5"}, InputDataConfig=[{
        "ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}])
    second = job["ModelArtifacts"]["S3ModelArtifacts"]
    both, alone = unique("both"), unique("alone")
    bench.sagemaker.create_model(ModelName=both, ExecutionRoleArn=bench.role, Containers=[
        {"Image": bench.image, "ModelDataUrl": artifact, "ContainerHostname": "first", "Environment": {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}},
        {"Image": bench.image, "ModelDataUrl": second, "ContainerHostname": "second"}])
    bench.sagemaker.create_model(ModelName=alone, ExecutionRoleArn=bench.role, PrimaryContainer={"Image": bench.image, "ModelDataUrl": second})
    rows = bench.put(f"{unique('pipeline')}/rows.csv", csv(bench.held_out))
    middle = bench.put(f"{unique('pipeline')}/rows.csv", "\n".join(scores).encode())
    name = begin(bench, both, rows)
    assert ended(bench, name)["TransformJobStatus"] == "Completed", data_log(bench, name)
    assert outputs(bench, name) == completed(bench, alone, middle)
    ends = sorted(s.partition("/")[2].partition("/")[2] for s in bench.log_lines(GROUP, name + "/"))
    assert ends == ["data-log", "first", "second"]


def test_a_bad_object_fails_the_job_and_no_other_object(bench, model, scores):
    where = unique("bad")
    bench.put(f"{where}/a.csv", csv(bench.held_out[:4]))
    bench.put(f"{where}/b.csv", b"no,numbers,here\n")
    uri = bench.put(f"{where}/c.csv", csv(bench.held_out[4:8]), up=1)
    name = begin(bench, model, uri)
    job = ended(bench, name)
    assert (job["TransformJobStatus"], job["FailureReason"]) == ("Failed", "ClientError: See job logs for more information")
    assert {k: v.decode().split() for k, v in outputs(bench, name).items()} == {"a.csv.out": scores[:4], "c.csv.out": scores[4:8]}
    log = data_log(bench, name)
    assert [line for line in log if f"[sagemaker logs]: {bench.bucket}/{where}/b.csv: ClientError: 4" in line], log
    assert [line for line in log if f"{where}/b.csv: Message:" in line]
    (summary,) = bench.sagemaker.list_transform_jobs(NameContains=name)["TransformJobSummaries"]
    assert summary["FailureReason"] == job["FailureReason"] and summary["TransformEndTime"] == job["TransformEndTime"]


def test_a_payload_over_the_limit(bench, model):
    uri = bench.put(f"{unique('large')}/rows.csv", b"1," * (1 << 20) + b"1\n")
    for split in ("Line", "None"):
        name = begin(bench, model, uri, split=split, MaxPayloadInMB=1)
        assert ended(bench, name)["FailureReason"] == "ClientError: See job logs for more information"
        assert [line for line in data_log(bench, name) if "rows.csv: ClientError: Too much data for max payload size" in line and "209715" in line]


REFUSED = {
    "no such model": ({"ModelName": "nobody"}, 'Could not find model "arn:aws:sagemaker:.*:model/nobody"'),
    "too much at a time": ({"MaxConcurrentTransforms": 20}, "must not exceed 100 MB"),
    "payload over the range": ({"MaxPayloadInMB": 101}, "must not be greater than 100 MB"),
    "a path that is none": ({"DataProcessing": {"InputFilter": "1:"}}, "Invalid DataProcessing.InputFilter"),
    "a path too long": ({"DataProcessing": {"InputFilter": "$" + "[0]" * 30}}, "length less than or equal to 63"),
    "nothing there": ({"uri": "s3://{bucket}/nothing-here/"}, "No S3 objects found"),
    "no such bucket": ({"output": {"S3OutputPath": "s3://no-such-bucket-anywhere/x"}}, "Invalid S3 output location"),
    "an unknown way to split": ({"split": "Comma"}, "enum value set"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_create_refuses_and_leaves_nothing(bench, model, case):
    change, message = REFUSED[case]
    change = dict(change)
    uri = change.pop("uri", bench.train_uri).replace("{bucket}", bench.bucket)
    asked = {**request(bench, model, uri, output=change.pop("output", ()), split=change.pop("split", "Line")), **change}
    with refused("ValidationException", message):
        bench.sagemaker.create_transform_job(**asked)
    assert bench.sagemaker.list_transform_jobs(NameContains=asked["TransformJobName"])["TransformJobSummaries"] == []


def test_lists(bench, model):
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    uri = bench.put(f"{unique('listed')}/rows.csv", csv(bench.held_out[:2]))
    bad = bench.put(f"{unique('listed')}/rows.csv", b"x\n")
    names = [begin(bench, model, bad if i == 1 else uri, name=unique("tflisted")) for i in range(3)]
    for name in names:
        ended(bench, name)

    def listed(**more):
        pages = bench.sagemaker.get_paginator("list_transform_jobs").paginate(
            NameContains="tflisted-", CreationTimeAfter=before, PaginationConfig={"PageSize": 2}, **more)
        return [j["TransformJobName"] for page in pages for j in page["TransformJobSummaries"]]
    assert listed() == names[::-1], "the newest first"
    assert listed(SortBy="Name", SortOrder="Ascending") == sorted(names)
    assert listed(StatusEquals="Failed") == [names[1]]
    assert listed(LastModifiedTimeBefore=before) == []


def many_rows(bench, times):
    return csv(numpy.tile(bench.held_out, (times, 1)))


def test_stop(bench, model, scores):
    where = unique("stopped")
    bench.put(f"{where}/a.csv", csv(bench.held_out[:2]))
    uri = bench.put(f"{where}/b.csv", many_rows(bench, 800), up=1)
    name = begin(bench, model, uri, BatchStrategy="SingleRecord", MaxConcurrentTransforms=1)
    poll(lambda: outputs(bench, name), 60, "the first output")
    bench.sagemaker.stop_transform_job(TransformJobName=name)
    assert bench.sagemaker.describe_transform_job(TransformJobName=name)["TransformJobStatus"] in ("Stopping", "Stopped")
    job = ended(bench, name)
    assert job["TransformJobStatus"] == "Stopped" and "FailureReason" not in job
    assert {k: v.decode().split() for k, v in outputs(bench, name).items()} == {"a.csv.out": scores[:2]}, "what was whole stays"


def test_metrics_and_capture(bench, model):
    uri = bench.put(f"{unique('measured')}/rows.csv", many_rows(bench, 60))
    name = begin(bench, model, uri, BatchStrategy="SingleRecord", DataCaptureConfig={
        "DestinationS3Uri": f"s3://{bench.bucket}/captured/", "GenerateInferenceId": True})
    assert ended(bench, name)["TransformJobStatus"] == "Completed", data_log(bench, name)
    found = bench.cloudwatch.list_metrics(Namespace=GROUP)["Metrics"]
    hosts = {d["Value"] for m in found for d in m["Dimensions"] if d["Name"] == "Host" and d["Value"].startswith(name + "/")}
    (log,) = (s for s in bench.log_lines(GROUP, name + "/") if s.endswith("/data-log"))
    assert hosts == {log.removesuffix("/data-log").rpartition("-")[0]}, "named as the log stream is, without its time"
    assert {m["MetricName"] for m in found if {"Name": "Host", "Value": next(iter(hosts))} in m["Dimensions"]} >= {"CPUUtilization", "MemoryUtilization"}
    (text,) = outputs(bench, name).values()
    rows = [line.split(",") for line in text.decode().splitlines()]
    assert len({r[1] for r in rows}) == len(rows) == 60 * len(bench.held_out), "each record has an inference ID of its own"
    sides = {k.split("/")[1]: json.loads(bench.get(f"s3://{bench.bucket}/{k}")) for k in bench.keys(f"s3://{bench.bucket}/captured/")}
    assert sides["input"] == [{"prefix": f"s3://{bench.bucket}/"}, uri.removeprefix(f"s3://{bench.bucket}/")]
    assert sides["output"][1] == f"transformed/{name}/rows.csv.out"


SCRIPT = b"""
import os
print("batch", os.environ["SAGEMAKER_BATCH"], os.environ["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"], os.environ["MINE"], flush=True)

def model_fn(folder):
    return open(folder + "/greeting").read()

def input_fn(body, content_type):
    return body if isinstance(body, str) else body.decode()

def predict_fn(text, model):
    return model + " " + text

def output_fn(text, accept):
    return text, accept
"""


def test_a_script_as_the_model(bench):
    """One that knows no /execution-parameters. Each record is a request of its own; lines are put back into their order."""
    name = unique("greeter")
    data = bench.put(f"{name}/model.tar.gz", archive({"greeting": b"Hello", "code/inference.py": SCRIPT}))
    bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, PrimaryContainer={
        "Image": SKLEARN, "ModelDataUrl": data, "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}})
    people = [f"person {i}" for i in range(30)]
    uri = bench.put(f"{name}/people.txt", "\n".join(people).encode())
    job = begin(bench, name, uri, BatchStrategy="SingleRecord", MaxConcurrentTransforms=3, Environment={"MINE": "yes"},
                source={"ContentType": "text/plain"}, output={"Accept": "text/plain"})
    assert ended(bench, job, limit=300)["TransformJobStatus"] == "Completed", bench.log_lines(GROUP, job + "/")
    assert outputs(bench, job) == {"people.txt.out": "".join(f"Hello {p}\n" for p in people).encode()}
    lines = [line for log, lines in bench.log_lines(GROUP, job + "/").items() if not log.endswith("/data-log") for line in lines]
    assert "batch true 3 yes" in lines, lines


def test_kill_at_random_moments(other, trained, bench):
    """After kill -9 the job goes on; each output is whole or not there, and in the end all are."""
    own = Workbench(other("crash-transform"))
    job = own.train()
    model = unique("crashed")
    own.sagemaker.create_model(ModelName=model, ExecutionRoleArn=own.role,
                               PrimaryContainer={"Image": own.image, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]})
    rows = many_rows(own, 25)
    for i in range(8):
        uri = own.put(f"crash/{i}.csv", rows, up=1)
    (want,) = completed(own, model, own.put("peace/0.csv", rows)).values()
    name = begin(own, model, uri, BatchStrategy="SingleRecord", MaxConcurrentTransforms=2, resources={"InstanceCount": 2})
    chance = random.Random(5)
    for _ in range(6):
        time.sleep(chance.uniform(0, 0.7))
        own.server.kill()
        own.server.start()
        for service in ("sagemaker", "s3", "logs"):
            setattr(own, service, own.server.client(service))
        assert all(text == want for text in outputs(own, name).values())
    job = ended(own, name)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert outputs(own, name) == {f"{i}.csv.out": want for i in range(8)}
    poll(lambda: not own.server.tasks(), 20, "all tasks to be gone")
    folder = own.server.home / "work" / "transform"
    poll(lambda: not list(folder.iterdir()), 20, f"{folder} to be empty")
