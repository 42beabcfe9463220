# SPDX-License-Identifier: Apache-2.0
"""One worker: loads the model, then answers connections of the shared socket.

A thread per connection reads and writes; the user's functions run one request
at a time, as in AWS's containers, whose scripts need not be thread-safe.
SAGEBRUSH_SERVE_THREADS allows more.
"""

import errno
import logging
import os
import select
import signal
import socket
import threading
import time

from sagebrush_toolkit.errors import ClientError
from sagebrush_toolkit.serve import answers, report, streams
from sagebrush_toolkit.serve.http import Connection, Refused
from sagebrush_toolkit.serve.module import LoadError

log = logging.getLogger("sagebrush-toolkit")

# Exit codes of a worker: its model could not be loaded; a request took too long.
NOT_LOADED, TOO_LONG = 3, 4

# How long a worker waits before it takes a connection, per connection it has,
# so that those who have fewer are first; and at most.
_YIELD, _YIELD_MOST = 0.0005, 0.010

# Seconds that a connection may be idle: longer than clients keep theirs, so
# that it is not closed under a request.
_IDLE = 600


class Worker:
    """Serves one process."""

    def __init__(self, listener, service, workers, loaded):
        self.listener, self.service, self.workers, self._loaded = listener, service, workers, loaded
        self.slots = threading.BoundedSemaphore(_positive("SAGEBRUSH_SERVE_THREADS") or 1)
        self.timeout = _positive("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS") or _positive("SAGEMAKER_MODEL_SERVER_TIMEOUT")
        megabytes = _positive("SAGEMAKER_MAX_PAYLOAD_IN_MB")
        self.max_body = megabytes << 20 if megabytes else None
        self.mutex = threading.Lock()
        self.connections = {}  # Connection → whether it is answering; guarded by mutex
        self.began = {}  # thread → when its request began; guarded by mutex
        self.draining = False

    def run(self):
        """Serves until SIGTERM or until the first process is gone; returns the exit code."""
        parent = os.getppid()
        wake = wakeup()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process tells
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing to finish yet
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            self.service.load()
        except LoadError as e:
            log.error("the model cannot be served: %s", e)
            report.failed(str(e), report.out_of_memory(e))
            return NOT_LOADED
        except (Exception, SystemExit) as e:
            log.exception("the model could not be loaded")
            report.failed("the model could not be loaded\n" + answers.trace(e), report.out_of_memory(e))
            return NOT_LOADED
        signal.signal(signal.SIGTERM, self._drain)
        if hasattr(self.service, "rest_port"):
            self._models()
        self.listen()
        self._loaded()
        while not self.draining:
            self.look(wake)
            if os.getppid() != parent:
                log.error("the model server is gone, its worker ends")
                return 1
            self._watch()
        self.listener.close()
        self.finish()
        return 0

    def listen(self):
        """Connections are no longer refused."""
        self.listener.setblocking(False)
        self.listener.listen(1024)

    def look(self, wake):
        """Waits for a connection or a signal, for a second at most."""
        ready = select.select([self.listener, wake], [], [], 1.0)[0]
        if wake in ready:
            os.read(wake, 1024)
        if self.listener in ready and not self.draining:
            self._accept()

    def _drain(self, number, frame):
        self.draining = True

    def _accept(self):
        with self.mutex:
            mine = len(self.connections)
        if mine and self.workers > 1:
            time.sleep(min(mine * _YIELD, _YIELD_MOST))
        try:
            sock, _ = self.listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as e:  # out of file descriptors: it may pass
            log.error("a connection could not be accepted: %s", e)
            time.sleep(0.1)
            return
        sock.setblocking(True)
        sock.settimeout(_IDLE)
        if sock.family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, self.max_body)
        with self.mutex:
            self.connections[connection] = False
        threading.Thread(target=self._serve, args=(connection, self.answer), daemon=True).start()

    def _serve(self, connection, answer):
        try:
            while connection.wait():
                with self.mutex:
                    self.connections[connection] = True
                if not self._one(connection, answer):
                    return
                with self.mutex:
                    self.connections[connection] = False
        except (OSError, ValueError) as e:  # the client is gone
            log.debug("a connection ended: %s", e)
        finally:
            connection.close()
            with self.mutex:
                self.connections.pop(connection, None)

    def _one(self, connection, answer):
        """Reads and answers one request; whether another may follow."""
        try:
            request = connection.read()
        except Refused as e:
            connection.write(answers.plain(e.status, str(e)), False)
            return False
        except socket.timeout:
            connection.write(answers.plain(408, "the request did not come to its end"), False)
            return False
        if request is None:
            return False
        try:
            given = answer(request)
        except Exception as e:
            log.exception("a request could not be answered")
            given = answers.error(500, e, True)
        keep = request.keep_alive and not self.draining
        try:
            connection.write(given, keep, request.method == "HEAD", request.takes_chunks)
        except Broken as e:  # of a generator of the user's: the answer is cut off
            log.error("an answer broke off: %s", e, exc_info=e.__cause__)
            return False
        finally:
            if not given.whole:
                streams.close(given.body)
        return keep

    def answer(self, request):
        """The answer to a request of the container contract."""
        allowed = {"/ping": ("GET", "HEAD"), "/invocations": ("POST",), "/execution-parameters": ("GET", "HEAD")}.get(request.path)
        if allowed is None:
            return answers.plain(404, "there is nothing at %s" % request.path)
        if request.method not in allowed:
            return answers.Answer(b"method not allowed\n", "text/plain; charset=utf-8", 405, {"Allow": ", ".join(allowed)})
        if request.path == "/ping":
            return answers.Answer(b"", "application/json")
        if request.path == "/execution-parameters":
            return self.service.execution_parameters(self.workers)
        me = threading.get_ident()
        self.slots.acquire()
        self._begin(me)
        held = False
        try:
            given = self.service.invoke(request)
            if not given.whole:  # the user's code goes on while it is written
                given.body, held = _Running(given.body, lambda: self._begin(me), lambda: self._end(me)), True
            return given
        finally:
            if not held:
                self._end(me)

    def _begin(self, me):
        with self.mutex:
            self.began[me] = time.monotonic()

    def _end(self, me):
        with self.mutex:
            self.began.pop(me, None)
        self.slots.release()

    def _watch(self):
        """Ends the worker when a request has taken longer than it may."""
        if not self.timeout:
            return
        with self.mutex:
            oldest = min(self.began.values(), default=None)
        if oldest is not None and time.monotonic() - oldest > self.timeout:
            log.error("a request took longer than SAGEMAKER_MODEL_SERVER_TIMEOUT allows, %d s: the worker ends", self.timeout)
            os._exit(TOO_LONG)

    def finish(self, end=float("inf")):
        """Lets requests come to their end, until the monotonic time end, and
        closes idle connections."""
        while time.monotonic() < end:
            with self.mutex:
                idle = [c for c, busy in self.connections.items() if not busy]
                busy = len(self.connections) - len(idle)
            for connection in idle:
                try:
                    connection.sock.shutdown(socket.SHUT_RD)
                except OSError:
                    pass
            if not busy:
                return
            time.sleep(0.02)

    def _models(self):
        """The REST interface of the models, for handlers that ask it themselves."""
        listener = _inner_listener()
        self.service.rest_port = listener.getsockname()[1]

        def answer(request):
            response = self.service.rest(request.path, request.body)
            return answers.Answer(response.content, "application/json", response.status_code)

        def accept():
            while True:
                connection = Connection(listener.accept()[0], self.max_body)
                with self.mutex:
                    self.connections[connection] = False
                threading.Thread(target=self._serve, args=(connection, answer), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()


class Broken(Exception):
    """A stream that did not come to its end."""


class _Running:
    """An answer in parts, which holds its worker until it is closed. The time
    that a request may take is that of each part."""

    def __init__(self, body, began, ended):
        self._body, self._began, self._ended = body, began, ended

    def __iter__(self):
        return self

    def __next__(self):
        self._began()
        try:
            return streams.raw(next(self._body))
        except StopIteration:
            raise
        except (Exception, SystemExit) as e:
            raise Broken("%s: %s" % (type(e).__name__, e)) from e

    def close(self):
        ended, self._ended = self._ended, None
        if ended is None:
            return
        try:
            streams.close(self._body)
        except (Exception, SystemExit):
            log.exception("a stream could not be closed")
        finally:
            ended()


def wakeup():
    """A descriptor that can be read when a signal has come."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def safe_ports(environ=os.environ):
    """The ports beside its own that the container may take, which are told to
    one of several containers on an instance; any, when nothing tells."""
    text = environ.get("SAGEMAKER_SAFE_PORT_RANGE", "")
    if not text:
        return range(0, 1)
    low, dash, high = text.partition("-")
    if not (dash and low.isdigit() and high.isdigit() and 0 < int(low) <= int(high) < 1 << 16):
        raise ClientError("SAGEMAKER_SAFE_PORT_RANGE is %r, which is no range of ports such as 25001-26000" % text)
    return range(int(low), int(high) + 1)


def _inner_listener():
    for port in safe_ports():
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
    raise OSError("none of the ports of SAGEMAKER_SAFE_PORT_RANGE is free")


def _positive(name):
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() and int(text) > 0 else None
