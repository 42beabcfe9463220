# SPDX-License-Identifier: Apache-2.0
"""The built-in algorithms beside the libraries that people would use otherwise: the same data, the same parameters, both cores."""

import dataclasses
import importlib
import json
import pkgutil
import re
import shutil
import typing

import workloads
from lab import Result, median, mib, spread, table


@dataclasses.dataclass
class Workload:
    """One thing that both programs do."""

    algorithm: str  # as in `sagebrush algo train`
    title: str  # "200,000 x 100, 20 components"
    parameters: dict  # hyperparameters of ours
    make: typing.Callable  # make(folder, quick) writes the data and gives {channel: (content type, path[, distribution])}, paths in folder
    peer: str  # a Python script; sys.argv[1:] are the paths of the channels by name. It must end with tell(read, fit), seconds each
    library: str  # the peer's package, "scikit-learn"
    times: int = 3
    say: str = ""  # a sentence for the page


# What stands before each peer's script.
HEAD = """
import sys, time
def tell(read, fit):
    import importlib.metadata
    print(f"read {read:.6f} s, fit {fit:.6f} s, version {importlib.metadata.version(LIBRARY)}", file=sys.stderr)
"""


def every():
    for module in sorted(m.name for m in pkgutil.iter_modules(workloads.__path__)):
        yield from importlib.import_module(f"workloads.{module}").WORKLOADS


def run(lab):
    result, lines = Result(), []
    for w in every():
        lines += measure(lab, w, result)
    result.say("Each program is a whole process that reads the same files; \"without reading\" leaves out what reading them took, by each program's own "
               "clock, and for the Python libraries the start of the interpreter and the imports, too. Runs in turn, the order changes. "
               "A ratio below 1 is in our favour.")
    result.say(*table(["algorithm", "workload", "what", "Sagebrush", "beside", "ratio"], lines))
    for w in every():
        if w.say:
            result.say(f"{w.algorithm}, {w.title}: {w.say}")
    return result


def measure(lab, w, result):
    root = lab.dir / "speed"
    shutil.rmtree(root, ignore_errors=True)
    (root / "input/config").mkdir(parents=True)
    (root / "input/data").mkdir()
    folder = root / "made"
    folder.mkdir()
    channels = w.make(folder, lab.quick)
    told = {}
    for name, (content_type, path, *distribution) in channels.items():
        (root / "input/data" / name).mkdir()
        (root / "input/data" / name / path.name).symlink_to(path)
        told[name] = {"TrainingInputMode": "File", "S3DistributionType": (distribution or ["FullyReplicated"])[0],
                      "RecordWrapperType": "None", "ContentType": content_type}
    for name, content in (("hyperparameters", {k: str(v) for k, v in w.parameters.items()}), ("inputdataconfig", told),
                          ("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"]})):
        (root / f"input/config/{name}.json").write_text(json.dumps(content))
    script = lab.file("peer.py", f"LIBRARY = {w.library!r}\n{HEAD}\n{w.peer}".encode())
    python = lab.python("quality")
    paths = [channel[1] for _, channel in sorted(channels.items())]

    def ours():
        shutil.rmtree(root / "model", ignore_errors=True)
        m = lab.measure(lab.binary, "algo", "train", w.algorithm, "--root", root, "--times")
        read, whole = map(float, re.search(r"read (\S+) s, whole (\S+) s", m["output"]).groups())
        return {**m, "fit": whole - read}

    def peer():
        m = lab.measure(python, script, *paths)
        read, fit, version = re.search(r"read (\S+) s, fit (\S+) s, version (\S+)", m["output"]).groups()
        return {**m, "read": float(read), "fit": float(fit), "version": version}

    seen = {ours: [], peer: []}
    for i in range(1 if lab.quick else w.times):
        for who in ((ours, peer) if i % 2 == 0 else (peer, ours)):
            seen[who].append(who())
    beside = f"{w.library} {seen[peer][0]['version']}"
    lines = []
    for what, key, form in (("whole process", "seconds", "{:.2f} s"), ("without reading", "fit", "{:.2f} s"), ("peak memory", "peakBytes", mib)):
        a, b = [m[key] for m in seen[ours]], [m[key] for m in seen[peer]]
        ratios = [x / y for x, y in zip(a, b)]
        ratio = spread(ratios, "{:.2f}")
        lines.append([w.algorithm, w.title, what, spread(a, form), f"{spread(b, form)} {beside}", ratio])
        if key != "peakBytes":
            result.target(f"{w.algorithm}, {w.title}: {what}", "<= 1.0", spread(a, form), f"{spread(b, form)} {beside}", ratio, median(ratios) <= 1)
    print("\n".join(" | ".join(line) for line in lines), flush=True)
    return lines
