# SPDX-License-Identifier: Apache-2.0
"""InvokeEndpoint beside a bare net/http handler, FastAPI and MLServer, in alternating rounds."""

import peers
from lab import Result, count, machine_seconds, median, memory, mib, ms, processor_seconds, proportional_memory, spread, table, us
from support.work import csv, members

CONNECTIONS = (1, 8, 64)
OURS, BARE = "Sagebrush", "bare net/http"
FASTAPI = ("FastAPI, 1 worker", "FastAPI, 2 workers")
MLSERVER = ("MLServer", "MLServer, no worker")
ALL = (OURS, BARE, *FASTAPI, *MLSERVER)


def run(lab):
    result, bench = Result(), lab.workbench("invoke")
    model = bench.train("cancer", hyper={"num_round": "50"})["ModelArtifacts"]["S3ModelArtifacts"]
    endpoint = bench.deploy(model, name="cancer")
    row = csv(bench.held_out[:1]).strip()
    expected, answer = bench.ask(endpoint, row, accept="text/csv")
    file, sent, path = lab.file("model", members(bench.get(model))["xgboost-model"]), lab.file("row.csv", row), f"/endpoints/{endpoint}/invocations"
    all_of = {OURS: peers.Peer(bench.server.url, path, sent, {"server": [bench.server.process.pid], "serving task": sorted(bench.server.tasks())}),
              BARE: peers.bare(lab, path, sent, expected, answer["ResponseMetadata"]["HTTPHeaders"])}
    for workers, name in enumerate(FASTAPI, 1):
        all_of[name] = peers.fastapi(lab, file, path, sent, workers)
    for workers, name in zip((1, 0), MLSERVER):
        all_of[name] = peers.mlserver(lab, file, row, workers)
    for name, peer in all_of.items():  # all give the same score
        said = peers.score(peer.ask()) if name != OURS else float(expected)
        assert abs(said - float(expected)) < 1e-6, f"{name} answers {said}, we answer {expected}"

    def measure(name, connections, seconds, client="lean"):
        peer = all_of[name]
        before = {part: processor_seconds(pids) for part, pids in peer.parts.items()}
        busy, whole = machine_seconds()
        d = lab.load("drive", *peer.at(bench.server.home), "-conns", connections, "-for", f"{seconds}s", "-client", client)
        busy, whole = machine_seconds()[0] - busy, machine_seconds()[1] - whole
        spent = {part: processor_seconds(pids) - before[part] for part, pids in peer.parts.items()}
        spent["client"] = d["cpuSeconds"]
        d["cpu"] = {part: s / d["sent"] for part, s in spent.items()}
        d["others"] = max(0, busy - sum(spent.values())) / whole
        return d

    rounds, seconds = (1, 1) if lab.quick else (5, 3)
    seen = {(name, c): [] for c in CONNECTIONS for name in ALL}
    plain = {(name, c): [] for c in CONNECTIONS for name in (OURS, BARE)}
    for name in ALL:  # the first requests of a program are not like the others
        measure(name, 64, 0.5)
    for r in range(rounds):
        for c in CONNECTIONS:
            order = ALL if r % 2 == 0 else ALL[::-1]
            for name in order:
                seen[name, c].append(measure(name, c, seconds))
            for name in (n for n in order if (n, c) in plain):
                plain[name, c].append(measure(name, c, min(seconds, 2), "ordinary"))
    held = {name: (sum(memory(p)[0] for p in all_of[name].pids), sum(map(proportional_memory, all_of[name].pids)), len(all_of[name].pids))
            for name in ALL}
    targets(result, seen, plain, held)
    result.say(f"{rounds} round(s) of {seconds} s for each server, in turn, the order reversed every other round; ratios are within a "
               f"round. The request is one CSV row ({len(row)} bytes), the same numbers in the JSON of its protocol for MLServer, signed afresh "
               f"each time, for all servers; the answer has {len(expected)} bytes. Median (least–most) of the rounds; latencies include the signing.")
    report(result, seen, plain, held)
    lab.done(bench.server)
    return result


def ratios(seen, of, to, c):
    """Of each round; of several servers the best counts."""
    return [a["perSecond"] / max(b["perSecond"] for b in those) for a, *those in zip(seen[of, c], *(seen[name, c] for name in to))]


def targets(result, seen, plain, held):
    every = [d for found in (seen, plain) for ds in found.values() for d in ds]
    errors = sum(d["errors"] for d in every)
    result.target("InvokeEndpoint, errors of all requests sent to all servers", "0",
                  f"{errors} of {count(sum(d['sent'] for d in every))}", met=errors == 0)
    for c in CONNECTIONS:
        of = f"InvokeEndpoint per second, {c} connection{'s' if c > 1 else ''}"
        ours = count(median(d["perSecond"] for d in seen[OURS, c]))
        for named, those, least in ((BARE, (BARE,), 0.5), *((name, (name,), 8) for name in FASTAPI), ("the better MLServer", MLSERVER, 3)):
            r = ratios(seen, OURS, those, c)
            result.target(of, f"≥ {least}x {named}", ours, count(max(median(d["perSecond"] for d in seen[name, c]) for name in those)),
                          spread(r, "{:.2f}"), median(r) >= least)
    p99 = [d["p99"] for d in seen[OURS, 1]]
    result.target("InvokeEndpoint p99, 1 connection", "< 2 ms", spread(p99, ms),
                  ms(median(d["p99"] for d in seen[BARE, 1])) + " bare", met=median(p99) < 0.002)
    least = min((name for name in ALL if name not in (OURS, BARE)), key=lambda name: held[name][1])
    result.target("InvokeEndpoint, memory of server and task after the rounds (PSS)", "–", mib(held[OURS][1]), f"{mib(held[least][1])} {least}",
                  f"{held[OURS][1] / held[least][1]:.2f}")


def report(result, seen, plain, held):
    rows = []
    for c in CONNECTIONS:
        for name in ALL:
            ds = seen[name, c]
            rows.append([c, name, spread((d["perSecond"] for d in ds), count), spread((d["p50"] for d in ds), ms),
                         spread((d["p99"] for d in ds), ms), ms(max(d["max"] for d in ds)), sum(d["errors"] for d in ds)])
    result.say(*table(["connections", "server", "requests/s", "p50", "p99", "slowest", "errors"], rows))
    result.say("Where the time goes: processor time per request, user and system, median of the rounds. All of it comes from the same "
               "cores, the client's too.")
    rows = []
    for c in CONNECTIONS:
        for name in ALL:
            cpu = {part: us(median(d["cpu"][part] for d in seen[name, c])) for part in seen[name, c][0]["cpu"]}
            rows.append([c, name, cpu["server"], cpu.get("serving task", "–"), cpu["client"],
                         us(median(sum(v for p, v in d["cpu"].items() if p != "client") for d in seen[name, c]))])
    result.say(*table(["connections", "server", "server process", "serving task", "client", "server and task"], rows))
    result.say("The same with Go's own `http.Client` in place of the lean one, as a program would see it:")
    rows = []
    for c in CONNECTIONS:
        rows.append([c, spread((d["perSecond"] for d in plain[OURS, c]), count), spread((d["perSecond"] for d in plain[BARE, c]), count),
                     spread(ratios(plain, OURS, (BARE,), c), "{:.2f}"), spread((d["p99"] for d in plain[OURS, c]), ms)])
    result.say(*table(["connections", "Sagebrush", "bare net/http", "ratio", "p99 of Sagebrush"], rows))
    result.say("Memory after the rounds, all processes of a server added: resident, which counts a page that two share twice, and its "
               "proportional share (PSS), which counts it once. Sagebrush's is the whole server with its stores, S3 and registry, and the task.")
    result.say(*table(["server", "resident", "PSS", "processes"], [[name, mib(held[name][0]), mib(held[name][1]), held[name][2]] for name in ALL]))
    every = [d for found in (seen, plain) for ds in found.values() for d in ds]
    result.say("Other programs used " + spread((d["others"] for d in every), "{:.0%}") + " of the machine's processors during the rounds.")
