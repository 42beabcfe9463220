# SPDX-License-Identifier: Apache-2.0
"""File and FastFile mode: how soon a job sees a large channel, and what disk it takes."""

import os
import threading

from containers import Containers, disk
from lab import Result, ms, spread, table

OBJECTS = 10


def run(lab):
    result, containers = Result(), Containers(lab, "channels")
    size, rounds = (500_000_000, 2) if lab.quick else (5_000_000_000, 10)
    # Objects are files of the store's folder; these have all their blocks, so that a copy would show.
    whole = containers.folder("large")
    for i in range(OBJECTS):
        with (whole / f"part-{i:02}").open("wb") as f:
            os.posix_fallocate(f.fileno(), 0, size // OBJECTS)
    one = containers.bench.put("small/part-00", b"x", up=1)
    kinds = [("File, the whole folder", "File", containers.uri("large"), size),
             ("FastFile, the whole folder", "FastFile", containers.uri("large"), size),
             ("File, a prefix within a folder", "File", containers.uri("large") + "part-0", size), ("File, one byte", "File", one, 1)]
    assert sum(p.stat().st_size for p in whole.iterdir()) == size
    containers.run("warm", ["read", "-limit", 1, "/opt/ml/input/data/train"], channel=one)  # unpacks the image
    folder = "/opt/ml/input/data/train"
    alone = [lab.measure(lab.dir / "load", "read", "-limit", 1, whole)["seconds"] for _ in range(rounds)]
    before, rows = disk(containers.server.home), []
    for i, (what, mode, uri, octets) in enumerate(kinds):
        created, program, all_of_it = [], [], []
        for n in range(rounds):
            seen, said = containers.run(f"first-{i}-{n}", ["read", "-limit", 1, folder], channel=uri, mode=mode)
            assert said["bytes"] == 1, said
            created.append(said["first"] - seen["began"])
            program.append(said["first"] - said["began"])
            all_of_it.append(seen["seconds"])
        now = disk(containers.server.home)
        with Watch(containers.server.home) as watch:
            _, said = containers.run(f"all-{i}", ["read", folder], channel=uri, mode=mode)
        assert said["bytes"] == octets, said
        more = watch.most - now
        rows.append([what, spread(created, ms), spread(program, ms), spread(all_of_it, ms), f"{more / 1e6:.1f} MB"])
        if uri == containers.uri("large"):
            result.target(f"{mode} mode, {size / 1e9:g} GB: CreateTrainingJob to the first byte read", "< 200 ms", spread(created, ms),
                          f"{spread(alone, ms)} the program alone", met=max(created) < 0.2)
            result.target(f"{mode} mode, {size / 1e9:g} GB: disk that the job takes while it reads all", "no copy", f"{more / 1e6:.1f} MB",
                          f"{before / 1e9:.2f} GB in the home before", met=more < size / 100)
    result.say(f"{size / 1e9:g} GB in {OBJECTS} objects; the job is a static program that reads the first byte and ends, {rounds} jobs of each "
               f"kind. The program alone on the same files, its process and all: {spread(alone, ms)}. Disk is that of all files in the home, "
               "looked at again and again while one more job reads all that it was given: the most, less what it was before that job.")
    result.say(*table(["channel", "CreateTrainingJob to the first byte", "the program's start to it", "CreateTrainingJob to Completed",
                       "disk more"], rows))
    lab.done(containers.server)
    return result


class Watch:
    """The most disk that a folder takes while this is open."""

    def __init__(self, folder):
        self.folder, self.most, self.ended = folder, 0, threading.Event()
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        while True:
            self.most = max(self.most, disk(self.folder))
            if self.ended.wait(0.02):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
