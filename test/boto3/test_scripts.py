# SPDX-License-Identifier: Apache-2.0
"""Training jobs of users' own scripts: what they get, what they leave, and every way in which they fail."""

import datetime
import json
import os
import pathlib
import socket
import struct
import tarfile
import threading

import pytest

from support import scripts
from support.refusal import refused
from support.scripts import SKLEARN, TRAINING, odd_archive, source
from support.server import poll
from support.work import archive, channel, members, unique

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
    return scripts.ScriptBench(other("scripts", "--file-systems", f"{FILE_SYSTEM}={shared}"))


def model(bench, job):
    return members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))


REPORT = """
    import json, os, sys
    out = {"argv": sys.argv[1:], "environment": {k: v for k, v in os.environ.items() if k.startswith("SM_")}, "mine": os.environ["MINE"],
           "job": os.environ["TRAINING_JOB_NAME"], "data": sorted(os.listdir(os.environ["SM_CHANNEL_TRAIN"]))}
    import helper
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "report.json"), "w") as f:
        json.dump(out, f)
    with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "more.txt"), "w") as f:
        f.write(helper.TEXT)
    for i in range(4):
        print("epoch=%d loss=%.3f;" % (i, 1 / (i + 1)))
"""


def test_what_a_script_gets_and_leaves(bench):
    bench.put("plain/a.csv", b"1,2\n")
    uri = bench.put("plain/b.csv", b"3,4\n", up=1)
    definitions = [{"Name": "loss", "Regex": r"loss=([0-9.]+);"}, {"Name": "never", "Regex": r"accuracy=([0-9.]+)"}]
    job = bench.good(REPORT, hyper={"rate": 0.5, "names": ["a b", "c"], "deep": True, "word": "x"}, channels={"train": uri},
                     files={"helper.py": b"TEXT = 'from a module'"}.items(), Environment={"MINE": "a=b c"},
                     AlgorithmSpecification={"TrainingImage": scripts.PYTHON, "TrainingInputMode": "File", "MetricDefinitions": definitions})
    report = json.loads(model(bench, job)["report.json"])
    assert dict(zip(report["argv"][::2], report["argv"][1::2])) == {"--deep": "True", "--names": "['a b', 'c']", "--rate": "0.5", "--word": "x"}
    environment = report["environment"]
    assert environment["SM_CHANNEL_TRAIN"] == "/opt/ml/input/data/train" and environment["SM_HOSTS"] == '["algo-1"]'
    assert environment["SM_HP_RATE"] == "0.5" and environment["SM_USER_ENTRY_POINT"] == "train.py" and environment["SM_NUM_CPUS"] == "2"
    assert json.loads(environment["SM_HPS"]) == {"rate": 0.5, "names": ["a b", "c"], "deep": True, "word": "x"}
    assert report["mine"] == "a=b c" and report["job"] == job["TrainingJobName"] and report["data"] == ["a.csv", "b.csv"]
    out = job["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", "output.tar.gz")
    assert members(bench.get(out)) == {"more.txt": b"from a module"}
    final = {m["MetricName"]: m["Value"] for m in job["FinalMetricDataList"]}
    assert final == {"loss": 0.25}
    log = bench.log(job["TrainingJobName"])
    assert [line for line in log if line.startswith("epoch=")] == ["epoch=%d loss=%.3f;" % (i, 1 / (i + 1)) for i in range(4)]


def test_metrics_of_the_definitions_are_in_cloudwatch(bench):
    text = "print('acc=0.25;'); print('acc=0.75;')"
    job = bench.good(text, AlgorithmSpecification={"TrainingImage": scripts.PYTHON, "TrainingInputMode": "File",
                                                   "MetricDefinitions": [{"Name": "acc", "Regex": "acc=([0-9.]+);"}]})
    start = job["TrainingStartTime"] - datetime.timedelta(minutes=1)
    found = bench.cloudwatch.get_metric_statistics(
        Namespace=TRAINING, MetricName="acc", Dimensions=[{"Name": "TrainingJobName", "Value": job["TrainingJobName"]}],
        StartTime=start, EndTime=start + datetime.timedelta(hours=1), Period=3600, Statistics=["Minimum", "Maximum", "SampleCount"])["Datapoints"]
    (point,) = found
    assert (point["Minimum"], point["Maximum"], point["SampleCount"]) == (0.25, 0.75, 2)


def test_what_a_host_takes_is_in_cloudwatch(bench):
    job = bench.good("""
        import time
        end, block = time.time() + 3, bytearray(400 << 20)
        while time.time() < end:
            pass
    """)
    start = job["TrainingStartTime"] - datetime.timedelta(minutes=1)

    def most(name):
        points = bench.cloudwatch.get_metric_statistics(
            Namespace=TRAINING, MetricName=name, Dimensions=[{"Name": "Host", "Value": job["TrainingJobName"] + "/algo-1"}],
            StartTime=start, EndTime=start + datetime.timedelta(hours=1), Period=3600, Statistics=["Maximum"])["Datapoints"]
        assert points, name
        return points[0]["Maximum"]
    assert 20 < most("CPUUtilization") <= 200, "of two processors, one is busy"
    assert 4.5 < most("MemoryUtilization") < 15, "400 MiB of 8 GiB"
    assert 0 <= most("DiskUtilization") < 5


def test_a_framework_is_there(bench):
    job = bench.good("import sklearn, os; open(os.environ['SM_MODEL_DIR'] + '/version', 'w').write(sklearn.__version__)", image=SKLEARN)
    assert model(bench, job)["version"].startswith(b"1.2.")


def test_a_script_of_the_shell(bench):
    job = bench.good("", hyper={"word": "it's"}, files={"run.sh": b"#!/bin/sh\necho got \"$@\" > $SM_MODEL_DIR/said\n"}.items(), program="run.sh")
    assert model(bench, job) == {"said": b"got --word it's\n"}


def test_an_entry_point_of_the_callers(bench):
    job = bench.good("", AlgorithmSpecification={"TrainingImage": scripts.PYTHON, "TrainingInputMode": "File",
                                                 "ContainerEntrypoint": ["bash", "-c"], "ContainerArguments": ["echo $((6*7)) > /opt/ml/model/answer; ls /opt/ml"]})
    assert model(bench, job) == {"answer": b"42\n"}
    assert "model" in bench.log(job["TrainingJobName"])


def test_the_report_of_a_script_that_fails(bench):
    why, job = bench.bad("""
        import sys
        def deep(n):
            if n == 0:
                raise ValueError("the data are bad: \u2018x\u2019")
            deep(n - 1)
        print("an innocent line", file=sys.stderr)
        deep(2)
    """)
    assert why.startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage \"raise ValueError("), why
    assert "ValueError: the data are bad: \u2018x\u2019" in why
    assert why.endswith(", exit code: 1") and "innocent" not in why
    assert "ModelArtifacts" not in job
    assert any("Traceback (most recent call last)" in line for line in bench.log(job["TrainingJobName"]))


@pytest.mark.parametrize("text, code", [
    ("import sys; sys.exit(7)", 7),
    ("import os; os.abort()", 134),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
], ids=["exit", "abort", "killed"])
def test_the_exit_code_of_a_script(bench, text, code):
    why, _ = bench.bad(text)
    assert why.startswith("AlgorithmError: ExecuteUserScriptError:") and why.endswith(f", exit code: {code}")


def test_a_reason_of_the_scripts_own(bench):
    why, _ = bench.bad("import sys; open('/opt/ml/output/failure', 'w').write('no good ' * 1000); sys.exit(3)")
    assert why.startswith("AlgorithmError: no good no good") and why.endswith(", exit code: 3") and len(why) == 1024


def test_an_entry_point_that_is_not_there(bench):
    why, _ = bench.bad("", program="other.py")
    assert why.startswith("AlgorithmError: ") and "'other.py' is not in the source directory, which holds: train.py." in why, why


@pytest.mark.parametrize("program", ["../train.py", "/etc/passwd", "a b.py", "-c"])
def test_an_entry_point_that_leads_out(bench, program):
    why, _ = bench.bad("", program=program)
    assert f"{program!r} cannot be used" in why, why


BAD_CODE = {
    "text": b"this is no archive",
    "half": archive({"train.py": os.urandom(10000)})[:5000],
    "nothing": b"",
}


@pytest.mark.parametrize("content", BAD_CODE.values(), ids=BAD_CODE)
def test_code_that_is_no_archive(bench, content):
    uri = bench.code(content)
    why, job = bench.bad("", code=uri)
    assert why.startswith("ClientError: ") and f"source code: {uri} is no good archive" in why, why
    assert "Training" not in [t["Status"] for t in job["SecondaryStatusTransitions"]]


def test_code_that_is_not_there(bench):
    why, _ = bench.bad("", code=f"s3://{bench.bucket}/no/such.tar.gz")
    assert why.startswith("ClientError: ") and "no/such.tar.gz" in why, why


def test_code_that_leads_out(bench, tmp_path):
    """Archives that would write to, or read, places of this machine."""
    marker, secret = tmp_path / "marker", tmp_path / "secret"
    secret.write_text("of this machine")
    home = bench.server.home
    up = "../" * 12
    for entries in [
        [("train.py", b""), (f"{up}{str(marker)[1:]}", b"x")],
        [("train.py", b""), (str(marker), b"x")],
        [("train.py", b""), ("../../../../escaped", b"x")],
        [("out", tarfile.SYMTYPE, str(tmp_path)), ("out/marker", b"x"), ("train.py", b"")],
        [("out", tarfile.SYMTYPE, f"{up}{str(tmp_path)[1:]}"), ("out/marker", b"x"), ("train.py", b"")],
        [("train.py", tarfile.SYMTYPE, str(secret))],
        [("train.py", tarfile.LNKTYPE, str(secret))],
        [("requirements.txt", tarfile.SYMTYPE, str(secret)), ("train.py", b"")],
    ]:
        why, _ = bench.bad("", code=bench.code(odd_archive(*entries)))
        assert why.startswith("ClientError: "), (entries, why)
        assert "of this machine" not in why
        assert sorted(p.name for p in tmp_path.iterdir()) == ["secret"] and secret.read_text() == "of this machine"
    assert not [p for p in home.rglob("escaped")] and not pathlib.Path("/escaped").exists()


def test_pipes_and_devices_are_left_out_of_code(bench):
    uri = bench.code(odd_archive(("train.py", b"import os; print('code', sorted(os.listdir('/opt/ml/code')))"),
                                 ("pipe", tarfile.FIFOTYPE, ""), ("device", tarfile.CHRTYPE, "")))
    job = bench.good("", code=uri)
    assert "code ['train.py']" in bench.log(job["TrainingJobName"])


def test_requirements_that_cannot_be_had(bench):
    why, job = bench.bad("", files={"requirements.txt": b"sagebrush-no-such-package-xyz==9.9.9\n"}.items())
    assert why.startswith("AlgorithmError: InstallRequirementsError:") and "sagebrush-no-such-package-xyz==9.9.9" in why, why
    assert len(why) <= 1024
    assert any("sagebrush-no-such-package-xyz" in line for line in bench.log(job["TrainingJobName"])), "the log tells it, too"


@pytest.mark.parametrize("name", ["sagemaker-scikit-learn:99.9-cpu-py3", "sagemaker-scikit-lern:1.2-1-cpu-py3"])
def test_images_that_are_not_known(bench, name):
    with refused("ValidationException", "Cannot find the training image"):
        bench.sagemaker.create_training_job(**bench.script("", image=f"683313688378.dkr.ecr.us-east-1.amazonaws.com/{name}"))


# A script that connects to where it is told, and leaves what came of it.
CONNECT = """
    import os, socket, sys
    host, port = sys.argv[-1].split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        said = "connected"
    except OSError as e:
        said = type(e).__name__
    with open("/opt/ml/model/said", "w") as f:
        f.write(said)
"""


def test_network_isolation(bench):
    """Isolated, a job can connect nowhere; its code comes by a channel."""
    seen = []
    with socket.create_server(("0.0.0.0", 0)) as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: it tells which address this machine has
        to = f"{probe.getsockname()[0]}:{listener.getsockname()[1]}"

        def accept():
            while True:
                try:
                    seen.append(listener.accept()[0].close())
                except OSError:
                    return
        threading.Thread(target=accept, daemon=True).start()
        assert model(bench, bench.good(CONNECT, hyper={"to": to})) == {"said": b"connected"}
        assert len(seen) == 1
        uri = bench.put("isolated/train.py", source(CONNECT), up=1)
        job = bench.good("", hyper={"to": to, "sagemaker_submit_directory": "/opt/ml/input/data/code"}, channels={"code": uri}, EnableNetworkIsolation=True)
        assert model(bench, job)["said"] != b"connected"
        assert len(seen) == 1
        listener.shutdown(socket.SHUT_RDWR)


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
    reports = {name: json.loads(text) for name, text in model(bench, job).items()}
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
    reports = [json.loads(model(bench, job)[f"algo-{i}.json"]) for i in (1, 2)]
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
    config, *epochs = json.loads(model(bench, job)["epochs"])
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
    assert model(bench, job) == {**{f"train/part-{i}.csv": b"%d\n" % i for i in range(3)}, "train/deep/er.csv": b"deep"}
    assert any(line.startswith("cannot write to train") for line in bench.log(job["TrainingJobName"]))
    assert sorted(bench.objects(uri)) == ["deep/er.csv", "part-0.csv", "part-1.csv", "part-2.csv"]


def file_system(name, path, mode="ro", system=FILE_SYSTEM):
    return {"ChannelName": name, "DataSource": {"FileSystemDataSource": {
        "FileSystemId": system, "FileSystemType": "EFS", "DirectoryPath": path, "FileSystemAccessMode": mode}}}


def test_file_systems(bench, shared):
    job = bench.good(COPY, channels=[file_system("train", "/data/deep")])
    assert model(bench, job) == {"train/rows.csv": b"1\n2\n"}
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
        with open("/opt/ml/checkpoints/passing", "w") as f:
            f.write("x")
        while not os.path.exists("/opt/ml/input/data/go/on"):
            time.sleep(0.05)
            if "STOP" not in os.environ:
                break
        if "STOP" in os.environ:
            os.remove("/opt/ml/checkpoints/passing")
    """
    (flag := bench.server.home.parent / "go").mkdir(exist_ok=True)
    go = bench.put("go/not", b"", up=1)
    bench.begin(text, name=name, CheckpointConfig={"S3Uri": uri}, channels={"go": go}, Environment={"STOP": "1"})
    poll(lambda: bench.objects(uri) == {"deep/1": b"one", "passing": b"x"}, 60, "the checkpoints of a job that runs")
    assert bench.sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training"
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    assert bench.finished(name)["TrainingJobStatus"] == "Stopped"
    flag.rmdir()
    job = bench.good(text, CheckpointConfig={"S3Uri": uri}, channels={"go": go})
    assert "before ['deep', 'passing']" in bench.log(job["TrainingJobName"])
