# SPDX-License-Identifier: Apache-2.0
"""The built-in algorithms held against the libraries that people would use otherwise.

    .venv/quality/bin/python -m pytest test/quality

A test trains both on the same data and calls record(), which fails where ours is worse than the tolerance. What was
recorded makes the table of `bench.py --only quality` when SAGEBRUSH_QUALITY names a file for it.
"""

import json
import os

import pytest

from lab import BINARY, Trainer


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is missing: make build", returncode=2)


@pytest.fixture
def train(tmp_path):
    """train(algorithm, hyperparameters, channels) gives a Model; see lab.Trainer."""
    trainer = Trainer(tmp_path)
    yield trainer
    trainer.close()


@pytest.fixture
def record():
    """record(...) keeps a line of the table and fails when ours is worse than theirs by more than the tolerance."""

    def keep(algorithm, what, measure, reference, theirs, ours, tolerance, why, higher=False, relative=False):
        """measure is what theirs and ours are figures of; higher says that more is better. tolerance is how much worse ours
        may be, a share of theirs where relative."""
        theirs, ours = float(theirs), float(ours)
        room = tolerance * abs(theirs) if relative else tolerance
        worse = theirs - ours if higher else ours - theirs
        line = {"algorithm": algorithm, "what": what, "measure": measure, "higher": higher, "reference": reference, "theirs": theirs,
                "ours": ours, "tolerance": f"{tolerance:.2%}" if relative else f"{tolerance:g}", "why": why, "met": bool(worse <= room)}
        if path := os.environ.get("SAGEBRUSH_QUALITY"):
            with open(path, "a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
        assert worse <= room, f"{algorithm}, {what}: {measure} {ours:g}, {reference} has {theirs:g}, and {why} allows {line['tolerance']}"

    return keep
