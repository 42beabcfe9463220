# SPDX-License-Identifier: Apache-2.0
"""The built-in XGBoost on two hosts of one job beside one host, on this one machine."""

import os
import re

import numpy

from boosting import PARAMETERS, higgs
from lab import Result, median, spread, table
from support.work import channel


def run(lab):
    result, bench = Result(), lab.workbench("hosts")
    rows, rounds, times = (20_000, 10, 1) if lab.quick else (200_000, 100, 3)
    data = higgs(rows)
    parts = 2
    for i in range(parts):
        path = lab.dir / f"part-{i}.csv"
        numpy.savetxt(path, data[i::parts], fmt="%.6g", delimiter=",")
        bench.s3.upload_file(str(path), bench.bucket, f"higgs/part-{i}.csv")
    uri = f"s3://{bench.bucket}/higgs/"
    octets = sum((lab.dir / f"part-{i}.csv").stat().st_size for i in range(parts))

    def job(hosts, n, boosts):
        name = f"hosts-{hosts}-{boosts}-{n}"
        share = "ShardedByS3Key" if hosts > 1 else "FullyReplicated"
        request = bench.request(name, InputDataConfig=[channel("train", uri, S3DataDistributionType=share)])
        request["HyperParameters"] = {**PARAMETERS, "num_round": str(boosts)}
        request["ResourceConfig"] = {**request["ResourceConfig"], "InstanceCount": hosts, "InstanceType": "ml.m5.xlarge"}
        seen = lab.settle(bench.server, "TrainingJob", request, 600)
        lines = [line for stream in bench.log_lines("/aws/sagemaker/TrainingJobs", name + "/").values() for line in stream]
        losses = [float(m[1]) for line in lines if (m := re.search(rf"\[{boosts - 1}\].*train-logloss:([0-9.]+)", line))]
        return seen["seconds"], losses

    seen, losses = {(h, b): [] for h in (1, 2) for b in (rounds, 1)}, {}
    for n in range(times):
        for hosts in ((1, 2) if n % 2 == 0 else (2, 1)):
            for boosts in (rounds, 1):
                took, told = job(hosts, n, boosts)
                seen[hosts, boosts].append(took)
                losses[hosts, boosts] = told
    one, two = losses[1, rounds][-1], losses[2, rounds][-1]
    if abs(one - two) > 0.01:
        raise RuntimeError(f"two hosts did not learn what one has: log loss {two} beside {one}")

    def each(hosts):
        return [(a - b) / (rounds - 1) * 1000 for a, b in zip(seen[hosts, rounds], seen[hosts, 1])]

    lines = [(f"Create to Completed, {rounds} rounds", seen[2, rounds], seen[1, rounds], "{:.2f} s"),
             ("Create to Completed, 1 round", seen[2, 1], seen[1, 1], "{:.2f} s"), ("a round more", each(2), each(1), "{:.1f} ms")]
    for what, a, b, form in (lines[0], lines[2]):
        result.target(f"XGBoost on two hosts, {rows:,} x 28: {what}", "–", spread(a, form), spread(b, form) + " on one",
                      spread([x / y for x, y in zip(a, b)], "{:.2f}"))
    result.say(f"{rows:,} generated rows of 28 columns, {octets / 1e6:.0f} MB of CSV in {parts} objects, depth 6, hist; {times} jobs in turn. With "
               f"two hosts each has one of the objects (ShardedByS3Key). All hosts share this machine's {os.cpu_count()} processors, so that "
               "two are hardly faster than one: what is seen is what it costs to agree. A ratio above 1 is the price.")
    result.say(*table(["what", "two hosts", "one host", "ratio"],
                      [[what, spread(a, form), spread(b, form), spread([x / y for x, y in zip(a, b)], "{:.2f}")]
                       for what, a, b, form in lines]))
    result.say(f"Log loss after the last round: {two:.5f} on two hosts, {one:.5f} on one. With more than 4,096 different values of "
               "a feature, as here, hosts tell each other summaries of them to agree on bins, so that bins, and with them the models, are not "
               f"quite the same; with fewer they are. In the median a round takes {median(each(2)):.1f} and {median(each(1)):.1f} ms.")
    lab.done(bench.server)
    return result
