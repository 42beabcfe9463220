# SPDX-License-Identifier: Apache-2.0
"""The program itself: the demonstration, the start, size and memory."""

import http.client
import json
import os
import shutil
import subprocess
import time

from lab import Result, memory, mib, ms, spread, table


def run(lab):
    result = Result()
    first, second, fresh, again, idle, anonymous, task = [], [], [], [], [], [], []
    for i in range(1 if lab.quick else 5):
        home = lab.dir / f"demo-{i}"
        for took in (first, second):
            begin = time.monotonic()
            done = subprocess.run([lab.binary, "demo", "--home", home, "--listen", "127.0.0.1:0", "--json"], capture_output=True, text=True,
                                  check=True)
            took.append(time.monotonic() - begin)
            seen = json.loads(done.stdout)
            assert seen["accuracy"] > 0.9, seen
        subprocess.run([lab.binary, "demo", "--home", home, "--stop"], capture_output=True, check=True)
        shutil.rmtree(home)
    for i in range(2 if lab.quick else 10):
        home = lab.dir / f"start-{i}"
        fresh.append(start(lab, home)[0])
        took, rss, anon = start(lab, home, settle=0 if i else 2)
        again.append(took)
        if rss:
            idle.append(rss)
            anonymous.append(anon)
        shutil.rmtree(home)
    bench = lab.workbench("footprint")
    endpoint = bench.deploy(bench.train("footprint")["ModelArtifacts"]["S3ModelArtifacts"])
    bench.predict(endpoint, bench.held_out[:1])
    serving = [memory(p)[0] for p in bench.server.tasks()]
    task.append(max(serving))
    lab.done(bench.server)

    result.target("second `sagebrush demo`", "< 10 s", spread(second, seconds), met=max(second) < 10)
    result.target("server start to /healthz", "–", spread(again, ms), spread(fresh, ms) + " first start")
    result.target("binary", "–", mib(lab.binary.stat().st_size))
    result.target("resident memory, idle server", "–", mib(idle[0]))
    result.say("Each demonstration has a fresh home; the first run starts the server and makes the home, the second uses both. A start is "
               "from the command to the first answer of /healthz; the first one makes the home, its database and its keys.")
    result.say(*table(["what", "value"], [
        [f"first `sagebrush demo`, {len(first)} homes", spread(first, seconds)],
        ["second `sagebrush demo`", spread(second, seconds)],
        [f"first start of a home to /healthz, {len(fresh)} homes", spread(fresh, ms)],
        ["later start to /healthz", spread(again, ms)],
        ["binary, stripped, static", mib(lab.binary.stat().st_size)],
        ["idle server 2 s after its start, resident", f"{mib(idle[0])}, of which {mib(anonymous[0])} are not pages of the binary"],
        ["processes of an endpoint with one instance, resident", ", ".join(mib(s) for s in sorted(serving))]]))
    return result


def seconds(value):
    return f"{value:.2f} s"


def start(lab, home, settle=0):
    """Seconds from the command to /healthz, and the resident memory after a pause of settle seconds."""
    told = home / "server.json"
    told.unlink(missing_ok=True)
    begin = time.monotonic()
    p = lab.popen(lab.binary, "serve", "--home", home, "--listen", "127.0.0.1:0", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            url = json.loads(told.read_text())["url"]
            c = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
            c.request("GET", "/healthz")
            if c.getresponse().status == 200:
                break
        except (OSError, ValueError):  # not there yet, or half written
            assert p.poll() is None and time.monotonic() - begin < 30, "the server does not start"
        time.sleep(0.001)
    took = time.monotonic() - begin
    c.close()
    rss = anon = None
    if settle:
        time.sleep(settle)
        rss, anon = memory(p.pid)
    p.terminate()
    assert p.wait(30) == os.EX_OK
    lab.processes.remove(p)
    return took, rss, anon
