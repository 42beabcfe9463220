# SPDX-License-Identifier: Apache-2.0
"""Measures the program that `make build` made and writes docs/benchmarks.md.

    .venv/boto3/bin/python test/bench/bench.py [--quick] [--only NAME]...

--quick is a smoke run that writes nothing; --only measures some parts and
keeps the page's tables of the others.
"""

import argparse
import os
import pathlib
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]

import boosting  # noqa: E402
import channels  # noqa: E402
import deploy  # noqa: E402
import extras  # noqa: E402
import hosts  # noqa: E402
import invoke  # noqa: E402
import jobs  # noqa: E402
import lines  # noqa: E402
import multimodel  # noqa: E402
import overhead  # noqa: E402
import page  # noqa: E402
import pipe  # noqa: E402
import program  # noqa: E402
import quality  # noqa: E402
import records  # noqa: E402
import serverless  # noqa: E402
import speed  # noqa: E402
import transform  # noqa: E402
from lab import Lab, table  # noqa: E402

PARTS = {
    "training": ("CreateTrainingJob to Completed", jobs.training),
    "endpoints": ("CreateEndpoint to InService", jobs.endpoints),
    "invoke": ("InvokeEndpoint beside a bare handler, FastAPI and MLServer", invoke.run),
    "serverless": ("Cold starts of a serverless endpoint", serverless.run),
    "deploy": ("Deployments, weights, counts and killed instances under load", deploy.run),
    "multimodel": ("A thousand models behind one endpoint", multimodel.run),
    "extras": ("Data capture and a shadow variant", extras.run),
    "transform": ("Batch transform beside a loop in Python", transform.run),
    "records": ("Create, Describe and List with many training jobs stored", records.run),
    "boosting": ("XGBoost beside the Python library", boosting.run),
    "algorithms": ("The built-in algorithms beside libraries", speed.run),
    "quality": ("What the built-in algorithms learn, beside libraries", quality.run),
    "pipe": ("Pipe mode: a FIFO beside the file", pipe.run),
    "channels": ("A job on a large channel in File and FastFile mode", channels.run),
    "overhead": ("Jobs of one's own code beside the same program run by hand", overhead.run),
    "lines": ("Lines of a job's log on their way to CloudWatch Logs", lines.run),
    "hosts": ("XGBoost on two hosts beside one", hosts.run),
    "program": ("The demonstration, the start, size and memory", program.run),
}


def main():
    parser = argparse.ArgumentParser(description="Measures bin/sagebrush and writes docs/benchmarks.md.")
    parser.add_argument("--quick", action="store_true", help="a smoke run that writes nothing")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be given often")
    parser.add_argument("--keep", action="store_true", help="keep the working folder")
    args = parser.parse_args()
    lab, results = Lab(args.quick), {}
    try:
        for name in args.only or PARTS:
            print(f"bench: {name} ...", flush=True)
            began, load = time.monotonic(), os.getloadavg()[0]
            result = results[name] = PARTS[name][1](lab)
            result.say(f"It took {time.monotonic() - began:.0f} s; the machine's load average was {load:.1f} when it began.")
            print("\n" + "\n".join([*table(page.SUMMARY[1:], result.targets), "", *result.lines]), flush=True)
            if not args.quick:  # after each part, so that a later one that fails loses nothing
                page.write({name: result}, {n: title for n, (title, _) in PARTS.items()})
    finally:
        lab.close(args.keep)
    if not args.quick:
        print(f"bench: wrote {page.PAGE}")


if __name__ == "__main__":
    main()
