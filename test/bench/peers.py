# SPDX-License-Identifier: Apache-2.0
"""The servers that InvokeEndpoint is held against, each with the same model file, and Sagebrush as one of them."""

import dataclasses
import json
import os
import pathlib
import shutil
import socket
import subprocess
import urllib.request

from lab import family
from support.server import poll


@dataclasses.dataclass
class Peer:
    """A server that answers one row: where, what it is sent, and its processes {part: [pid]}."""
    url: str
    path: str
    body: pathlib.Path
    parts: dict
    content_type: str = "text/csv"

    def ask(self):
        request = urllib.request.Request(self.url + self.path, data=self.body.read_bytes(), headers={"Content-Type": self.content_type})
        return urllib.request.urlopen(request, timeout=5).read().decode()

    def at(self, home):
        """Flags of the load generator; the signature is of the key of that home for all."""
        return ("-url", self.url, "-home", home, "-path", self.path, "-body", self.body, "-content-type", self.content_type)

    @property
    def pids(self):
        return [p for pids in self.parts.values() for p in pids]


def bare(lab, path, body, answer, headers):
    """A Go handler that reads the request and gives this answer with these headers."""
    told = [a for name, value in headers.items() if name not in ("date", "content-length", "connection")
            for a in ("-header", f"{name}: {value}")]
    p = lab.popen(lab.dir / "load", "bare", "-answer", lab.file("answer", answer.encode()), *told, stdout=subprocess.PIPE)
    return Peer(json.loads(p.stdout.readline())["url"], path, body, {"server": [p.pid]})


def fastapi(lab, model, path, body, workers):
    """peer.py behind uvicorn."""
    port = free_port()
    p = lab.popen(lab.python("bench"), "-m", "uvicorn", "peer:app", "--port", port, "--workers", workers, "--no-access-log",
                  "--log-level", "warning", cwd=os.path.dirname(os.path.abspath(__file__)),
                  env={**os.environ, "PEER_MODEL": str(model), "PYTHONDONTWRITEBYTECODE": "1"})
    answers(p, f"http://127.0.0.1:{port}/ping")
    return Peer(f"http://127.0.0.1:{port}", path, body, {"server": family(p.pid)})


def mlserver(lab, model, row, workers):
    """MLServer with its XGBoost runtime and its own defaults, but no access log: debug is on as it comes. workers is its
    parallel_workers: 1, its default, is a process beside the server for predictions; 0 predicts in the server."""
    folder, ports = lab.dir / f"mlserver-{workers}", [free_port() for _ in range(3)]
    folder.mkdir()
    shutil.copy(model, folder / "model.ubj")
    (folder / "settings.json").write_text(json.dumps({
        "debug": False, "host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2],
        "metrics_dir": str(folder / "metrics"), "environments_dir": str(folder / "environments"), "parallel_workers": workers}))
    (folder / "metrics").mkdir()
    (folder / "model-settings.json").write_text(json.dumps({
        "name": "cancer", "implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": "./model.ubj", "version": "1"}}))
    # One thread is quickest for one row, as in peer.py.
    python = lab.python("mlserver")
    log_file = lab.dir / f"mlserver-{workers}.log"
    with log_file.open("wb") as log:
        p = lab.popen(python.parent / "mlserver", "start", ".", cwd=folder, stdout=log, stderr=log, env={
            **os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"})
    try:
        answers(p, f"http://127.0.0.1:{ports[0]}/v2/models/cancer/ready")
    except AssertionError as e:
        raise RuntimeError(f"{e}; its log:\n{log_file.read_text()[-2000:]}") from None
    values = [float(v) for v in row.decode().split(",")]
    body = lab.file("row.json", {"inputs": [{"name": "predict", "shape": [1, len(values)], "datatype": "FP32", "data": values}]})
    return Peer(f"http://127.0.0.1:{ports[0]}", "/v2/models/cancer/infer", body, {"server": family(p.pid)}, "application/json")


def answers(process, url):
    def up():
        assert process.poll() is None, f"the server that should answer at {url} has ended"
        try:
            return urllib.request.urlopen(url, timeout=1).status == 200
        except OSError:
            return False
    poll(up, 180, f"an answer of {url}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def score(text):
    """The score of an answer: the text itself, or that of MLServer's protocol."""
    return json.loads(text)["outputs"][0]["data"][0] if text.startswith("{") else float(text)


