# SPDX-License-Identifier: Apache-2.0
"""Running the scripts of examples/ as a person would: sagebrush run -- ..."""

import os
import re
import subprocess

from support.server import BINARY, ROOT, poll


def run(server, venv, command, limit=300, **environment):
    """Runs a command under `sagebrush run` against a server; returns its output, or fails with it."""
    env = {**os.environ, "PATH": f"{ROOT}/.venv/{venv}/bin{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1", **environment}
    done = subprocess.run([BINARY, "run", "--home", server.home, "--", *command], cwd=ROOT, env=env, timeout=limit,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout


def accuracy(output):
    """What an example's last line says: the share of held-out rows that are right."""
    right, rows = map(int, re.search(r"(\d+) of (\d+) held-out rows are right", output).groups())
    assert rows >= 100
    return right / rows


def nothing_is_left(server):
    """The examples delete what they made, but for jobs and objects."""
    sagemaker = server.client("sagemaker")
    for word in ("xgboost", "breast-cancer"):  # an endpoint that is deleted is there until its instances have ended
        poll(lambda word=word: sagemaker.list_endpoints(NameContains=word)["Endpoints"] == [], 60, f"the endpoints of {word} to be gone")
    assert sagemaker.list_models(NameContains="breast-cancer")["Models"] == []
