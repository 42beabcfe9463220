# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server at random moments while users' jobs of every kind run.

Scripts, hosts in a group, pipes, processing with continuous outputs, a spot job
that is interrupted in between: each ends as it would have in peace, no attempt
is begun twice, and each line that was printed is in the log once.
"""

import json
import random
import re
import time

import pytest

from support.scripts import PROCESSING, TRAINING, ScriptBench, interrupt
from support.server import poll
from support.work import channel

MOMENTS = 12
LINES = 40  # that each script prints, one each tenth of a second
SPOT_LINES = 80  # so many that the job outlives the moments at which it is interrupted

# What all scripts begin with: a file of a name of its own for each start, in a
# folder that is kept, and numbered lines.
STEPS = """
    import json, os, signal, sys, time, uuid

    def start(folder):
        os.makedirs(folder, exist_ok=True)
        open(os.path.join(folder, "start-" + uuid.uuid4().hex), "w").close()

    def count(first=0, each=lambda i: None, until=%d):
        for i in range(first, until):
            print("line", i, flush=True)
            each(i)
            time.sleep(0.1)
""" % LINES

SCRIPT = STEPS + """
    start("/opt/ml/checkpoints")
    count()
    open("/opt/ml/model/done-" + os.environ["SM_CURRENT_HOST"], "w").write(str(os.listdir("/opt/ml/input/data")))
"""

PIPES = STEPS + """
    start("/opt/ml/checkpoints")
    got = []
    def epoch(i):
        if i % 10 == 0:
            with open("/opt/ml/input/data/train_%d" % (i // 10), "rb") as f:
                got.append(f.read().decode())
    count(each=epoch)
    with open("/opt/ml/model/got", "w") as f:
        json.dump(got, f)
"""

PROCESS = STEPS + """
    start("/opt/ml/processing/output/always")
    def keep(i):
        with open("/opt/ml/processing/output/always/%d" % i, "w") as f:
            f.write(str(i))
    count(each=keep)
    open("/opt/ml/processing/output/end/done", "w").close()
"""

SPOT = STEPS + """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    at = "/opt/ml/checkpoints/next"
    first = int(open(at).read()) if os.path.exists(at) else 0
    start("/opt/ml/checkpoints/starts")
    def keep(i):
        with open(at + ".new", "w") as f:
            f.write(str(i + 1))
        os.rename(at + ".new", at)
    count(first, keep, until=%d)
    open("/opt/ml/model/done", "w").close()
""" % SPOT_LINES


@pytest.fixture(scope="module")
def bench(other):
    return ScriptBench(other("crash-jobs", "--spot-pause", "200ms"))


def submit(bench, moment):
    """Creates one job of each kind: {kind: name}."""
    def kept(kind):
        return {"name": f"crash-{kind}-{moment}", "CheckpointConfig": {"S3Uri": f"s3://{bench.bucket}/checkpoints/{kind}-{moment}"}}
    data = f"s3://{bench.bucket}/data/"
    return {
        "script": bench.begin(SCRIPT, channels={"train": data}, **kept("script")),
        "hosts": bench.begin(SCRIPT, hosts=2, channels={"train": data}, **kept("hosts")),
        "pipe": bench.begin(PIPES, channels=[{**channel("train", data), "InputMode": "Pipe"}], **kept("pipe")),
        "spot": bench.begin(SPOT, EnableManagedSpotTraining=True, StoppingCondition={"MaxRuntimeInSeconds": 300, "MaxWaitTimeInSeconds": 600}, **kept("spot")),
        "process": bench.start_processing(PROCESS, name=f"crash-process-{moment}", outputs={"always": "Continuous", "end": "EndOfJob"}),
    }


def clients(bench):
    """New clients for a server that has another port now."""
    for service in ("sagemaker", "s3", "logs"):
        setattr(bench, service, bench.server.client(service))


def test_kill_at_random_moments(bench):
    chance = random.Random(3)
    for i in range(4):
        bench.put(f"data/{i}", b"part %d." % i)
    assert bench.good("print('warm')")["TrainingJobStatus"] == "Completed"  # the environment is made now
    jobs, interrupted = [], 0
    for moment in range(MOMENTS):
        if moment % 4 == 0:
            jobs.append(submit(bench, moment))
        time.sleep(chance.uniform(0, 1.2))
        if moment % 2:
            interrupted += interrupt(bench.server, jobs[-1]["spot"]).returncode == 0
            time.sleep(chance.uniform(0, 0.3))
        bench.server.kill()
        bench.server.start()
        clients(bench)
    assert interrupted >= 1, "some came at a moment when the job ran"
    again = 0
    for names in jobs:
        again += check_spot(bench, names["spot"])
        check_process(bench, names["process"])
        done = {kind: bench.model(check_training(bench, names[kind], hosts)) for kind, hosts in (("script", 1), ("hosts", 2), ("pipe", 1))}
        assert json.loads(done["pipe"]["got"]) == ["".join(f"part {i}." for i in range(4))] * (LINES // 10)
        assert list(done["script"]) == ["done-algo-1"] and sorted(done["hosts"]) == ["done-algo-1", "done-algo-2"]
    assert again == interrupted, "each interruption that was answered happened, and no other"
    poll(lambda: not bench.server.tasks(), 20, "all tasks to be gone")
    for family in "training", "processing":
        folder = bench.server.home / "work" / family
        poll(lambda: not [p for p in folder.iterdir() if p.name[0] != "_"], 20, f"{folder} to be empty")


def numbered(lines):
    return [int(m.group(1)) for line in lines if (m := re.fullmatch(r"line (\d+)", line))]


def starts(names):
    return [n for n in names if n.rpartition("/")[2].startswith("start-")]


def check_training(bench, name, hosts):
    """Looks at a job that ran once on each of its hosts, and returns what Describe says."""
    job = bench.finished(name)
    assert job["TrainingJobStatus"] == "Completed", (name, job.get("FailureReason"))
    assert [t["Status"] for t in job["SecondaryStatusTransitions"]] == ["Starting", "Downloading", "Training", "Uploading", "Completed"], name
    assert len(starts(bench.objects(job["CheckpointConfig"]["S3Uri"]))) == hosts, f"{name}: each host began once"
    streams = bench.log_lines(TRAINING, name + "/")
    assert len(streams) == hosts, (name, list(streams))
    for stream, lines in streams.items():
        assert numbered(lines) == list(range(LINES)), (stream, lines[-60:])
    return job


def check_process(bench, name):
    job = bench.processed(name)
    assert job["ProcessingJobStatus"] == "Completed", (name, job.get("FailureReason"))
    always = bench.objects(bench.results(name, "always"))
    assert len(starts(always)) == 1, name
    assert {k: v for k, v in always.items() if not k.startswith("start-")} == {str(i): b"%d" % i for i in range(LINES)}
    assert list(bench.objects(bench.results(name, "end"))) == ["done"]
    ((stream, lines),) = bench.log_lines(PROCESSING, name + "/").items()
    assert numbered(lines) == list(range(LINES)), (stream, lines[-60:])


def check_spot(bench, name):
    """Looks at a spot job, and tells how often it was interrupted."""
    job = bench.finished(name)
    assert job["TrainingJobStatus"] == "Completed", (name, job.get("FailureReason"))
    states = [t["Status"] for t in job["SecondaryStatusTransitions"]]
    times = states.count("Interrupted")
    begun = ["Starting", "Downloading", "Training", "Interrupted"] * times
    assert states == begun + ["Starting", "Downloading", "Training", "Uploading", "Completed"], (name, states)
    # An attempt may be ended before its script has begun.
    assert 1 <= len(starts(bench.objects(job["CheckpointConfig"]["S3Uri"]))) <= times + 1, name
    ((stream, lines),) = bench.log_lines(TRAINING, name + "/").items()
    steps = numbered(lines)
    # A step that was told and not yet kept when the signal came is told once more.
    assert sorted(set(steps)) == list(range(SPOT_LINES)) and steps == sorted(steps) and len(steps) <= SPOT_LINES + times, (stream, steps)
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]
    return times
