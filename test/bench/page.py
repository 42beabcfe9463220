# SPDX-License-Identifier: Apache-2.0
"""docs/benchmarks.md: a head written by hand, a summary, a section for each benchmark. What was not run stays as it was."""

import os
import pathlib
import platform
import re
import subprocess

from lab import table
from support.server import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
SUMMARY = ["", "what", "target", "Sagebrush", "beside", "ratio", "met"]


def block(text, name):
    """What stands between the marks of a name, or ''."""
    found = re.search(rf"<!-- {name}:.*?-->\n(.*?)<!-- {name} end -->", text, re.DOTALL)
    return found[1] if found else ""


def marked(name, told, content):
    return f"<!-- {name}: {told} -->\n{content.rstrip()}\n<!-- {name} end -->\n"


def write(results, titles):
    """Writes the results {name: Result} of a run. titles {name: title} gives the order of all sections."""
    old = PAGE.read_text() if PAGE.exists() else ""
    head = block(old, "head") or "# Benchmarks\n"
    rows = []
    for name in titles:
        if name in results:
            rows += [[f"[{name}](#{name})", *t] for t in results[name].targets]
        else:
            rows += [[c.strip() for c in line.strip("|").split(" | ")] for line in block(old, "summary").splitlines()
                     if line.startswith(f"| [{name}](#{name}) |")]
    parts = [marked("head", "written by hand, kept by the benchmarks", head),
             marked("summary", "generated, see test/bench", "\n".join(
                 ["## Summary", "", "Where there are several runs: median (least–most).", "", *table(SUMMARY, rows)]))]
    for name, title in titles.items():
        if name in results:
            lines = [f"## {name}", "", f"{title}. {stamp(results[name])}", "", *results[name].lines]
            parts.append(marked(f"section {name}", "generated, see test/bench", "\n".join(lines)))
        elif old_part := block(old, f"section {name}"):
            parts.append(marked(f"section {name}", "generated, see test/bench", old_part))
    PAGE.write_text("\n".join(parts))


def stamp(result):
    return f"Measured {result.began:%Y-%m-%d %H:%M} UTC on {machine()}, revision {REVISION}."


def revision():
    """The commit that is checked out, which `make bench` has just built."""
    def git(*args):
        return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    changed = [line for line in git("status", "--porcelain").splitlines() if not line.endswith("docs/benchmarks.md")]
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes not committed" if changed else "")


def machine():
    model = platform.processor() or platform.machine()
    cpu = pathlib.Path("/proc/cpuinfo")
    if cpu.exists() and (found := re.search(r"model name\s*: (.+)", cpu.read_text())):
        model = found[1].strip()
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    go = subprocess.run(["go", "env", "GOVERSION"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return f"{model}, {os.cpu_count()} cores, {gib:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}, {go}"


REVISION = revision()  # before the run: someone may commit during it
