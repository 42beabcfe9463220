# SPDX-License-Identifier: Apache-2.0
"""Processing jobs: made, looked at, listed, stopped and deleted; what goes in, what comes out, why they fail."""

import datetime
import json

import pytest

from support import scripts
from support.refusal import refused
from support.scripts import PROCESSING
from support.server import poll
from support.work import FAST, unique


@pytest.fixture(scope="module")
def bench(other):
    return scripts.ScriptBench(other("processing"))


def completed(bench, *args, **kwargs):
    """Runs a processing job, which must complete."""
    job = bench.processed(bench.start_processing(*args, **kwargs))
    assert job["ProcessingJobStatus"] == "Completed", (job.get("FailureReason"), bench.log(job["ProcessingJobName"], PROCESSING)[-20:])
    return job


def failed(bench, *args, **kwargs):
    job = bench.processed(bench.start_processing(*args, **kwargs))
    assert job["ProcessingJobStatus"] == "Failed"
    return job["FailureReason"], job


SPLIT = """
    import json, os, sys
    rows = []
    for name in sorted(os.listdir("/opt/ml/processing/input/rows")):
        with open("/opt/ml/processing/input/rows/" + name) as f:
            rows += f.read().split()
    for kind, part in ("even", rows[0::2]), ("odd", rows[1::2]):
        with open(f"/opt/ml/processing/output/{kind}/rows.csv", "w") as f:
            f.write("\\n".join(part) + "\\n")
    with open("/opt/ml/config/processingjobconfig.json") as f:
        config = json.load(f)
    with open("/opt/ml/config/resourceconfig.json") as f:
        resources = json.load(f)
    with open("/opt/ml/output/message", "w") as f:
        f.write(f"{len(rows)} rows, arguments {sys.argv[1:]}, {os.environ['MINE']}")
    print("config", json.dumps([config, resources]))
"""


def test_the_story_of_a_job(bench):
    bench.put("story/a.csv", b"1\n2\n3\n")
    uri = bench.put("story/b.csv", b"4\n", up=1)
    request = bench.process(SPLIT, inputs={"rows": uri}, outputs={"even": "EndOfJob", "odd": "EndOfJob"}, arguments=["--a", "b c"],
                            Environment={"MINE": "mine"}, Tags=[{"Key": "team", "Value": "data"}])
    name = request["ProcessingJobName"]
    arn = bench.sagemaker.create_processing_job(**request)["ProcessingJobArn"]
    assert arn == f"arn:aws:sagemaker:{bench.region}:{bench.account}:processing-job/{name}"
    bench.sagemaker.get_waiter("processing_job_completed_or_stopped").wait(ProcessingJobName=name, WaiterConfig=FAST)
    job = bench.sagemaker.describe_processing_job(ProcessingJobName=name)
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ExitMessage"] == "4 rows, arguments ['--a', 'b c'], mine"
    assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"] <= job["LastModifiedTime"]
    for member in ("ProcessingResources", "StoppingCondition", "AppSpecification", "Environment", "RoleArn"):
        assert job[member] == request[member]
    assert [i["InputName"] for i in job["ProcessingInputs"]] == ["rows", "code"]
    assert bench.objects(bench.results(name, "even")) == {"rows.csv": b"1\n3\n"}
    assert bench.objects(bench.results(name, "odd")) == {"rows.csv": b"2\n4\n"}
    lines = bench.log_lines(PROCESSING, name + "/")
    assert [s.split("/")[1].rsplit("-", 1)[0] for s in lines] == ["algo-1"]
    config, resources = json.loads(next(line for line in bench.log(name, PROCESSING) if line.startswith("config"))[7:])
    assert config["ProcessingJobName"] == name and config["AppSpecification"]["ContainerArguments"] == ["--a", "b c"]
    assert (resources["current_host"], resources["hosts"], resources["current_instance_type"]) == ("algo-1", ["algo-1"], "ml.m5.large")
    assert bench.sagemaker.list_tags(ResourceArn=arn)["Tags"] == request["Tags"]

    with refused("ResourceInUse", "already exists"):
        bench.sagemaker.create_processing_job(**request)
    bench.sagemaker.delete_processing_job(ProcessingJobName=name)
    with refused("ValidationException", "Could not find requested job with name"):
        bench.sagemaker.describe_processing_job(ProcessingJobName=name)
    assert bench.objects(bench.results(name, "odd")), "what it has made stays"


def test_lists(bench):
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    names = [bench.start_processing("import sys; sys.exit(%d)" % (i == 1), name=unique("listed")) for i in range(3)]
    for name in names:
        bench.processed(name)

    def listed(**more):
        pages = bench.sagemaker.get_paginator("list_processing_jobs").paginate(
            NameContains="listed-", CreationTimeAfter=before, PaginationConfig={"PageSize": 2}, **more)
        return [j for page in pages for j in page["ProcessingJobSummaries"]]
    assert [j["ProcessingJobName"] for j in listed()] == names[::-1], "the newest first"
    assert [j["ProcessingJobName"] for j in listed(SortBy="Name", SortOrder="Ascending")] == sorted(names)
    (bad,) = listed(StatusEquals="Failed")
    assert bad["ProcessingJobName"] == names[1] and bad["FailureReason"].endswith("exit code: 1") and bad["ProcessingEndTime"]
    assert listed(LastModifiedTimeBefore=before) == []


def test_stop(bench):
    """It gets SIGTERM; what it wrote to a continuous output is kept, what comes at the end is not."""
    text = """
        import signal, sys, time
        def told(*_):
            with open("/opt/ml/processing/output/always/last", "w") as f:
                f.write("when told")
            sys.exit(0)
        signal.signal(signal.SIGTERM, told)
        open("/opt/ml/processing/output/end/half", "w").close()
        print("ready", flush=True)
        while True:
            time.sleep(0.05)
    """
    name = bench.start_processing(text, outputs={"always": "Continuous", "end": "EndOfJob"})
    bench.logged(name, "ready", PROCESSING)
    with refused("ResourceInUse", "in status InProgress"):
        bench.sagemaker.delete_processing_job(ProcessingJobName=name)
    bench.sagemaker.stop_processing_job(ProcessingJobName=name)
    job = bench.processed(name)
    assert job["ProcessingJobStatus"] == "Stopped" and "FailureReason" not in job
    assert bench.objects(bench.results(name, "always")) == {"last": b"when told"}
    assert bench.objects(bench.results(name, "end")) == {}
    with refused("ValidationException", "in status Stopped"):
        bench.sagemaker.stop_processing_job(ProcessingJobName=name)


def test_a_continuous_output_is_there_before_the_end(bench):
    text = """
        import os, time
        os.mkdir("/opt/ml/processing/output/always/deep")
        with open("/opt/ml/processing/output/always/deep/first", "w") as f:
            f.write("1")
        print("ready", flush=True)
        while True:
            time.sleep(0.05)
    """
    name = bench.start_processing(text, outputs={"always": "Continuous"})
    poll(lambda: bench.objects(bench.results(name, "always")) == {"deep/first": b"1"}, 60, "the output of a job that runs")
    assert bench.sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "InProgress"
    bench.sagemaker.stop_processing_job(ProcessingJobName=name)
    assert bench.processed(name)["ProcessingJobStatus"] == "Stopped"


def test_two_hosts_and_sharded_inputs(bench):
    for i in range(5):
        uri = bench.put(f"shards/{i}.csv", b"%d" % i, up=1)
    text = """
        import json, os, socket
        me = json.load(open("/opt/ml/config/resourceconfig.json"))
        assert [socket.gethostbyname(h) for h in me["hosts"]]
        with open(f"/opt/ml/processing/output/seen/{me['current_host']}.json", "w") as f:
            json.dump([me["hosts"], sorted(os.listdir("/opt/ml/processing/input/part")), sorted(os.listdir("/opt/ml/processing/input/all"))], f)
    """
    job = completed(bench, text, hosts=2, outputs={"seen": "EndOfJob"},
                    inputs=[bench.input("part", uri, S3DataDistributionType="ShardedByS3Key"), bench.input("all", uri)])
    seen = {name: json.loads(body) for name, body in bench.objects(bench.results(job["ProcessingJobName"], "seen")).items()}
    everything = [f"{i}.csv" for i in range(5)]
    assert sorted(seen) == ["algo-1.json", "algo-2.json"]
    (hosts1, part1, all1), (hosts2, part2, all2) = seen["algo-1.json"], seen["algo-2.json"]
    assert hosts1 == hosts2 == ["algo-1", "algo-2"] and all1 == all2 == everything
    assert sorted(part1 + part2) == everything and {len(part1), len(part2)} == {2, 3}


def test_a_manifest(bench):
    bench.put("listed/a.csv", b"a")
    bench.put("listed/b.csv", b"b")
    bench.put("listed/c.csv", b"c")
    uri = bench.put("manifest.json", json.dumps([{"prefix": f"s3://{bench.bucket}/listed/"}, "a.csv", "c.csv"]).encode())
    job = completed(bench, "import os; print(sorted(os.listdir('/opt/ml/processing/input/some')))",
                    inputs=[bench.input("some", uri, S3DataType="ManifestFile")])
    assert "['a.csv', 'c.csv']" in bench.log(job["ProcessingJobName"], PROCESSING)


def test_inputs_cannot_be_changed(bench):
    """The store's objects are not the job's to write to."""
    uri = bench.put("kept/a.csv", b"kept", up=1)
    completed(bench, """
        for name in "a.csv", "new.csv":
            try:
                with open("/opt/ml/processing/input/rows/" + name, "w") as f:
                    f.write("changed")
            except OSError:
                pass
    """, inputs={"rows": uri})
    assert bench.objects(uri) == {"a.csv": b"kept"}


def test_a_script_that_fails(bench):
    why, job = failed(bench, """
        import sys
        open("/opt/ml/processing/output/end/half", "w").close()
        with open("/opt/ml/processing/output/always/done", "w") as f:
            f.write("this far")
        with open("/opt/ml/output/message", "w") as f:
            f.write("no column x")
        sys.exit(9)
    """, outputs={"end": "EndOfJob", "always": "Continuous"})
    assert why.startswith("AlgorithmError: ") and why.endswith("exit code: 9")
    assert job["ExitMessage"] == "no column x"
    assert bench.objects(bench.results(job["ProcessingJobName"], "end")) == {}
    assert bench.objects(bench.results(job["ProcessingJobName"], "always")) == {"done": b"this far"}


def test_other_ways_to_fail(bench):
    why, _ = failed(bench, command=["/no/such/program"])
    assert why.startswith("AlgorithmError: ") and "no such file" in why, why
    why, job = failed(bench, "import time; time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert why.startswith("ClientError: ") and "MaxRuntimeInSeconds" in why
    assert (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds() < 20
    why, job = failed(bench, """
        import json, sys, time
        if json.load(open("/opt/ml/config/resourceconfig.json"))["current_host"] == "algo-2":
            sys.exit(4)
        time.sleep(100)
    """, hosts=2)
    assert "exit code: 4" in why
    assert (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds() < 60


def test_a_long_message_is_cut(bench):
    job = completed(bench, "open('/opt/ml/output/message', 'w', encoding='utf-8').write('\u00e9' * 2000)")
    assert set(job["ExitMessage"]) == {"\u00e9"} and 500 <= len(job["ExitMessage"]) <= 1024


def changed(request, path, value):
    """The request with the member at path, of names and indices, changed."""
    request = json.loads(json.dumps(request))
    at = request
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return request


@pytest.mark.parametrize("path, value, why", [
    (["RoleArn"], "arn:aws:iam::123456789012:role/Nobody", "Could not assume role"),
    (["AppSpecification", "ImageUri"], "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:99-cpu-py3", "Cannot find the image"),
    (["ProcessingInputs", 0, "S3Input", "S3Uri"], "s3://no-such-bucket-anywhere/x", "bucket|Bucket"),
    (["ProcessingInputs", 0, "S3Input", "LocalPath"], "/etc/rows", "below /opt/ml/processing"),
    (["ProcessingInputs", 0, "S3Input", "LocalPath"], "/opt/ml/processing/../../../etc", "below /opt/ml/processing"),
    (["ProcessingInputs", 0, "InputName"], "code", "Duplicate input name"),
    (["ProcessingOutputConfig", "Outputs", 0, "S3Output", "LocalPath"], "/", "below /opt/ml/processing"),
    (["ProcessingOutputConfig", "Outputs", 0, "S3Output", "S3UploadMode"], "Sometimes", "enum value set"),
    (["ProcessingResources", "ClusterConfig", "InstanceCount"], 1 << 40, "less than or equal to"),
    (["ProcessingJobName"], "a_b", "regular expression pattern"),
])
def test_requests_that_are_refused(bench, path, value, why):
    uri = bench.put("refused/a.csv", b"1", up=1)
    request = bench.process("", inputs={"rows": uri}, outputs={"out": "EndOfJob"})
    with refused("ValidationException", why):
        bench.sagemaker.create_processing_job(**changed(request, path, value))


def test_too_many_hosts(bench):
    with refused("ResourceLimitExceeded", "number of instances"):
        bench.sagemaker.create_processing_job(**bench.process("", hosts=100))


@pytest.mark.parametrize("operation", ["describe_processing_job", "stop_processing_job", "delete_processing_job"])
def test_a_job_that_is_not_there(bench, operation):
    with refused("ValidationException", "Could not find requested job"):
        getattr(bench.sagemaker, operation)(ProcessingJobName="nobody")


def test_a_list_is_refused_a_token_of_nobody(bench):
    with refused("ValidationException", "(?i)token"):
        bench.sagemaker.list_processing_jobs(NextToken="made-up")
