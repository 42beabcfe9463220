# SPDX-License-Identifier: Apache-2.0
"""Training jobs of scripts: their hosts, and every way in which data comes to them and stays."""

import json

import pytest

from support import scripts
from support.refusal import refused
from support.scripts import TRAINING
from support.server import poll
from support.work import channel, unique

FILE_SYSTEM = "fs-0123456789abcdef0"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder of this machine that stands for a file system."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "data" / "deep" / "rows.csv").write_text("1\n2\n")
    (folder.parent / "beside").mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def bench(other, shared):
    return scripts.ScriptBench(other("inputs", "--file-systems", f"{FILE_SYSTEM}={shared}"))


# Each host sends its part of the data and its rank to all others, by their names.
GATHER = """
    import json, os, socket, sys, threading, time
    hosts, me = json.loads(os.environ["SM_HOSTS"]), os.environ["SM_CURRENT_HOST"]
    mine = sorted(os.listdir(os.environ["SM_CHANNEL_TRAIN"]))
    got = {me: mine}
    listener = socket.create_server(("", 7000 + hosts.index(me)))
    def take():
        for _ in hosts[1:]:
            c, _ = listener.accept()
            with c, c.makefile() as f:
                host, files = json.loads(f.readline())
            got[host] = files
    taker = threading.Thread(target=take)
    taker.start()
    for other in hosts:
        while other != me:
            try:
                with socket.create_connection((other, 7000 + hosts.index(other)), timeout=20) as c:
                    c.sendall((json.dumps([me, mine]) + "\\n").encode())
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
    taker.join(30)
    print("gathered by", me, flush=True)
    with open(f"/opt/ml/model/{me}.json", "w") as f:
        json.dump({"got": got, "hostname": socket.gethostname(), "group": os.environ["SM_CURRENT_INSTANCE_GROUP"],
                   "type": os.environ["SM_CURRENT_INSTANCE_TYPE"], "channels": sorted(os.listdir("/opt/ml/input/data"))}, f)
"""


def parts(bench, prefix, n):
    for i in range(n):
        uri = bench.put(f"{prefix}/part-{i}.csv", b"%d\n" % i, up=1)
    return uri


def test_two_hosts_and_sharded_data(bench):
    uri = parts(bench, "shards", 4)
    job = bench.good(GATHER, hosts=2, channels=[channel("train", uri, S3DataDistributionType="ShardedByS3Key"), channel("all", uri)])
    reports = {name: json.loads(text) for name, text in bench.model(job).items()}
    assert sorted(reports) == ["algo-1.json", "algo-2.json"]
    for host in "algo-1", "algo-2":
        report = reports[host + ".json"]
        assert report["hostname"] == host and report["group"] == "homogeneousCluster"
        assert sorted(report["got"]) == ["algo-1", "algo-2"]
        assert sorted(report["got"]["algo-1"] + report["got"]["algo-2"]) == [f"part-{i}.csv" for i in range(4)]
        assert len(report["got"][host]) == 2
    lines = bench.log_lines(TRAINING, job["TrainingJobName"] + "/")
    assert [name.split("/")[1].rsplit("-", 1)[0] for name in sorted(lines)] == ["algo-1", "algo-2"]
    for name, text in lines.items():
        assert f"gathered by {name.split('/')[1].rsplit('-', 1)[0]}" in text


def test_instance_groups(bench):
    uri = parts(bench, "groups", 2)
    groups = [{"InstanceGroupName": "big", "InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
              {"InstanceGroupName": "small", "InstanceType": "ml.m5.large", "InstanceCount": 1}]
    job = bench.good(GATHER, channels=[channel("train", uri), channel("only", uri, InstanceGroupNames=["small"])],
                     ResourceConfig={"InstanceGroups": groups, "VolumeSizeInGB": 5})
    reports = [json.loads(bench.model(job)[f"algo-{i}.json"]) for i in (1, 2)]
    assert [(r["group"], r["type"]) for r in reports] == [("big", "ml.m5.xlarge"), ("small", "ml.m5.large")]
    assert [r["channels"] for r in reports] == [["train"], ["only", "train"]]


def test_a_host_that_fails(bench):
    """It fails the job, and its log says so; the others, which would wait for ever, are ended."""
    why, job = bench.bad("""
        import os, sys, time
        if os.environ["SM_CURRENT_HOST"] == "algo-2":
            sys.exit("RuntimeError: I give up")
        while True:
            time.sleep(1)
    """, hosts=2)
    assert "RuntimeError: I give up" in why and why.endswith("exit code: 1"), why
    (stream,) = [s for s, lines in bench.log_lines(TRAINING, job["TrainingJobName"] + "/").items() if "RuntimeError: I give up" in lines]
    assert "/algo-2-" in stream
    assert (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds() < 60


PIPES = """
    import os, struct, sys, json
    def records(name):
        out = []
        with open("/opt/ml/input/data/" + name, "rb") as f:
            data = f.read()
        if "--wrapped" not in sys.argv:
            return [data.decode()]
        at = 0
        while at < len(data):
            magic, word = struct.unpack_from("<II", data, at)
            assert magic == 0xCED7230A, magic
            size = word & ((1 << 29) - 1)
            out.append(data[at + 8:at + 8 + size].decode())
            at += 8 + size + (-size) % 4
        return out
    config = json.load(open("/opt/ml/input/config/inputdataconfig.json"))
    with open("/opt/ml/model/epochs", "w") as f:
        json.dump([config["train"], *[records("train_%d" % i) for i in range(3)]], f)
"""


def piped(bench, name, hyper=(), **more):
    for i in range(8):
        uri = bench.put(f"{name}/{i}", b"record %d." % i, up=1)
    job = bench.good(PIPES, hyper=hyper, channels=[{**channel("train", uri), "InputMode": "Pipe", **more}])
    config, *epochs = json.loads(bench.model(job)["epochs"])
    assert config["TrainingInputMode"] == "Pipe" and config["RecordWrapperType"] == more.get("RecordWrapperType", "None")
    return epochs


def test_a_pipe_for_each_epoch(bench):
    whole = "".join(f"record {i}." for i in range(8))
    assert piped(bench, "piped") == [[whole]] * 3


def test_a_pipe_of_records_in_another_order_each_epoch(bench):
    straight = [f"record {i}." for i in range(8)]
    assert piped(bench, "wrapped", {"wrapped": 1}, RecordWrapperType="RecordIO") == [straight] * 3
    shuffled = piped(bench, "shuffled", {"wrapped": 1}, RecordWrapperType="RecordIO", ShuffleConfig={"Seed": 7})
    assert all(sorted(epoch) == straight for epoch in shuffled)
    assert shuffled[0] != shuffled[1] and straight not in shuffled
    again = piped(bench, "shuffled", {"wrapped": 1}, RecordWrapperType="RecordIO", ShuffleConfig={"Seed": 7})
    assert again == shuffled, "the same seed gives the same order"


COPY = """
    import os, shutil
    for channel in sorted(os.listdir("/opt/ml/input/data")):
        shutil.copytree("/opt/ml/input/data/" + channel, "/opt/ml/model/" + channel)
        try:
            with open("/opt/ml/input/data/%s/written" % channel, "w") as f:
                f.write("by the job")
        except OSError as e:
            print("cannot write to %s: %s" % (channel, os.strerror(e.errno)))
"""


def test_fast_file(bench):
    uri = parts(bench, "fast", 3)
    bench.put("fast/deep/er.csv", b"deep")
    job = bench.good(COPY, channels=[{**channel("train", uri), "InputMode": "FastFile"}])
    assert bench.model(job) == {**{f"train/part-{i}.csv": b"%d\n" % i for i in range(3)}, "train/deep/er.csv": b"deep"}
    assert any(line.startswith("cannot write to train") for line in bench.log(job["TrainingJobName"]))
    assert sorted(bench.objects(uri)) == ["deep/er.csv", "part-0.csv", "part-1.csv", "part-2.csv"]


def file_system(name, path, mode="ro", system=FILE_SYSTEM):
    return {"ChannelName": name, "DataSource": {"FileSystemDataSource": {
        "FileSystemId": system, "FileSystemType": "EFS", "DirectoryPath": path, "FileSystemAccessMode": mode}}}


def test_file_systems(bench, shared):
    job = bench.good(COPY, channels=[file_system("train", "/data/deep")])
    assert bench.model(job) == {"train/rows.csv": b"1\n2\n"}
    assert bench.log(job["TrainingJobName"]).count("cannot write to train: Read-only file system") == 1
    assert not (shared / "data" / "deep" / "written").exists()
    bench.good(COPY, channels=[file_system("train", "/data/deep", "rw")])
    assert (shared / "data" / "deep" / "written").read_text() == "by the job"
    (shared / "data" / "deep" / "written").unlink()


def test_folders_outside_of_a_file_system_are_refused(bench, shared):
    link = shared / "link"
    if not link.is_symlink():
        link.symlink_to(shared.parent / "beside")
    for path in "/../beside", "/data/../../beside", "/link", "/none", "/data/deep/rows.csv":
        with refused("ValidationException", "DirectoryPath|no folder within it"):
            bench.sagemaker.create_training_job(**bench.script("", channels=[file_system("train", path)]))
    with refused("ValidationException", "fs-99999999 is not known"):
        bench.sagemaker.create_training_job(**bench.script("", channels=[file_system("train", "/data", system="fs-99999999")]))
    with refused("ValidationException", "input mode File"):
        bench.sagemaker.create_training_job(**bench.script("", channels=[{**file_system("train", "/data"), "InputMode": "Pipe"}]))


WARM = """
    import os
    at = os.environ["SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY"]
    before = sorted(os.listdir(at))
    open(os.path.join(at, os.environ["TRAINING_JOB_NAME"]), "w").close()
    print("cache", before)
"""


def test_a_warm_pool(bench):
    warm = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5, "KeepAlivePeriodInSeconds": 600}
    first = bench.good(WARM, ResourceConfig=warm)["TrainingJobName"]
    assert bench.sagemaker.describe_training_job(TrainingJobName=first)["WarmPoolStatus"]["Status"] == "Available"
    assert [j["TrainingJobName"] for j in bench.sagemaker.list_training_jobs(WarmPoolStatusEquals="Available")["TrainingJobSummaries"]] == [first]
    # Another size is another pool.
    other = bench.good(WARM, ResourceConfig={**warm, "InstanceType": "ml.m5.xlarge", "KeepAlivePeriodInSeconds": 1})["TrainingJobName"]
    assert "cache []" in bench.log(other)
    second = bench.good(WARM, ResourceConfig=warm)["TrainingJobName"]
    assert f"cache ['{first}']" in bench.log(second)
    pool = bench.sagemaker.describe_training_job(TrainingJobName=first)["WarmPoolStatus"]
    assert (pool["Status"], pool["ReusedByJob"]) == ("Reused", second)
    with refused("ResourceInUse", "warm pool"):
        bench.sagemaker.delete_training_job(TrainingJobName=second)
    bench.sagemaker.update_training_job(TrainingJobName=second, ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    poll(lambda: bench.sagemaker.describe_training_job(TrainingJobName=second)["WarmPoolStatus"]["Status"] == "Terminated", 30, "the pool to end")
    poll(lambda: bench.sagemaker.describe_training_job(TrainingJobName=other)["WarmPoolStatus"]["Status"] == "Terminated", 30, "the other pool to end")
    poll(lambda: not list((bench.server.home / "work" / "training" / "_pools").iterdir()), 30, "the caches to be deleted")


def test_checkpoints_are_stored_while_the_job_runs(bench):
    """And those of an earlier job at the same place are there when another begins."""
    name = unique("kept")
    uri = f"s3://{bench.bucket}/kept/{name}"
    text = """
        import os, time
        print("before", sorted(os.listdir("/opt/ml/checkpoints")))
        os.makedirs("/opt/ml/checkpoints/deep", exist_ok=True)
        with open("/opt/ml/checkpoints/deep/1", "w") as f:
            f.write("one")
        while "WAIT" in os.environ:
            time.sleep(0.05)
    """
    bench.begin(text, name=name, CheckpointConfig={"S3Uri": uri}, Environment={"WAIT": "1"})
    poll(lambda: bench.objects(uri) == {"deep/1": b"one"}, 60, "the checkpoints of a job that runs")
    assert bench.sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training"
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    assert bench.finished(name)["TrainingJobStatus"] == "Stopped"
    job = bench.good(text, CheckpointConfig={"S3Uri": uri})
    assert "before ['deep']" in bench.log(job["TrainingJobName"])
