# SPDX-License-Identifier: Apache-2.0
"""Batch transform of a large CSV beside a loop in Python over the same file."""

import json

import numpy

from boosting import PARAMETERS, higgs
from lab import Result, count, median, mib, peak_memory, spread, table
from support.work import csv, members

# What one writes who has no service: pandas reads a piece, the booster scores it, the scores are written.
LOOP = """
import json, sys, time
import pandas, xgboost
model, rows, out = sys.argv[1:4]
began = time.monotonic()
booster = xgboost.Booster()
with open(model, "rb") as f:
    booster.load_model(bytearray(f.read()))
with open(out, "w") as f:
    for piece in pandas.read_csv(rows, header=None, dtype="float32", chunksize=int(sys.argv[4])):
        scores = booster.predict(xgboost.DMatrix(piece.to_numpy()))
        f.write("\\n".join(map(repr, map(float, scores))) + "\\n")
print(json.dumps({"seconds": time.monotonic() - began, "versions": f"pandas {pandas.__version__}, xgboost {xgboost.__version__}"}), file=sys.stderr)
"""
PIECE = 100_000  # rows


def run(lab):
    result, bench = Result(), lab.workbench("transform")
    python = lab.python("mlserver")  # which has pandas and XGBoost
    rows, times = (50_000, 1) if lab.quick else (1_000_000, 5)
    table_of = higgs(50_000)
    train = bench.put("higgs/train/part-0.csv", csv(table_of[:20_000]), up=1)
    job = bench.train("higgs", hyper={**PARAMETERS, "num_round": "100"}, InputDataConfig=[
        {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": train}}}])
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    model = lab.file("model", members(bench.get(artifact))["xgboost-model"])
    block = lab.dir / "block.csv"
    numpy.savetxt(block, table_of[:, 1:], fmt="%.6g", delimiter=",")
    file = lab.file("rows.csv", block.read_bytes() * (rows // 50_000))
    bench.s3.upload_file(str(file), bench.bucket, "rows/rows.csv")
    bench.sagemaker.create_model(ModelName="higgs", ExecutionRoleArn=bench.role,
                                 PrimaryContainer={"Image": bench.image, "ModelDataUrl": artifact})
    script = lab.file("loop.py", LOOP.encode())

    def ours(i):
        peak_memory(bench.server.process.pid, reset=True)
        seen = lab.settle(bench.server, "TransformJob", {
            "TransformJobName": f"higgs-{i}", "ModelName": "higgs",
            "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bench.bucket}/rows/"}},
                               "ContentType": "text/csv", "SplitType": "Line"},
            "TransformOutput": {"S3OutputPath": f"s3://{bench.bucket}/scores/{i}", "AssembleWith": "Line", "Accept": "text/csv"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1}, "BatchStrategy": "MultiRecord"}, limit=300)
        job = seen["describe"]
        return {"whole": seen["seconds"], "told": job["TransformEndTime"] - job["TransformStartTime"], "peak": peak_memory(bench.server.process.pid),
                "scores": numpy.array(bench.get(f"s3://{bench.bucket}/scores/{i}/rows.csv.out").split(), dtype=float)}

    def loop(i):
        out = lab.dir / "scores.csv"
        m = lab.measure(python, script, model, file, out, PIECE)
        told = json.loads(m["output"].strip().splitlines()[-1])
        return {"whole": m["seconds"], "told": told["seconds"], "peak": m["peakBytes"], "versions": told["versions"],
                "scores": numpy.array(out.read_bytes().split(), dtype=float)}

    seen = {ours: [], loop: []}
    for i in range(times):
        for who in ((ours, loop) if i % 2 == 0 else (loop, ours)):
            seen[who].append(who(i))
    a, b = seen[ours], seen[loop]
    apart = max(float(numpy.abs(x.pop("scores") - y.pop("scores")).max()) for x, y in zip(a, b))
    assert apart < 1e-5, f"scores differ by {apart}"

    def speed(runs, key):
        return [rows / r[key] for r in runs]

    def quotient(of, to):
        return [x / y for x, y in zip(of, to)]

    beside = quotient(speed(a, "whole"), speed(b, "told"))
    result.target(f"batch transform, {rows:,} rows x 28 of CSV: rows a second, CreateTransformJob to Completed, beside a Python loop without its start",
                  "≥ 1x", spread(speed(a, "whole"), count), spread(speed(b, "told"), count), spread(beside, "{:.2f}"), median(beside) >= 1)
    result.say(f"{rows:,} rows, {file.stat().st_size / 1e6:.0f} MB of CSV in one object (50,000 different rows, again and again), XGBoost with 100 "
               f"trees of depth 6; {times} runs in turn. The job has the service's defaults: MultiRecord, 6 MB, and the concurrency that the built-in "
               "container tells (`/execution-parameters`); the time is with reading from and writing to S3 and the start of the container. The loop reads "
               f"the file from the disk by pandas.read_csv in pieces of {PIECE:,} rows, calls Booster.predict with a DMatrix of each, all cores, and writes the "
               f"scores to a file ({b[0]['versions']}); its imports, half a second or more, are left out where it says so. The scores are the same to {apart:.1g}.")
    result.say(*table(["what", "rows a second", "beside the loop without its start", "beside the whole program"], [
        [what, spread(of, count), spread(quotient(of, speed(b, "told")), "{:.2f}"), spread(quotient(of, speed(b, "whole")), "{:.2f}")]
        for what, of in (("CreateTransformJob to Completed", speed(a, "whole")), ("TransformStartTime to TransformEndTime", speed(a, "told")),
                         ("the loop without its start", speed(b, "told")), ("the loop, the whole program", speed(b, "whole")))]))
    result.say(f"Peak memory: {mib(max(r['peak'] for r in a))} the server, which takes the object through in pieces; {mib(max(r['peak'] for r in b))} the loop.")
    lab.done(bench.server)
    return result
