# SPDX-License-Identifier: Apache-2.0
"""What every benchmark needs: the binary, the load generator, servers, statistics."""

import contextlib
import datetime
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile

from support import server as servers
from support.work import Workbench

ROOT = servers.ROOT
TICK = os.sysconf("SC_CLK_TCK")


class Lab:
    """A temporary folder with copies of the programs, so that a build meanwhile changes nothing."""

    def __init__(self, quick):
        self.quick = quick
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-bench-"))
        self.binary = self.dir / "sagebrush"
        shutil.copy2(servers.BINARY, self.binary)
        servers.BINARY = self.binary  # Server starts this one
        # Static: it is also the only file of an image that jobs run.
        subprocess.run(["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", self.dir / "load", "./test/bench/load"], cwd=ROOT, check=True,
                       env={**os.environ, "CGO_ENABLED": "0"})
        self.servers, self.processes = [], []

    def load(self, *args):
        """Runs a mode of the load generator and returns what it prints."""
        done = subprocess.run([self.dir / "load", *map(str, args)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"load {args[0]} failed:\n{done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def measure(self, *command, env=None):
        """Wall, processor time and peak memory of a command, which must succeed."""
        done = subprocess.run([self.dir / "load", "measure", "--", *map(str, command)], capture_output=True, text=True,
                              check=False, env=env)
        if done.returncode:
            raise RuntimeError(f"{command} failed:\n{done.stderr[-2000:]}")
        return {**json.loads(done.stdout), "output": done.stderr}

    def python(self, name):
        """The interpreter of an environment of the peers, bench or mlserver, which is made if need be."""
        subprocess.run([ROOT / "test" / "venv.sh", name], check=True)
        return ROOT / ".venv" / name / "bin" / "python"

    def file(self, name, content):
        path = self.dir / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def server(self, name, *flags):
        s = servers.Server(self.dir / name, *flags)
        self.servers.append(s)
        return s.start()

    def workbench(self, name, *flags):
        """A server with a role, a bucket and data."""
        return Workbench(self.server(name, *flags))

    def settle(self, server, noun, request, limit=120, every=5):
        """Creates a job, asks every so many milliseconds until it has Completed, and returns what was seen of it."""
        seen = self.load("settle", *self.at(server), "-noun", noun, "-limit", f"{limit}s", "-every", f"{every}ms",
                         "-body", self.file("request.json", request))
        if seen["status"] != "Completed":
            raise RuntimeError(f"the job {request[noun + 'Name']} is {seen['status']}: {seen['describe']}")
        return seen

    def at(self, server):
        """Flags that lead the load generator to a server."""
        return "-url", server.url, "-home", server.home

    def popen(self, *command, **more):
        p = subprocess.Popen([str(c) for c in command], **more)
        self.processes.append(p)
        return p

    def close(self, keep=False):
        """Ends all that was started here, and expects that it can."""
        for p in self.processes:
            those = family(p.pid)
            p.terminate()  # not kill: uvicorn must end its workers
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            for pid in those[1:]:  # MLServer's outlive it where it had to be killed
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        try:
            for s in self.servers:
                s.close()
        finally:
            if not keep:
                shutil.rmtree(self.dir, ignore_errors=True)

    def done(self, server):
        """Ends a server that is no longer needed."""
        self.servers.remove(server)
        server.close()


def family(pid):
    """A process and its children, uvicorn's workers for one."""
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(p for child in children for p in family(int(child)))]


def processor_seconds(pids):
    """User and system time of processes so far; one that has ended counts as 0."""
    total = 0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def machine_seconds():
    """(busy, all) processor seconds of the machine so far. Interrupts are nobody's, so they are not busy."""
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, idle, wait, irq, softirq, steal = fields
    return (user + nice + system + steal) / TICK, sum(fields) / TICK


def peak_memory(pid, reset=False):
    """Largest resident memory of a process so far, in bytes. With reset, what comes after is measured anew."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    if reset:
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"process {pid} has ended")


def memory(pid):
    """Resident memory of a process in bytes: all of it, and what it shares with no file."""
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon"):
            found[name] = int(value.split()[0]) * 1024
    return found["VmRSS"], found["RssAnon"]


def proportional_memory(pid):
    """Resident memory of a process in bytes, of a page that n processes have in common the nth part (PSS)."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"process {pid} has ended")


median = statistics.median


def spread(values, form):
    """Median (least to largest) in a form, such as '{:.2f}' or milliseconds."""
    values = list(values)
    show = form.format if isinstance(form, str) else form
    if len(values) == 1:
        return show(values[0])
    return f"{show(median(values))} ({show(min(values))}–{show(max(values))})"


def ms(seconds):
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def us(seconds):
    return f"{seconds * 1e6:,.0f} µs"


def count(value):
    return f"{value:,.0f}"


def mib(octets):
    return f"{octets / 2**20:.0f} MiB"


def table(head, rows):
    """Lines of a Markdown table; columns after the first that begin with a digit stand right."""
    right = [i > 0 and all(str(r[i])[:1].isdigit() for r in rows) for i in range(len(head))]
    return ["| " + " | ".join(head) + " |", "| " + " | ".join("---:" if r else "---" for r in right) + " |",
            *("| " + " | ".join(str(c) for c in row) + " |" for row in rows)]


class Result:
    """What one benchmark found: rows for the summary, and a section of the page."""

    def __init__(self):
        self.began = datetime.datetime.now(datetime.UTC)
        self.targets, self.lines = [], []

    def target(self, what, target, ours, against="", ratio="", met=None):
        """One claim. met is None where there is no target."""
        self.targets.append([what, target, ours, against, ratio, {None: "", True: "yes", False: "**no**"}[met]])

    def say(self, *lines):
        self.lines += [*lines, ""]
