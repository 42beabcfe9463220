# SPDX-License-Identifier: Apache-2.0
"""Trains a built-in algorithm by `sagebrush algo train` and asks its model by `sagebrush algo serve`."""

import http.client
import io
import json
import pathlib
import shutil
import socket
import subprocess
import time

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / "bin" / "sagebrush"


def csv(*columns):
    """The bytes of a CSV file of columns: vectors and tables side by side, the label first."""
    table = numpy.column_stack([numpy.asarray(c, dtype=numpy.float64) for c in columns])
    out = io.StringIO()
    numpy.savetxt(out, table, fmt="%.9g", delimiter=",")
    return out.getvalue().encode()


class Failed(Exception):
    """Training that failed; the text is FailureReason."""


class Model:
    """A trained model: dir holds its files, log is what training printed."""

    def __init__(self, algorithm, root, log):
        self.algorithm, self.root, self.dir, self.log = algorithm, root, root / "model", log
        self.process = None

    def line(self, start):
        """The rest of the last line of the log that holds start."""
        return [text for text in self.log.splitlines() if start in text][-1].split(start, 1)[1]

    def ask(self, body, content_type="text/csv", accept="application/json"):
        """The bytes of an answer."""
        if self.process is None:
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
            self.process = subprocess.Popen([BINARY, "algo", "serve", self.algorithm, "--root", self.root, "--listen", f"tcp://127.0.0.1:{self.port}"],
                                            stdout=subprocess.DEVNULL)
            self._ready()
        status, answer = self._request("POST", "/invocations", body, {"Content-Type": content_type, "Accept": accept})
        assert status == 200, f"{status}: {answer[:500]!r}"
        return answer

    def predict(self, rows, chunk=2000):
        """The predictions of a table, as the JSON says them: [{"score": ...}, ...]."""
        rows, out = numpy.asarray(rows), []
        for i in range(0, len(rows), chunk):
            out += next(iter(json.loads(self.ask(csv(rows[i:i + chunk]))).values()))
        return out

    def _ready(self):
        for _ in range(200):
            try:
                if self._request("GET", "/ping")[0] == 200 and self._request("GET", "/execution-parameters")[0] == 200:
                    return
            except OSError:
                assert self.process.poll() is None, "the server ended"
            time.sleep(0.02)
        raise TimeoutError("the server does not come up")

    def _request(self, *args):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            c.request(*args)
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def close(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)


class Trainer:
    """Trains below a folder. Called with an algorithm, hyperparameters and channels {name: bytes of a CSV, or
    (content type, bytes), or (content type, bytes, distribution)}."""

    def __init__(self, folder):
        self.folder, self.models = pathlib.Path(folder), []

    def __call__(self, algorithm, hyperparameters, channels):
        root = self.folder / f"ml-{len(self.models)}"
        shutil.rmtree(root, ignore_errors=True)
        (root / "input/config").mkdir(parents=True)
        told = {}
        for name, data in channels.items():
            content_type, data, distribution = (*data, "FullyReplicated")[:3] if isinstance(data, tuple) else ("text/csv", data, "FullyReplicated")
            told[name] = {"TrainingInputMode": "File", "S3DistributionType": distribution, "RecordWrapperType": "None", "ContentType": content_type}
            (root / "input/data" / name).mkdir(parents=True)
            (root / "input/data" / name / "part-0").write_bytes(data)
        for name, content in (("hyperparameters", {k: str(v) for k, v in hyperparameters.items()}), ("inputdataconfig", told),
                              ("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"]})):
            (root / f"input/config/{name}.json").write_text(json.dumps(content))
        done = subprocess.run([BINARY, "algo", "train", algorithm, "--root", root], capture_output=True, text=True, check=False)
        if done.returncode:
            failure = root / "output/failure"
            raise Failed(failure.read_text() if failure.exists() else done.stdout + done.stderr)
        self.models.append(Model(algorithm, root, done.stdout))
        return self.models[-1]

    def close(self):
        for m in self.models:
            m.close()
