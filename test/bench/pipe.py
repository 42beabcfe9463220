# SPDX-License-Identifier: Apache-2.0
"""Pipe mode: a job that reads its FIFO, and the feeder alone, beside `cat` of the file."""

import json
import os
import pathlib
import struct
import subprocess
import threading
import time

from containers import Containers
from lab import Result, median, mib, ms, peak_memory, processor_seconds, spread, table

RECORD = 100_000


def run(lab):
    result, containers = Result(), Containers(lab, "pipe")
    rounds, size = (2, 200_000_000) if lab.quick else (7, 2_000_000_000)
    record = struct.pack("<II", 0xCED7230A, RECORD) + os.urandom(RECORD)
    count = size // len(record)
    whole, objects = containers.folder("records") / "part-0", []  # an object of the store
    with whole.open("wb") as f:
        for _ in range(count // 10):
            f.write(record * 10)
    piped(lab, result, containers, whole, rounds)
    lab.done(containers.server)
    folder = lab.dir / "feeders"
    (folder / "objects").mkdir(parents=True)
    for i in range(count // 10):
        objects.append(folder / "objects" / f"{i:06}")
        objects[-1].write_bytes(record[8:] * 10)
    cases = [("one object of RecordIO", [whole], "RecordIO"), (f"{len(objects):,} objects of 1 MB as they are", objects, "None"),
             (f"{len(objects):,} objects of 1 MB, each made a record", objects, "RecordIO")]
    rows = []
    for i, (what, paths, wrap) in enumerate(cases):
        feeder = Feeder(lab, folder / str(i), paths, wrap)
        ratios, ours, theirs, before = [], [], [], peak_memory(feeder.process.pid)
        for epoch in range(rounds):
            file = cat(*paths)
            fifo = cat(feeder.fifo(epoch))
            theirs.append(file)
            ours.append(fifo)
            ratios.append(file / fifo)
        after = feeder.stop()
        rows.append([what, speed(size, ours), speed(size, theirs), spread(ratios, "{:.2f}"), mib(before), mib(after)])
    result.say("The feeder, `sagebrush feed`, alone: `cat` of the FIFO of an epoch in place of the job.")
    result.say(*table(["what is sent", "FIFO", "files", "ratio", "feeder before the first byte", "feeder's peak"], rows))
    return result


def piped(lab, result, containers, whole, rounds):
    """Training jobs that read an epoch, in turns with cat."""
    size, path = whole.stat().st_size, "/opt/ml/input/data/train"
    with whole.open("rb") as f:
        containers.bench.put("few/part-0", f.read(size // 20 // (RECORD + 8) * (RECORD + 8)))
    containers.run("warm", ["read", "-limit", 1, path])  # unpacks the image

    def epoch(name, prefix):
        with Feeding(containers.server) as feeding:
            _, said = containers.run(name, ["read", path + "_0"], channel=containers.uri(prefix), mode="Pipe", RecordWrapperType="RecordIO",
                                     every=100)
        return said, feeding

    server = containers.server.process.pid
    peak_memory(server, reset=True)
    # The same with a twentieth of the data: what grows with jobs alone. Such a feeder may be gone before it is seen.
    few = [most for most in (epoch(f"few-{n}", "few")[1].most for n in range(rounds)) if most]
    assert few, "no feeder was seen"
    idle = peak_memory(server, reset=True)
    ratios, ours, theirs, feeders, shares, waits = [], [], [], [], [], []
    for n in range(rounds):
        before = os.times()
        file = cat(whole)
        after = os.times()
        said, feeding = epoch(f"pipe-{n}", "records")
        assert said["bytes"] == size and feeding.most, f"{said} of {size} bytes; the feeder's memory is {feeding.most}"
        fifo = said["ended"] - said["began"]
        theirs.append(file)
        ours.append(fifo)
        ratios.append(file / fifo)
        feeders.append(feeding.most)
        waits.append(said["first"] - said["began"])
        used = after.children_user + after.children_system - before.children_user - before.children_system
        shares.append((used, said["cpuSeconds"], feeding.used))
    now = peak_memory(server)
    what = f"Pipe mode, {size / 1e9:.1f} GB"
    result.target(f"{what} of RecordIO in a job, beside `cat` of the file", "≥ 0.5x", speed(size, ours), speed(size, theirs),
                  spread(ratios, "{:.2f}"), met=median(ratios) >= 0.5)
    result.target(f"{what}: peak memory of the feeder", "flat", spread(feeders, mib), f"{spread(few, mib)} with a twentieth of it",
                  met=max(feeders) < max(few) + (16 << 20))
    result.target(f"{what}: peak memory of the server", "flat", mib(now), f"{mib(idle)} with a twentieth of it", met=now < idle + (32 << 20))
    result.say(f"{rounds} training jobs in Pipe mode, in turns with `cat` of the same file of {size / 1e9:.1f} GB, RecordIO with records of "
               f"{RECORD:,} bytes. The job is a static program in an image FROM scratch that reads the FIFO of the first epoch in blocks of "
               "128 KiB; its time is from its start to the end of the FIFO. All of the file is in the page cache. The ratio is of one round. "
               "Before them as many jobs read a twentieth of it: flat means that the feeder takes less than 16 MiB more for all of the file "
               "than for these, and the server less than 32 MiB.")
    result.say("`cat` keeps one processor busy, a FIFO two at once, its reader's and its feeder's, so that the ratio falls where other programs "
               f"want them too. In processor time, median: `cat` {median(s[0] for s in shares):.2f} s; the reader "
               f"{median(s[1] for s in shares):.2f} s and the feeder {median(s[2] for s in shares):.2f} s. The first byte "
               f"came {spread(waits, ms)} after the program's start, which is part of its time.")


def speed(size, seconds):
    return spread([size / s / 1e6 for s in seconds], "{:,.0f} MB/s")


class Feeding:
    """The largest resident memory of the feeder that runs while this is open, and the processor time it was last seen to have used."""

    def __init__(self, server):
        self.server, self.most, self.used, self.ended = server, 0, 0, threading.Event()
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        feeder = None
        while not self.ended.wait(0.05 if feeder else 0.01):  # seldom, for it costs what is measured
            feeder = feeder or self._find()
            if not feeder:
                continue
            try:
                self.most = max(self.most, peak_memory(feeder))
                self.used = max(self.used, processor_seconds([feeder]))
            except OSError:  # it has ended
                feeder = None

    def _find(self):
        for pid in self.server.tasks():
            try:
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if command[1:2] == [b"feed"]:
                return pid
        return None

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def cat(*paths):
    """Seconds that it takes to read files to their ends."""
    begin = time.monotonic()
    subprocess.run(["cat", *paths], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begin


class Feeder:
    """A feeder of one channel."""

    def __init__(self, lab, folder, paths, wrap):
        folder.mkdir()
        self.data = folder / "data"
        (folder / "list").write_text("".join(json.dumps([{"Path": str(p)}]) + "\n" for p in paths))
        spec = {"Version": 1, "Failure": str(folder / "failure.json"),
                "Channels": [{"Name": "train", "Dir": str(self.data), "List": str(folder / "list"), "Wrap": wrap}]}
        (folder / "spec.json").write_text(json.dumps(spec))
        self.process = lab.popen(lab.binary, "feed", folder / "spec.json", stdout=subprocess.DEVNULL)
        self.lab = lab
        self.fifo(0)

    def fifo(self, epoch):
        path, begin = self.data / f"train_{epoch}", time.monotonic()
        while not path.exists():
            assert self.process.poll() is None and time.monotonic() - begin < 30, "the feeder does not make its FIFO"
            time.sleep(0.001)
        return path

    def stop(self):
        peak = peak_memory(self.process.pid)
        self.process.terminate()
        assert self.process.wait(30) == 0, "an epoch was cut off"
        self.lab.processes.remove(self.process)
        return peak
