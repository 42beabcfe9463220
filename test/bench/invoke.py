# SPDX-License-Identifier: Apache-2.0
"""InvokeEndpoint beside a bare net/http handler and beside FastAPI, in alternating rounds."""

import json
import os
import socket
import subprocess
import urllib.request

from lab import Result, count, machine_seconds, median, ms, processor_seconds, spread, table, us
from support.server import poll
from support.work import csv, members

CONNECTIONS = (1, 32)
OURS, BARE, PEER, PEER2 = "Sagebrush", "bare net/http", "FastAPI, 1 worker", "FastAPI, 2 workers"


def run(lab):
    result, bench = Result(), lab.workbench("invoke")
    python = lab.bench_python()
    model = bench.train("cancer", hyper={"num_round": "50"})["ModelArtifacts"]["S3ModelArtifacts"]
    endpoint = bench.deploy(model, name="cancer")
    body = csv(bench.held_out[:1]).strip()
    expected, answer = bench.ask(endpoint, body, accept="text/csv")
    file = lab.file("model", members(bench.get(model))["xgboost-model"])
    sent = lab.file("row.csv", body)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]

    def free_port():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def peer(workers):
        port = free_port()
        p = lab.popen(python, "-m", "uvicorn", "peer:app", "--port", port, "--workers", workers, "--no-access-log", "--log-level",
                      "warning", cwd=os.path.dirname(os.path.abspath(__file__)),
                      env={**os.environ, "PEER_MODEL": str(file), "PYTHONDONTWRITEBYTECODE": "1"})

        def up():
            assert p.poll() is None, "uvicorn has ended"
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1).status == 200
            except OSError:
                return False
        poll(up, 60, "uvicorn to answer")
        return f"http://127.0.0.1:{port}", family(p.pid)

    copied = [f"{name}: {value}" for name, value in headers.items() if name not in ("date", "content-length", "connection")]
    bare = lab.popen(lab.dir / "load", "bare", "-answer", lab.file("answer", expected.encode()),
                     *(a for h in copied for a in ("-header", h)), stdout=subprocess.PIPE)
    bare_url = json.loads(bare.stdout.readline())["url"]
    parts = {OURS: {"server": [bench.server.process.pid], "serving task": sorted(bench.server.tasks())},
             BARE: {"server": [bare.pid]}}
    urls = {OURS: bench.server.url, BARE: bare_url}
    for name, workers in ((PEER, 1), (PEER2, 2)):
        urls[name], pids = peer(workers)
        parts[name] = {"server": pids}
    path = f"/endpoints/{endpoint}/invocations"
    for name, url in urls.items():  # all give the same score
        said = urllib.request.urlopen(urllib.request.Request(url + path, data=body), timeout=5).read().decode() \
            if name != OURS else expected
        assert abs(float(said) - float(expected)) < 1e-6, f"{name} answers {said}, we answer {expected}"

    def measure(name, connections, seconds, client="lean"):
        before = {part: processor_seconds(pids) for part, pids in parts[name].items()}
        busy, whole = machine_seconds()
        d = lab.load("drive", "-url", urls[name], "-home", bench.server.home, "-path", path, "-body", sent, "-conns", connections,
                     "-for", f"{seconds}s", "-client", client)
        busy, whole = machine_seconds()[0] - busy, machine_seconds()[1] - whole
        spent = {part: processor_seconds(pids) - before[part] for part, pids in parts[name].items()}
        spent["client"] = d["cpuSeconds"]
        d["cpu"] = {part: s / d["sent"] for part, s in spent.items()}
        d["others"] = max(0, busy - sum(spent.values())) / whole
        return d

    rounds, seconds = (1, 1) if lab.quick else (5, 4)
    seen = {(name, c): [] for c in CONNECTIONS for name in urls}
    plain = {(name, c): [] for c in CONNECTIONS for name in (OURS, BARE)}
    for name in urls:  # the first requests of a program are not like the others
        measure(name, 32, 0.5)
    for r in range(rounds):
        for c in CONNECTIONS:
            order = list(urls) if r % 2 == 0 else list(urls)[::-1]
            for name in order:
                seen[name, c].append(measure(name, c, seconds))
            for name in (n for n in order if (n, c) in plain):
                plain[name, c].append(measure(name, c, min(seconds, 2), "ordinary"))
    report(result, seen, plain, rounds, seconds, len(body), len(expected))
    lab.done(bench.server)
    return result


def family(pid):
    """A process and its children, uvicorn's workers for one."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            children = f.read().split()
    except OSError:
        children = []
    return [pid, *(p for child in children for p in family(int(child)))]


def ratios(seen, of, to, c):
    return [a["perSecond"] / b["perSecond"] for a, b in zip(seen[of, c], seen[to, c])]


def report(result, seen, plain, rounds, seconds, sent, answered):
    every = [d for found in (seen, plain) for ds in found.values() for d in ds]
    errors = sum(d["errors"] for d in every)
    result.target("InvokeEndpoint, errors of all requests sent to all servers", "0",
                  f"{errors} of {count(sum(d['sent'] for d in every))}", met=errors == 0)
    for c in CONNECTIONS:
        of = f"InvokeEndpoint per second, {c} connection{'s' if c > 1 else ''}"
        ours = count(median(d["perSecond"] for d in seen[OURS, c]))
        for name, least in ((BARE, 0.4), (PEER, 5), (PEER2, 5)):
            r = ratios(seen, OURS, name, c)
            result.target(of, f"≥ {least}x {name}", ours, count(median(d["perSecond"] for d in seen[name, c])),
                          spread(r, "{:.2f}"), median(r) >= least)
    p99 = [d["p99"] for d in seen[OURS, 1]]
    result.target("InvokeEndpoint p99, 1 connection", "< 2 ms", spread(p99, ms),
                  ms(median(d["p99"] for d in seen[BARE, 1])) + " bare", met=median(p99) < 0.002)

    result.say(f"{rounds} round(s) of {seconds} s for each server, in turn, the order reversed every other round; ratios are within a "
               f"round. The request is one CSV row ({sent} bytes), signed afresh each time, for all servers; the answer has {answered} "
               "bytes. Median (least–most) of the rounds; latencies include the signing.")
    rows = []
    for c in CONNECTIONS:
        for name in (OURS, BARE, PEER, PEER2):
            ds = seen[name, c]
            rows.append([c, name, spread((d["perSecond"] for d in ds), count), spread((d["p50"] for d in ds), ms),
                         spread((d["p99"] for d in ds), ms), ms(max(d["max"] for d in ds)), sum(d["errors"] for d in ds)])
    result.say(*table(["connections", "server", "requests/s", "p50", "p99", "slowest", "errors"], rows))
    result.say("Where the time goes: processor time per request, user and system, median of the rounds. All of it comes from the same "
               "cores, the client's too.")
    rows = []
    for c in CONNECTIONS:
        for name in (OURS, BARE, PEER, PEER2):
            cpu = {part: us(median(d["cpu"][part] for d in seen[name, c])) for part in seen[name, c][0]["cpu"]}
            rows.append([c, name, cpu["server"], cpu.get("serving task", "–"), cpu["client"],
                         us(median(sum(v for p, v in d["cpu"].items() if p != "client") for d in seen[name, c]))])
    result.say(*table(["connections", "server", "server process", "serving task", "client", "server and task"], rows))
    result.say("The same with Go's own `http.Client` in place of the lean one, as a program would see it:")
    rows = []
    for c in CONNECTIONS:
        rows.append([c, spread((d["perSecond"] for d in plain[OURS, c]), count), spread((d["perSecond"] for d in plain[BARE, c]), count),
                     spread(ratios(plain, OURS, BARE, c), "{:.2f}"), spread((d["p99"] for d in plain[OURS, c]), ms)])
    result.say(*table(["connections", "Sagebrush", "bare net/http", "ratio", "p99 of Sagebrush"], rows))
    result.say("Other programs used " + spread((d["others"] for d in every), "{:.0%}") + " of the machine's processors during the rounds.")
