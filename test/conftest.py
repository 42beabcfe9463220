# SPDX-License-Identifier: Apache-2.0
"""One server of the built binary for all tests, with checked clients."""

import pytest

from support import shapes, work
from support.server import BINARY, Server

shapes.install()


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is missing: make build", returncode=2)


def pytest_collection_modifyitems(config, items):
    """Tests marked last look at what the others did."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def pytest_configure(config):
    config.addinivalue_line("markers", "last: runs after all others")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("server") / "home")
    s.start()
    yield s
    try:
        s.close()
    finally:
        broken = [line for line in s.log.read_text(errors="replace").splitlines()
                  if "request failed" in line or "panic" in line]
    assert not broken, "the server's log tells of broken requests:\n" + "\n".join(broken)


@pytest.fixture(scope="session")
def bench(server):
    """Clients, role, bucket and data."""
    return work.Workbench(server)


@pytest.fixture(scope="session")
def trained(bench):
    """A training job that has completed, as Describe tells it."""
    job = bench.train("trained")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job


@pytest.fixture(scope="session")
def endpoint(bench, trained):
    """The name of an endpoint in service; tests must leave it as it is."""
    return bench.deploy(trained["ModelArtifacts"]["S3ModelArtifacts"], name="served")


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """Makes servers with homes of their own; they are closed at the end."""
    made = []

    def make(name, *flags):
        s = Server(tmp_path_factory.mktemp(name) / "home", *flags)
        made.append(s)
        return s.start()
    yield make
    for s in made:
        s.close()
