# SPDX-License-Identifier: Apache-2.0
"""XGBoost at the size of real tables, dense and sparse: ours beside the Python library; and the readers of text beside others."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys

import numpy

from lab import ROOT, Result, median, mib, spread, table
from support.records import message, recordio, tensor, varint

PARAMETERS = {"objective": "binary:logistic", "tree_method": "hist", "eta": "0.3", "eval_metric": "logloss"}

# The library's own reader of libsvm is the quickest there is in Python, and of CSV pandas' is; `readers` below tells.
PEER = """
import json, sys, warnings
import numpy, xgboost
warnings.simplefilter("ignore")  # that the library's own text reader is to go
kind, file, parameters, rounds, model = sys.argv[1:]
if kind == "csv":
    import pandas
    rows = pandas.read_csv(file, header=None, dtype=numpy.float32).to_numpy()
    data = xgboost.DMatrix(rows[:, 1:], label=rows[:, 0])
else:
    data = xgboost.DMatrix(file + "?format=libsvm")
seen = {}
booster = xgboost.train(json.loads(parameters), data, int(rounds), evals=[(data, "train")], evals_result=seen, verbose_eval=False)
booster.save_model(model)
print("logloss", seen["train"]["logloss"][-1], "version", xgboost.__version__, file=sys.stderr)
"""

READER = """
import sys, time, warnings
import numpy
warnings.simplefilter("ignore")
who, file, cols = sys.argv[1], sys.argv[2], int(sys.argv[3])
names = [f"f{i}" for i in range(cols)]
if who == "pandas":
    import pandas
    read = lambda: pandas.read_csv(file, header=None, dtype=numpy.float32)
elif who == "pyarrow":
    import pyarrow, pyarrow.csv as csv
    types = csv.ConvertOptions(column_types={n: pyarrow.float32() for n in names})
    read = lambda: csv.read_csv(file, read_options=csv.ReadOptions(column_names=names), convert_options=types)
elif who == "polars":
    import polars
    read = lambda: polars.read_csv(file, has_header=False, schema={n: polars.Float32 for n in names})
elif who == "numpy.loadtxt":
    read = lambda: numpy.loadtxt(file, delimiter=",", dtype=numpy.float32)
elif who == "scikit-learn":
    from sklearn.datasets import load_svmlight_file
    read = lambda: load_svmlight_file(file, dtype=numpy.float32)
elif who in ("SageMaker SDK", "protobuf"):
    import os, struct
    os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"
    from sagemaker.amazon import common, record_pb2
    def frames():
        b, at = memoryview(open(file, "rb").read()), 0
        while at < len(b):
            n = struct.unpack_from("<I", b, at + 4)[0]
            yield record_pb2.Record.FromString(b[at + 8:at + 8 + n])
            at += 8 + (n + 3 & ~3)
    def read():
        # Both give arrays: one of the table, or the three of a sparse one.
        records = common.read_records(open(file, "rb")) if who == "SageMaker SDK" else frames()
        values, labels, keys, ends = [], [], [], [0]
        for r in records:
            t = r.features["values"].float32_tensor
            values.append(numpy.array(t.values, numpy.float32))
            labels.append(r.label["values"].float32_tensor.values[0])
            if cols == 0:
                keys.append(numpy.array(t.keys, numpy.int32))
                ends.append(ends[-1] + len(keys[-1]))
        return numpy.concatenate(values), numpy.array(labels, numpy.float32), keys and numpy.concatenate(keys), ends
elif who == "numpy, unchecked":
    # The layout is taken for granted: 20 bytes of label behind the features, and all records alike. It bounds what Python can do.
    def read():
        size = int.from_bytes(open(file, "rb").read(8)[4:], "little")
        form = numpy.dtype({"names": ["x", "y"], "formats": [("<f4", cols - 1), "<f4"], "itemsize": 8 + (size + 3 & ~3),
                            "offsets": [8 + size - 20 - 4 * (cols - 1), 8 + size - 4]})
        rows = numpy.fromfile(file, form)
        return numpy.ascontiguousarray(rows["x"]), numpy.ascontiguousarray(rows["y"])
else:
    import xgboost
    read = lambda: xgboost.DMatrix(file + ("?format=libsvm" if cols == 0 else "?format=csv&label_column=0"))
began = time.perf_counter()
kept = read()
print("seconds", time.perf_counter() - began, file=sys.stderr)
"""


def higgs(rows):
    """Rows like those of the HIGGS set: 28 measurements, some skewed, and a label that depends on a few products of them."""
    draw = numpy.random.default_rng(11)
    x = draw.standard_normal((rows, 28))
    x[:, 7:14] = numpy.exp(0.5 * x[:, 7:14])
    z = x[:, 0] * x[:, 1] + numpy.abs(x[:, 2]) - x[:, 8] * x[:, 9] + 0.5 * numpy.sin(3 * x[:, 3]) * x[:, 10]
    y = z + draw.standard_normal(rows) > numpy.median(z)
    return numpy.column_stack([y, x])


def write_csv(file, rows):
    """As numpy.savetxt does with %.6g, in a quarter of its time."""
    whole = higgs(rows)
    form = ",".join(["%.6g"] * whole.shape[1]) + "\n"
    for at in range(0, rows, 4096):
        part = whole[at:at + 4096]
        file.write(form * len(part) % tuple(part.ravel().tolist()))


def write_libsvm(file, rows, cols=200, share=0.1):
    """Rows of which a tenth is stored, and a label that depends on all of it and on two products."""
    draw = numpy.random.default_rng(12)
    weight = draw.standard_normal(cols)
    for at in range(0, rows, 4096):
        n = min(4096, rows - at)
        stored = draw.random((n, cols)) < share
        x = draw.standard_normal((n, cols)) * stored
        z = x @ weight + 2 * x[:, 0] * x[:, 1] + 0.5 * x[:, 2] * x[:, 3]
        for y, has, row in zip((z + draw.standard_normal(n) > 0).tolist(), stored, x):
            at_cols = numpy.flatnonzero(has)
            pairs = [v for pair in zip(at_cols.tolist(), row[at_cols].tolist()) for v in pair]
            file.write(("%d" + " %d:%.6g" * len(at_cols) + "\n") % (y, *pairs))


def write_records(file, rows):
    """The rows of write_csv as RecordIO-protobuf. They are alike but for their numbers, so that one stands for all."""
    whole = higgs(rows).astype("<f4")
    one = numpy.frombuffer(recordio(whole[:1, 1:], [12345.678]), numpy.uint8)
    features = one.tobytes().index(whole[0, 1:].tobytes())
    label = one.tobytes().rindex(struct.pack("<f", 12345.678))
    for at in range(0, rows, 65536):
        part = whole[at:at + 65536]
        out = numpy.tile(one, (len(part), 1))
        out[:, features:features + 4 * 28] = part[:, 1:].copy().view(numpy.uint8)
        out[:, label:label + 4] = part[:, :1].copy().view(numpy.uint8)
        file.write(out.tobytes())


def write_sparse_records(file, rows, cols=200, share=0.1):
    """Rows as those of write_libsvm as RecordIO-protobuf, as the SDK's write_spmatrix_to_sparse_tensor writes them."""
    draw = numpy.random.default_rng(12)
    shape = message(3, varint(cols))
    for _ in range(rows):
        at = numpy.flatnonzero(draw.random(cols) < share)
        body = tensor(draw.standard_normal(len(at))) + message(2, b"".join(map(varint, at.tolist()))) + shape
        record = message(1, message(1, b"values") + message(2, message(2, body)))
        record += message(2, message(1, b"values") + message(2, message(2, tensor([float(draw.random() < 0.5)]))))
        file.write(struct.pack("<II", 0xCED7230A, len(record)) + record + bytes(-len(record) % 4))


def made(name, write, rows, mode="w"):
    """A file of so many rows, kept beside the downloads: a million rows take longer to write than to learn from."""
    path = ROOT / ".cache" / "bench" / f"{rows}-{name}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open(mode) as file:
            write(file, rows)
        part.rename(path)
    return path


def run(lab):
    result = Result()
    times = 1 if lab.quick else 3
    dense = made("higgs.csv", write_csv, 20_000 if lab.quick else 1_000_000)
    sparse = made("sparse.libsvm", write_libsvm, 5_000 if lab.quick else 100_000)
    rounds = 20 if lab.quick else 100
    compare(lab, result, dense, "csv", f"{int(dense.name.split('-')[0]):,} x 28, dense", 8, rounds, times)
    compare(lab, result, sparse, "libsvm", f"{int(sparse.name.split('-')[0]):,} x 200, a tenth stored", 6, rounds, times)
    records = made("higgs.rec", write_records, 20_000 if lab.quick else 1_000_000, "wb")
    sparse_records = made("sparse.rec", write_sparse_records, 5_000 if lab.quick else 100_000, "wb")
    readers(lab, result, times, [
        (dense, "text/csv", "csv", 29, 400, ("polars", "pyarrow", "pandas", "xgboost", "numpy.loadtxt")),
        (sparse, "text/libsvm", "libsvm", 0, None, ("xgboost", "scikit-learn")),
        # Nothing else that can be installed reads it: ML-IO, AWS's reader in C++, is not on PyPI (mlio there is another program), and
        # sagemaker_tensorflow has no wheel for this Python.
        (records, "application/x-recordio-protobuf", "RecordIO-protobuf, dense", 29, 400, ("SageMaker SDK", "protobuf", "numpy, unchecked")),
        (sparse_records, "application/x-recordio-protobuf", "RecordIO-protobuf, sparse", 0, None, ("SageMaker SDK", "protobuf")),
    ])
    return result


def compare(lab, result, file, kind, title, depth, rounds, times):
    """Both programs on one file, in turn."""
    python = lab.python("readers")
    parameters = {**PARAMETERS, "max_depth": str(depth)}
    root = lab.dir / kind
    for folder in ("input/config", "input/data/train"):
        (root / folder).mkdir(parents=True)
    (root / "input/data/train" / file.name).symlink_to(file)
    script = lab.file("peer.py", PEER.encode())
    (root / "input/config/inputdataconfig.json").write_text(json.dumps({"train": {
        "TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None", "ContentType": f"text/{kind}"}}))
    (root / "input/config/resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))

    def ours(n):
        shutil.rmtree(root / "model", ignore_errors=True)
        (root / "input/config/hyperparameters.json").write_text(json.dumps({**parameters, "num_round": str(n)}))
        m = lab.measure(lab.binary, "algo", "train", "xgboost", "--root", root)
        return {**m, "loss": float(re.findall(r"train-logloss:([0-9.]+)", m["output"])[-1])}

    def peer(n):
        m = lab.measure(python, script, kind, file, json.dumps(parameters), n, root / "peer.ubj")
        found = re.search(r"logloss (\S+) version (\S+)", m["output"])
        return {**m, "loss": float(found[1]), "version": found[2]}

    seen = {(who, n): [] for who in (ours, peer) for n in (rounds, 1)}
    for i in range(times):
        for who in ((ours, peer) if i % 2 == 0 else (peer, ours)):
            for n in (rounds, 1):
                seen[who, n].append(who(n))
    losses = [seen[who, rounds][0]["loss"] for who in (ours, peer)]
    # With few rows, chance tells when the trees find the products that the label depends on.
    if abs(losses[0] - losses[1]) > (0.05 if lab.quick else 0.01):
        raise RuntimeError(f"{title}: the two did not learn the same: log loss {losses[0]} here, {losses[1]} there")

    def of(who, n, key):
        return [m[key] for m in seen[who, n]]

    def growing(who):
        return [a - b for a, b in zip(of(who, rounds, "seconds"), of(who, 1, "seconds"))]

    def quotients(a, b):
        return [x / y for x, y in zip(a, b)]

    version = seen[peer, rounds][0]["version"]
    lines = [(f"whole process, {rounds} rounds", of(ours, rounds, "seconds"), of(peer, rounds, "seconds"), "{:.2f} s", 1.0),
             ("whole process, 1 round: mostly reading", of(ours, 1, "seconds"), of(peer, 1, "seconds"), "{:.2f} s", None),
             (f"the {rounds - 1} rounds more", growing(ours), growing(peer), "{:.2f} s", 1.0),
             ("processor time, whole", of(ours, rounds, "cpuSeconds"), of(peer, rounds, "cpuSeconds"), "{:.2f} s", None),
             ("peak memory, whole", of(ours, rounds, "peakBytes"), of(peer, rounds, "peakBytes"), mib, 0.7)]
    for what, a, b, form, most in lines:
        if most is not None:
            ratio = quotients(a, b)
            result.target(f"XGBoost, {title}, depth {depth}: {what}", f"≤ {most:.1f}x", spread(a, form), spread(b, form) + f" xgboost {version}",
                          spread(ratio, "{:.2f}"), met=None if lab.quick else median(ratio) <= most)
    reader = "pandas.read_csv" if kind == "csv" else "its own reader of libsvm"
    result.say(f"{title}: {file.stat().st_size / 1e6:.0f} MB of {kind}, {rounds} rounds, depth {depth}, hist, all cores, the training loss "
               f"shown each round; {times} runs in turn. Both read the same file, the Python library by {reader}, the quickest of the table "
               f"below that gives what it takes (Python {sys.version_info.major}.{sys.version_info.minor}, xgboost {version}). Log loss after "
               f"the last round: {losses[0]:.5f} here, {losses[1]:.5f} there. A ratio below 1 is in our favour.")
    result.say(*table(["what", "Sagebrush", f"xgboost {version}", "ratio"],
                      [[what, spread(a, form), spread(b, form), spread(quotients(a, b), "{:.2f}")] for what, a, b, form, _ in lines]))
    result.say(f"One round takes about {median(growing(ours)) / (rounds - 1) * 1000:.1f} ms here and "
               f"{median(growing(peer)) / (rounds - 1) * 1000:.1f} ms there; in the quietest "
               f"run of each {min(growing(ours)) / (rounds - 1) * 1000:.1f} and {min(growing(peer)) / (rounds - 1) * 1000:.1f} ms. "
               "The library's OpenMP threads probably wait for each other by spinning, which costs much where other programs want the "
               "processors too.")


def readers(lab, result, times, files):
    """Reads the files by each reader, in turn; of ours also by one thread."""
    pythons = {"SageMaker SDK": lab.python("sdk2"), "protobuf": lab.python("sdk2")}
    python = lab.python("readers")
    script = lab.file("reader.py", READER.encode())
    test = lab.dir / "data.test"
    subprocess.run(["go", "test", "-c", "-o", test, "./internal/algo/data"], cwd=ROOT, check=True)

    def ours(file, content_type, threads):
        folder = lab.dir / f"channel-{file.name}"
        if not folder.exists():
            folder.mkdir()
            (folder / file.name).symlink_to(file)
        done = subprocess.run([test, "-test.run", "^$", "-test.bench", "^BenchmarkChannel$", "-test.benchtime", "3x"], check=True, text=True,
                              capture_output=True, env={**os.environ, "BENCH_CHANNEL": str(folder), "BENCH_TYPE": content_type,
                                                        "GOMAXPROCS": str(threads)})
        return float(re.search(r"([0-9.]+) MB/s", done.stdout)[1])

    def theirs(who, file, cols):
        m = lab.measure(pythons.get(who, python), script, who, file, cols)
        return file.stat().st_size / 1e6 / float(re.search(r"seconds (\S+)", m["output"])[1])

    cores = os.cpu_count()
    for file, content_type, kind, cols, least, names in files:
        seen = {}
        for _ in range(times):
            seen.setdefault("Sagebrush, one core", []).append(ours(file, content_type, 1))
            seen.setdefault(f"Sagebrush, {cores} cores", []).append(ours(file, content_type, cores))
            for who in names:
                seen.setdefault(who, []).append(theirs(who, file, cols))
        fast = max((median(v), who) for who, v in seen.items() if not who.startswith("Sagebrush"))
        one = seen["Sagebrush, one core"]
        all_cores = median(seen[f"Sagebrush, {cores} cores"])
        result.target(f"Reading {kind}: MB/s on one core", f"≥ {least}" if least else "–", spread(one, "{:.0f}"),
                      f"{fast[0]:.0f} {fast[1]}, all cores", f"{all_cores / fast[0]:.2f} (all cores)",
                      met=None if lab.quick or not least else median(one) >= least)
        result.say(f"Reading {file.stat().st_size / 1e6:.0f} MB of {kind} that lies in the page cache into float32, MB/s; the libraries as they come:")
        result.say(*table(["reader", "MB/s", f"Sagebrush on {cores} cores is so many times as fast"],
                          [[who, spread(v, "{:.0f}"), f"{all_cores / median(v):.2f}"] for who, v in seen.items()]))
