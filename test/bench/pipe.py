# SPDX-License-Identifier: Apache-2.0
"""Pipe mode: a container that reads a FIFO beside one that reads the file."""

import json
import os
import pathlib
import struct
import subprocess
import time

from lab import Result, median, mib, spread, table

RECORD = 100_000


def run(lab):
    result = Result()
    rounds, size = (1, 200_000_000) if lab.quick else (5, 2_000_000_000)
    folder = lab.dir / "pipe"
    (folder / "objects").mkdir(parents=True)
    record = struct.pack("<II", 0xCED7230A, RECORD) + os.urandom(RECORD)
    count = size // len(record)
    whole, objects = folder / "records", []
    with whole.open("wb") as f:
        for _ in range(count // 10):
            f.write(record * 10)
    for i in range(count // 10):
        objects.append(folder / "objects" / f"{i:06}")
        objects[-1].write_bytes(record[8:] * 10)
    cases = [("one object of RecordIO", [whole], "RecordIO"), (f"{len(objects):,} objects of 1 MB as they are", objects, "None"),
             (f"{len(objects):,} objects of 1 MB, each made a record", objects, "RecordIO")]
    rows = []
    for i, (what, paths, wrap) in enumerate(cases):
        feeder = Feeder(lab, folder / str(i), paths, wrap)
        ratios, ours, theirs, before = [], [], [], feeder.peak()
        for epoch in range(rounds):
            file = cat(*paths)
            fifo = cat(feeder.fifo(epoch))
            theirs.append(file)
            ours.append(fifo)
            ratios.append(file / fifo)
        after = feeder.stop()
        if i == 0:
            result.target(f"Pipe mode, {size / 1e9:g} GB of RecordIO beside `cat` of the file", "≥ 0.5x", spread([size / s / 1e6 for s in ours], "{:.0f} MB/s"),
                          spread([size / s / 1e6 for s in theirs], "{:.0f} MB/s"), spread(ratios, "{:.2f}"), met=median(ratios) >= 0.5)
            result.target("Pipe mode, the feeder's peak memory", "flat", mib(after), f"{mib(before)} before the first byte")
        rows.append([what, spread([size / s / 1e6 for s in ours], "{:.0f} MB/s"), spread([size / s / 1e6 for s in theirs], "{:.0f} MB/s"),
                     spread(ratios, "{:.2f}"), mib(after)])
    result.say(f"`cat` of the FIFO of an epoch, and of the same {size / 1e9:g} GB as files, in turns, {rounds} of each; all of it is in the page cache. "
               "The feeder is `sagebrush feed`, as it runs beside a training container.")
    result.say(*table(["what is sent", "FIFO", "files", "ratio", "feeder's peak memory"], rows))
    return result


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

    def peak(self):
        """Its largest resident memory so far, in bytes."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the kernel does not tell the peak memory")

    def stop(self):
        peak = self.peak()
        self.process.terminate()
        assert self.process.wait(30) == 0, "an epoch was cut off"
        self.lab.processes.remove(self.process)
        return peak
