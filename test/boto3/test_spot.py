# SPDX-License-Identifier: Apache-2.0
"""Managed spot training: interruptions, checkpoints, what is billed, and how long a job waits."""

import pytest

from support.refusal import refused
from support.scripts import TRAINING, ScriptBench, interrupt
from support.server import poll
from support.work import unique

# A loop whose state depends on every step in order, kept after each. A part that
# is done twice or left out gives another model.
LOOP = """
    import hashlib, json, os, signal, sys, time

    pause, at = float(sys.argv[sys.argv.index("--pause") + 1]), "/opt/ml/checkpoints/state.json"
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    step, state = 0, "seed"
    if os.path.exists(at):
        with open(at) as f:
            step, state = json.load(f)
    print("begin at step", step, flush=True)
    while step < 200:
        if told:
            print("told to stop after step", step, flush=True)
            sys.exit(0)
        state = hashlib.sha256(f"{state} {step}".encode()).hexdigest()
        step += 1
        with open(at + ".new", "w") as f:
            json.dump([step, state], f)
        os.rename(at + ".new", at)
        print("step", step, state[:8], flush=True)
        time.sleep(pause)
    with open(os.environ["SM_MODEL_DIR"] + "/state", "w") as f:
        f.write(state)
"""


@pytest.fixture(scope="module")
def calm(other):
    """A server that interrupts nothing by itself. The environment is made before a job waits for it."""
    bench = ScriptBench(other("spot", "--spot-pause", "100ms"))
    bench.good("print('warm')")
    return bench


def spot(bench, text=LOOP, pause=0.02, run=300, wait=600, checkpoints=True, **more):
    name = unique("spot")
    if checkpoints:
        more["CheckpointConfig"] = {"S3Uri": f"s3://{bench.bucket}/checkpoints/{name}"}
    return bench.begin(text, name=name, hyper={"pause": pause}, EnableManagedSpotTraining=True,
                       StoppingCondition={"MaxRuntimeInSeconds": run, "MaxWaitTimeInSeconds": wait}, **more)


def uninterrupted(bench):
    return bench.model(bench.good(LOOP, hyper={"pause": 0}))


def states(job):
    return [t["Status"] for t in job["SecondaryStatusTransitions"]]


def whole(bench, name, attempts):
    """Asserts that a job's one log stream has each step once, in order, and that each attempt begins where the one before ended."""
    streams = bench.log_lines(TRAINING, name + "/")
    assert len(streams) == 1, list(streams)
    (lines,) = streams.values()
    assert [int(line.split()[1]) for line in lines if line.startswith("step ")] == list(range(1, 201))
    begun = [int(line.split()[-1]) for line in lines if line.startswith("begin at step")]
    told = [int(line.split()[-1]) for line in lines if line.startswith("told to stop")]
    # One that came before the script could begin leaves no line, and after one that came after the last step nothing is left to do.
    assert len(told) < len(begun) <= attempts
    assert begun == [0, *told] + [200] * (len(begun) - len(told) - 1)


def adds_up(job):
    """Asserts that the times in Describe fit each other and the transitions."""
    trained, billed = job["TrainingTimeInSeconds"], job["BillableTimeInSeconds"]
    assert 0 < billed < trained, (billed, trained)
    run = begun = 0
    for t in job["SecondaryStatusTransitions"]:  # the waits between attempts do not count
        if t["Status"] == "Downloading":
            begun = t["StartTime"].timestamp()
        elif t["Status"] in ("Interrupted", "Completed", "Stopped", "MaxWaitTimeExceeded") and begun:
            run, begun = run + t["StartTime"].timestamp() - begun, 0
    assert abs(trained - run) <= 1.1, (trained, run)
    assert trained <= (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds() + 1


def test_five_interruptions_and_the_same_model(calm):
    name = spot(calm)
    for i in range(5):
        calm.logged(name, f"step {30 * i + 10} ")
        done = interrupt(calm.server, name)
        assert done.returncode == 0 and done.stdout == f"{name} is interrupted\n", done.stderr
        poll(lambda: states(calm.sagemaker.describe_training_job(TrainingJobName=name)).count("Interrupted") == i + 1, 60, "the interruption")
    job = calm.finished(name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert states(job) == ["Starting", "Downloading", "Training", "Interrupted"] * 5 + ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    ends = [t.get("EndTime") for t in job["SecondaryStatusTransitions"]]
    starts = [t["StartTime"] for t in job["SecondaryStatusTransitions"]]
    assert ends[:-1] == starts[1:], "each state ends where the next begins"
    whole(calm, name, attempts=6)
    adds_up(job)
    assert calm.model(job) == uninterrupted(calm)
    assert sorted(calm.objects(job["CheckpointConfig"]["S3Uri"])) == ["state.json"]


def test_a_market_that_interrupts_by_itself(other):
    bench = ScriptBench(other("market", "--spot-interrupt-every", "2s", "--spot-pause", "100ms"))
    job = bench.finished(spot(bench, pause=0.03))
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    times = states(job).count("Interrupted")
    assert times >= 1
    whole(bench, job["TrainingJobName"], attempts=times + 1)
    adds_up(job)
    assert bench.model(job) == uninterrupted(bench), "a job that is no spot job is left alone"


def test_without_checkpoints_it_begins_at_the_start(calm):
    text = """
        import os, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
        print("here", os.listdir("/opt/ml/model"), flush=True)
        open("/opt/ml/model/half", "w").close()
        end = time.time() + 1.5
        while time.time() < end:
            time.sleep(0.01)
    """
    name = spot(calm, text, checkpoints=False)
    calm.logged(name, "here")
    assert interrupt(calm.server, name).returncode == 0
    job = calm.finished(name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert [line for line in calm.log(name) if line.startswith("here")] == ["here []"] * 2


def test_the_wait_ends_a_job(calm):
    name = spot(calm, pause=0.1, run=5, wait=5)
    calm.logged(name, "step 1 ")
    assert interrupt(calm.server, name).returncode == 0
    job = calm.finished(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert "Interrupted" in states(job)
    assert 5 <= (job["TrainingEndTime"] - job["CreationTime"]).total_seconds() < 15
    adds_up(job)


def test_what_cannot_be_interrupted(calm):
    plain = calm.begin(LOOP, hyper={"pause": 1})
    calm.reached(plain, "Training")
    done = interrupt(calm.server, plain)
    assert done.returncode != 0 and "does not use managed spot training" in done.stderr
    calm.sagemaker.stop_training_job(TrainingJobName=plain)
    calm.finished(plain)

    ended = spot(calm, pause=0)
    assert calm.finished(ended)["TrainingJobStatus"] == "Completed"
    done = interrupt(calm.server, ended)
    assert done.returncode != 0 and "Completed" in done.stderr
    done = interrupt(calm.server, "nobody")
    assert done.returncode != 0 and "not found" in done.stderr


@pytest.mark.parametrize("asked, why", [
    ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds. It must be present"),
    ({"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}}, "equal to or greater"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}}, "must not be present"),
])
def test_times_that_do_not_fit(calm, asked, why):
    with refused("ValidationException", why):
        calm.sagemaker.create_training_job(**calm.script("", **asked))
