# SPDX-License-Identifier: Apache-2.0
"""One of several models: the processes that serve it, and the way to them.

They are a server of the toolkit as for a container with one model, at a socket
in a folder of ours. Most have one worker; SAGEMAKER_MODEL_SERVER_WORKERS asks
for more for each model.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading

from sagebrush_toolkit.serve import answers
from sagebrush_toolkit.serve.http import MAX_HEAD, Connection, Refused
from sagebrush_toolkit.serve.worker import Broken

# Headers that are about one connection, or that the other side says itself.
_OWN = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect", "content-length", "host"}


class Gone(Exception):
    """The processes of a model gave no answer."""


class Model:
    """A model by its name, its url, the folder place that url names here, and
    the path of its socket."""

    def __init__(self, name, url, place, path):
        self.name, self.url, self.place, self.path = name, url, place, path
        self.starting = threading.Lock()  # held while processes are looked at and started anew
        self.tried = threading.Event()  # the first start has ended, one way or the other
        self.mutex = threading.Lock()
        self.process = None  # guarded by mutex
        self.loaded = self.ended = False  # guarded by mutex
        self.idle = []  # connections without a request; guarded by mutex

    def start(self):
        """Starts the processes and returns when the model is loaded: None, or
        a document with status (500, or 507 for want of memory) and text."""
        read, write = os.pipe()
        try:
            with self.mutex:
                if self.ended:
                    return {"status": 500, "text": "the model was unloaded while it was being loaded"}
                self.process = subprocess.Popen([sys.executable, "-m", "sagebrush_toolkit.serve"], env=self._environment(write),
                                                stdin=subprocess.DEVNULL, pass_fds=(write,))
                self.idle = []
            os.close(write)
            write = None
            with os.fdopen(read, "rb", closefd=False) as f:
                line = f.readline()
        finally:
            os.close(read)
            if write is not None:
                os.close(write)
        try:
            told = json.loads(line)
        except ValueError:  # killed, all of them
            self.process.wait()
            with self.mutex:
                told = {"status": 500, "text": "the model was unloaded while it was being loaded" if self.ended else
                        "the processes that loaded the model ended with code %d" % self.process.returncode}
        if told["status"] != 200:
            return told
        with self.mutex:
            self.loaded = True
        self.tried.set()
        return None

    def _environment(self, report):
        env = dict(os.environ, SAGEBRUSH_LISTEN="unix://" + self.path, SAGEBRUSH_MODEL_DIR=self.place, SAGEBRUSH_MODEL_NAME=self.name,
                   SAGEBRUSH_MODEL_REPORT=str(report), SAGEBRUSH_INSTALL_LOCK=os.path.join(os.path.dirname(self.path), "install"))
        env["SAGEMAKER_MODEL_SERVER_WORKERS"] = env.get("SAGEMAKER_MODEL_SERVER_WORKERS") or "1"
        return env

    def settled(self):
        """Waits until the first start has ended; whether the model was loaded."""
        self.tried.wait()
        return self.is_loaded()

    def is_loaded(self):
        """Whether requests may come."""
        with self.mutex:
            return self.loaded and not self.ended

    def has_died(self):
        """Whether the processes have ended though nobody asked for it."""
        with self.mutex:
            return not self.ended and self.process.poll() is not None

    def tell_to_end(self):
        """Asks the processes to finish their requests and end."""
        with self.mutex:
            self.ended = True
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            idle, self.idle = self.idle, []
        for connection in idle:
            connection.close()
        self.tried.set()

    def end(self):
        """Ends the processes, when their requests have come to their end, and waits for that."""
        self.tell_to_end()
        if self.process is not None:
            self.process.wait()
        try:
            os.unlink(self.path)
        except OSError:
            pass

    def invoke(self, request):
        """The answer of the model to a request, which may still be coming in parts."""
        connection = self._connection()
        try:
            connection.send(request)
            answer, keep = connection.receive()
        except (OSError, ValueError, Refused) as e:
            connection.close()
            raise Gone(str(e) or type(e).__name__) from None
        if not answer.whole:
            answer.body = _Parts(connection, self._keep if keep else None)
        elif keep:
            self._keep(connection)
        else:
            connection.close()
        return answer

    def _connection(self):
        while True:
            with self.mutex:
                connection = self.idle.pop() if self.idle else None
            if connection is None:
                break
            if connection.fresh():
                return connection
            connection.close()
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(self.path)
        except OSError as e:
            sock.close()
            raise Gone("it cannot be reached: %s" % e) from None
        return _Upstream(sock)

    def _keep(self, connection):
        with self.mutex:
            if not self.ended:
                self.idle.append(connection)
                return
        connection.close()


class _Upstream(Connection):
    """The other end of a connection: sends requests and reads answers."""

    def fresh(self):
        """Whether the worker has not closed it meanwhile."""
        self.sock.setblocking(False)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
            return False  # its end, or what nobody asked for
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.sock.setblocking(True)

    def send(self, request):
        lines = ["POST /invocations HTTP/1.1", "host: model", "content-length: %d" % len(request.body)]
        lines += ["%s: %s" % (name, value) for name, value in request.headers.items() if name not in _OWN]
        self.sock.sendall("\r\n".join(lines).encode("latin1") + b"\r\n\r\n" + request.body)

    def receive(self):
        """The answer, and whether another request may follow. A body in chunks
        is None, and read by chunk."""
        line = self._line(MAX_HEAD)
        if not line:
            raise OSError("its process ended while it answered")
        words = line.decode("latin1").strip().split(" ", 2)
        headers = self._headers(MAX_HEAD)
        keep = headers.pop("connection", "") != "close"
        kind, length, chunked = headers.pop("content-type", None), headers.pop("content-length", None), headers.pop("transfer-encoding", None)
        body = None if chunked else self._exactly(int(length))
        names = {"-".join(word.capitalize() for word in name.split("-")): value for name, value in headers.items()}
        return answers.Answer(body, kind, int(words[1]), names, words[2] if len(words) == 3 else None), keep

    def chunk(self):
        """The next chunk; empty at the end."""
        size = int(self._line(MAX_HEAD), 16)
        if size == 0:
            self._headers(MAX_HEAD)
            return b""
        data = self._exactly(size)
        self._line(2)
        return data


class _Parts:
    """The parts of an answer as they come."""

    def __init__(self, connection, keep):
        self._connection, self._give_back = connection, keep

    def __iter__(self):
        return self

    def __next__(self):
        if self._connection is None:
            raise StopIteration
        try:
            data = self._connection.chunk()
        except (OSError, ValueError, Refused):
            self.close()
            raise Broken("the model broke it off") from None
        if data:
            return data
        if self._give_back:
            connection, self._connection = self._connection, None
            self._give_back(connection)
        self.close()
        raise StopIteration

    def close(self):
        """Lets the model know that nobody waits for more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
