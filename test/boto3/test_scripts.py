# SPDX-License-Identifier: Apache-2.0
"""Training jobs of users' own scripts: what they get, what they leave, and every way in which they fail."""

import datetime
import json
import os
import pathlib
import socket
import tarfile
import threading

import pytest

from support import scripts
from support.refusal import refused
from support.scripts import SKLEARN, TRAINING, odd_archive, source
from support.work import archive, members

@pytest.fixture(scope="module")
def bench(other):
    return scripts.ScriptBench(other("scripts"))


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
    report = json.loads(bench.model(job)["report.json"])
    assert dict(zip(report["argv"][::2], report["argv"][1::2])) == {"--deep": "True", "--names": "['a b', 'c']", "--rate": "0.5", "--word": "x"}
    environment = report["environment"]
    assert environment["SM_CHANNEL_TRAIN"] == "/opt/ml/input/data/train" and environment["SM_HOSTS"] == '["algo-1"]'
    assert environment["SM_HP_RATE"] == "0.5" and environment["SM_USER_ENTRY_POINT"] == "train.py"
    assert environment["SM_NUM_CPUS"] == "2", "those of ml.m5.large"
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
    assert bench.model(job)["version"].startswith(b"1.2.")


def test_a_script_of_the_shell(bench):
    job = bench.good("", hyper={"word": "it's"}, files={"run.sh": b"#!/bin/sh\necho got \"$@\" > $SM_MODEL_DIR/said\n"}.items(), program="run.sh")
    assert bench.model(job) == {"said": b"got --word it's\n"}


def test_an_entry_point_of_the_callers(bench):
    job = bench.good("", AlgorithmSpecification={"TrainingImage": scripts.PYTHON, "TrainingInputMode": "File",
                                                 "ContainerEntrypoint": ["bash", "-c"],
                                                 "ContainerArguments": ["echo $((6*7)) > /opt/ml/model/answer; ls /opt/ml"]})
    assert bench.model(job) == {"answer": b"42\n"}
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
    # os.walk, as jobs that have ended are being cleaned up meanwhile.
    assert not any("escaped" in files + folders for _, folders, files in os.walk(home)) and not pathlib.Path("/escaped").exists()


def test_pipes_and_devices_are_left_out_of_code(bench):
    uri = bench.code(odd_archive(("train.py", b"import os; print('code', sorted(os.listdir('/opt/ml/code')))"),
                                 ("pipe", tarfile.FIFOTYPE, ""), ("device", tarfile.CHRTYPE, "")))
    job = bench.good("", code=uri)
    assert "code ['train.py']" in bench.log(job["TrainingJobName"])


def test_requirements_that_cannot_be_had(bench):
    why, job = bench.bad("", files={"requirements.txt": b"sagebrush-no-such-package-xyz==9.9.9\n"}.items())
    assert why.startswith("AlgorithmError: InstallRequirementsError:") and "sagebrush-no-such-package-xyz==9.9.9" in why, why
    assert len(why) <= 1024
    assert bench.server.log.read_text().count("python environment not prepared") == 1, "it was tried once"
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
        assert bench.model(bench.good(CONNECT, hyper={"to": to})) == {"said": b"connected"}
        assert len(seen) == 1
        uri = bench.put("isolated/train.py", source(CONNECT), up=1)
        job = bench.good("", hyper={"to": to, "sagemaker_submit_directory": "/opt/ml/input/data/code"}, channels={"code": uri}, EnableNetworkIsolation=True)
        assert bench.model(job)["said"] != b"connected"
        assert len(seen) == 1
        listener.shutdown(socket.SHUT_RDWR)
