# SPDX-License-Identifier: Apache-2.0
"""A job's log: how many lines a second reach CloudWatch Logs, whether any is lost, and how late the newest is."""

import json
import time

from containers import Containers
from lab import Result, count, median, ms, spread, table
from support.server import poll

RATE = 50_000


def run(lab):
    result, containers = Result(), Containers(lab, "lines")
    rounds, full, paced = (1, 100_000, 100_000) if lab.quick else (3, 1_000_000, 500_000)
    containers.run("warm", ["lines", "-count", 10])
    file, written, stored, lost = [], [], [], 0
    for n in range(rounds):
        # Beside it, the same program with a file as its output.
        with (lab.dir / "lines.log").open("wb") as out:
            process = lab.popen(lab.dir / "load", "lines", "-count", full, stdout=out)
            assert process.wait(60) == 0
        lab.processes.remove(process)
        said = json.loads((lab.dir / "lines.log").read_bytes().splitlines()[-1])
        file.append(full / (said["ended"] - said["began"]))
        name = f"full-{n}"
        containers.bench.sagemaker.create_training_job(**containers.request(name, ["lines", "-count", full]))
        done = follow(containers, name, full)[1]
        said = containers.said(name)
        written.append(full / (said["ended"] - said["began"]))
        stored.append(full / (done - said["began"]))
        lost += missing(containers, name, full)
    delays, ends = [], []
    for n in range(rounds):
        name = f"paced-{n}"
        containers.bench.sagemaker.create_training_job(**containers.request(name, ["lines", "-count", paced, "-rate", RATE]))
        seen, done = follow(containers, name, paced)
        said = containers.said(name)
        ends.append(paced / (said["ended"] - said["began"]))
        delays.append(seen)
        lost += missing(containers, name, paced)
    total = rounds * (full + paced)
    each = [median(d) for d in delays]
    late = sorted(d for seen in delays for d in seen)
    result.target("Log of a job: lines a second from its first line until all can be read by GetLogEvents", "≥ 50,000", spread(stored, count),
                  f"{spread(file, count)} into a file", spread([s / f for s, f in zip(stored, file)], "{:.2f}"), met=min(stored) >= RATE)
    result.target("Log of a job: lines that were lost, repeated or out of order", "0", f"{lost:,} of {total:,}", met=lost == 0)
    result.target(f"Log of a job at {RATE:,} lines a second: age of the newest line that GetLogEvents gives", "–", spread(each, ms),
                  f"{ms(late[-1])} the most")
    result.say(f"A static program in an image FROM scratch writes lines of 100 bytes, each with its number and its time; {rounds} jobs of {full:,} "
               f"lines at full speed, {rounds} of {paced:,} at {RATE:,} a second. Meanwhile the newest line is asked for every 20 ms, and its "
               "age is that of its time when the answer is here, the request included. After each job all of its log is read, and every number "
               "must be there once, in order.")
    result.say(*table(["what", "lines a second"], [
        ["written into a file, nobody reading", spread(file, count)],
        ["written by the job at full speed", spread(written, count)],
        ["from the job's first line until its last could be read", spread(stored, count)],
        [f"written by the job when {RATE:,} were asked for", spread(ends, count)]]))
    result.say(f"Age of the newest line at {RATE:,} a second: p50 {ms(median(late))}, p99 {ms(late[int(len(late) * 0.99)])}, the most "
               f"{ms(late[-1])}, of {len(late):,} answers.")
    lab.done(containers.server)
    return result


def follow(containers, job, lines):
    """Asks for the newest line until it is the last one. Its ages in seconds before that, and when the last one was seen."""
    poll(lambda: containers.stream(job), 30, "the job's log", every=0.005)
    stream, ages, began = containers.stream(job), [], time.monotonic()
    while True:
        events = containers.bench.logs.get_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream, limit=2)["events"]
        now = time.time()
        newest = next((e["message"].split() for e in reversed(events) if e["message"][:1].isdigit()), None)
        if newest:
            if int(newest[0]) == lines - 1:
                return ages, now
            ages.append(now - int(newest[1]) / 1e6)
        assert time.monotonic() - began < 120, f"the log of {job} does not end: {events}"
        time.sleep(0.02)


def missing(containers, job, lines):
    """How many of a job's lines are not where they should be in its log."""
    containers.bench.finished(job)
    token, at, wrong = {}, 0, 0
    while True:
        page = containers.events(job, startFromHead=True, **token)
        for e in page["events"]:
            if e["message"][:1] == "{":  # what the program says at its end
                continue
            wrong += int(e["message"].split()[0]) != at
            at += 1
        if page["nextForwardToken"] == token.get("nextToken"):
            return wrong + abs(lines - at)
        token = {"nextToken": page["nextForwardToken"]}
