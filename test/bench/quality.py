# SPDX-License-Identifier: Apache-2.0
"""What the tests of test/quality measure, as a table."""

import json
import os
import subprocess

from lab import ROOT, Result, table


def run(lab):
    result, path = Result(), lab.dir / "quality.jsonl"
    done = subprocess.run([lab.python("quality"), "-m", "pytest", ROOT / "test/quality", "-q"], check=False,
                          env={**os.environ, "SAGEBRUSH_QUALITY": str(path)})
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    missed = sum(not r["met"] for r in rows)
    if done.returncode and not missed:
        raise RuntimeError("the quality tests failed")
    rows.sort(key=lambda r: (r["algorithm"].lower(), r["what"]))
    result.target("built-in algorithms: figures within the tolerance of their reference", "all", f"{len(rows) - missed} of {len(rows)}", "–", "–",
                  not missed)
    result.say("Measured by the tests of `test/quality`, which run with `make test` and fail where ours is worse than the reference's figure by more than "
               "the tolerance. Both learn from the same rows; figures are of rows that neither saw, unless said otherwise.")
    result.say(*table(["algorithm", "data", "measure", "reference", "its figure", "ours", "may be worse by", "why"],
                      [[r["algorithm"], r["what"], f"{r['measure']} ({'more' if r['higher'] else 'less'} is better)", r["reference"], f"{r['theirs']:.5g}",
                        f"{r['ours']:.5g}", r["tolerance"], r["why"]] for r in rows]))
    return result
