# SPDX-License-Identifier: Apache-2.0
"""XGBoost at the size of a real table: ours beside the Python library."""

import json
import re
import shutil
import sys

import numpy

from lab import Result, median, mib, spread, table

PARAMETERS = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": "6", "eta": "0.3", "eval_metric": "logloss"}

PEER = """
import json, sys
import numpy, xgboost
rows = numpy.loadtxt(sys.argv[1], delimiter=",", dtype=numpy.float32)
data = xgboost.DMatrix(rows[:, 1:], label=rows[:, 0])
seen = {}
booster = xgboost.train(json.loads(sys.argv[2]), data, int(sys.argv[3]), evals=[(data, "train")], evals_result=seen, verbose_eval=False)
booster.save_model(sys.argv[4])
print("logloss", seen["train"]["logloss"][-1], "version", xgboost.__version__, file=sys.stderr)
"""


def higgs(rows):
    """Rows like those of the HIGGS set: 28 measurements, some skewed, and a label that depends on a few products of them."""
    draw = numpy.random.default_rng(11)
    x = draw.standard_normal((rows, 28))
    x[:, 7:14] = numpy.exp(0.5 * x[:, 7:14])
    z = x[:, 0] * x[:, 1] + numpy.abs(x[:, 2]) - x[:, 8] * x[:, 9] + 0.5 * numpy.sin(3 * x[:, 3]) * x[:, 10]
    y = z + draw.standard_normal(rows) > numpy.median(z)
    return numpy.column_stack([y, x])


def run(lab):
    result, python = Result(), lab.python("bench")
    rows, rounds, times = (20_000, 20, 1) if lab.quick else (200_000, 100, 3)
    root = lab.dir / "higgs"
    for folder in ("input/config", "input/data/train"):
        (root / folder).mkdir(parents=True)
    file = root / "input/data/train/part-0.csv"
    numpy.savetxt(file, higgs(rows), fmt="%.6g", delimiter=",")
    script = lab.file("peer.py", PEER.encode())
    (root / "input/config/inputdataconfig.json").write_text(json.dumps({"train": {
        "TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None", "ContentType": "text/csv"}}))
    (root / "input/config/resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))

    def ours(n):
        shutil.rmtree(root / "model", ignore_errors=True)
        (root / "input/config/hyperparameters.json").write_text(json.dumps({**PARAMETERS, "num_round": str(n)}))
        m = lab.measure(lab.binary, "algo", "train", "xgboost", "--root", root)
        return {**m, "loss": float(re.findall(r"train-logloss:([0-9.]+)", m["output"])[-1])}

    def peer(n):
        m = lab.measure(python, script, file, json.dumps(PARAMETERS), n, root / "peer.ubj")
        found = re.search(r"logloss (\S+) version (\S+)", m["output"])
        return {**m, "loss": float(found[1]), "version": found[2]}

    seen = {(who, n): [] for who in (ours, peer) for n in (rounds, 1)}
    for i in range(times):
        for who in ((ours, peer) if i % 2 == 0 else (peer, ours)):
            for n in (rounds, 1):
                seen[who, n].append(who(n))
    losses = [seen[who, rounds][0]["loss"] for who in (ours, peer)]
    if abs(losses[0] - losses[1]) > 0.01:
        raise RuntimeError(f"the two did not learn the same: log loss {losses[0]} here, {losses[1]} there")

    def of(who, n, key):
        return [m[key] for m in seen[who, n]]

    def growing(who):
        return [a - b for a, b in zip(of(who, rounds, "seconds"), of(who, 1, "seconds"))]

    def quotient(a, b):
        return spread([x / y for x, y in zip(a, b)], "{:.2f}")

    version = seen[peer, rounds][0]["version"]
    lines = [(f"whole process, {rounds} rounds", of(ours, rounds, "seconds"), of(peer, rounds, "seconds"), "{:.2f} s"),
             ("whole process, 1 round: mostly reading", of(ours, 1, "seconds"), of(peer, 1, "seconds"), "{:.2f} s"),
             (f"the {rounds - 1} rounds more", growing(ours), growing(peer), "{:.2f} s"),
             ("processor time, whole", of(ours, rounds, "cpuSeconds"), of(peer, rounds, "cpuSeconds"), "{:.2f} s"),
             ("peak memory, whole", of(ours, rounds, "peakBytes"), of(peer, rounds, "peakBytes"), mib)]
    for what, a, b, form in (lines[0], lines[2], lines[4]):
        result.target(f"XGBoost, {rows:,} x 28, depth 6: {what}", "–", spread(a, form), spread(b, form) + f" xgboost {version}",
                      quotient(a, b))
    result.say(f"{rows:,} generated rows of 28 columns like HIGGS, {file.stat().st_size / 1e6:.0f} MB of CSV, {rounds} rounds, depth 6, "
               f"hist, all cores, the training loss shown each round; {times} runs in turn. Both read the same file: the Python library by "
               f"numpy.loadtxt (Python {sys.version_info.major}.{sys.version_info.minor}, xgboost {version}). Log loss after the last "
               f"round: {losses[0]:.5f} here, {losses[1]:.5f} there. A ratio below 1 is in our favour.")
    result.say(*table(["what", "Sagebrush", f"xgboost {version}", "ratio"],
                      [[what, spread(a, form), spread(b, form), quotient(a, b)] for what, a, b, form in lines]))
    result.say(f"One round takes about {median(growing(ours)) / (rounds - 1) * 1000:.1f} ms here and "
               f"{median(growing(peer)) / (rounds - 1) * 1000:.1f} ms there; in the quietest "
               f"run of each {min(growing(ours)) / (rounds - 1) * 1000:.1f} and {min(growing(peer)) / (rounds - 1) * 1000:.1f} ms. "
               "The library's OpenMP threads probably wait for each other by spinning, which costs much where other programs want the "
               "processors too.")
    return result
