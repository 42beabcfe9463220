# SPDX-License-Identifier: Apache-2.0
"""The first process: opens the socket and keeps the workers.

It imports nothing of the user's and holds no model, so that it stays when a
worker does not.
"""

import collections
import fcntl
import logging
import os
import select
import signal
import socket
import sys
import time

from sagebrush_toolkit import errors, install
from sagebrush_toolkit.folders import Folders, cpus
from sagebrush_toolkit.serve import module, report, service
from sagebrush_toolkit.serve.worker import NOT_LOADED, Worker, safe_ports, wakeup

log = logging.getLogger("sagebrush-toolkit")

# How often workers may die in how many seconds before the server gives up.
DEATHS, WITHIN = 5, 30

# Seconds that workers have to finish their requests; the platform waits for 30.
DRAIN = 25


class Stop(Exception):
    """The server is to end with a code."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def open_socket(environ=os.environ):
    """The socket that SAGEBRUSH_LISTEN asks for, bound but not listening yet:
    until a model is loaded connections are refused."""
    wanted = environ.get("SAGEBRUSH_LISTEN") or "tcp://0.0.0.0:" + (environ.get("SAGEMAKER_BIND_TO_PORT") or "8080")
    scheme, _, rest = wanted.partition("://")
    try:
        if scheme == "unix" and rest.startswith("/"):
            try:
                os.unlink(rest)  # of a server that was killed
            except FileNotFoundError:
                pass
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(rest)
            return listener, wanted
        if scheme == "tcp":
            host, _, port = rest.rpartition(":")
            host = host.strip("[]")
            listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, int(port)))
            return listener, wanted
    except (OSError, ValueError, OverflowError) as e:
        raise errors.ClientError("cannot listen at %s: %s" % (wanted, e)) from None
    raise errors.ClientError("cannot listen at %s: neither unix:///path nor tcp://host:port" % wanted)


def worker_count(environ=os.environ):
    """How many workers are wanted."""
    text = environ.get("SAGEMAKER_MODEL_SERVER_WORKERS", "")
    if text and not (text.isdigit() and int(text) > 0):
        raise errors.ClientError("SAGEMAKER_MODEL_SERVER_WORKERS is %r, which is no number of workers" % text)
    return int(text) if text else cpus(environ)


class Server:
    """Keeps workers until it is told to stop or they keep dying."""

    def __init__(self, listener, framework, workers):
        self.listener, self.framework, self.workers = listener, framework, workers
        self.pipes = {}  # process → end of its pipe that tells when it has loaded
        self.deaths = collections.deque(maxlen=DEATHS)
        self.ever_loaded = self.stopping = False

    def run(self):
        """Returns the exit code of the container."""
        wake, parent = wakeup(), os.getppid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            while not self.stopping:
                # The first worker alone: what keeps a model from loading is
                # told once, and it has all processors to load quickly.
                wanted = self.workers if self.ever_loaded else 1
                while len(self.pipes) < wanted and not self.stopping:
                    self._start()
                self._look(wake)
                if report.wanted() and os.getppid() != parent:
                    raise Stop(1)  # the server of several models is gone
        except Stop as stop:
            self._end(0)
            return stop.code
        log.info("stopping: %d workers finish their requests", len(self.pipes))
        self._end(DRAIN)
        return 0

    def _stop(self, number, frame):
        self.stopping = True

    def _start(self):
        read, write = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        # The worker says what signals mean to it before it takes any.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            os.close(write)
            self.pipes[pid] = read
            return
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for end in (read,) + tuple(self.pipes.values()):
                os.close(end)
            code = Worker(self.listener, service.make(self.framework), self.workers, lambda: os.write(write, b"+")).run()
        except BaseException:
            log.exception("a worker failed")
        finally:
            # What the user's code registered to run at exit is not for a
            # worker; threads of its may never end.
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _look(self, wake):
        """Waits for news of the workers, and takes in what has come."""
        ready = select.select(list(self.pipes.values()) + [wake], [], [], 0.5)[0]
        if wake in ready:
            os.read(wake, 1024)
        for pid, pipe in list(self.pipes.items()):
            if pipe in ready and os.read(pipe, 16):
                log.info("worker %d has loaded the model", pid)
                if not self.ever_loaded:
                    report.loaded()
                self.ever_loaded = True
        self._reap()

    def _reap(self):
        for pid in list(self.pipes):
            gone, status = os.waitpid(pid, os.WNOHANG)
            if not gone:
                continue
            os.close(self.pipes.pop(pid))
            if self.stopping:
                continue
            code = os.waitstatus_to_exitcode(status)
            if code == NOT_LOADED and not self.ever_loaded:
                raise Stop(1)
            how = "by signal %d" % -code if code < 0 else "with code %d" % code
            if report.wanted() and not self.ever_loaded:
                # Of several models nobody kills one but the kernel, for memory.
                report.failed("the process that loaded the model ended " + how, code == -signal.SIGKILL)
                raise Stop(1)
            now = time.monotonic()
            self.deaths.append(now)
            if len(self.deaths) == DEATHS and now - self.deaths[0] < WITHIN:
                log.error("worker %d ended %s; that makes %d in %d seconds: the server gives up", pid, how, DEATHS, WITHIN)
                raise Stop(1)
            log.error("worker %d ended %s; another takes its place", pid, how)

    def _end(self, grace):
        """Asks the workers to end, and after grace seconds ends them."""
        self.stopping = True
        self.listener.close()
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 5)):
            for pid in self.pipes:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            end = time.monotonic() + seconds
            while self.pipes and time.monotonic() < end:
                self._reap()
                time.sleep(0.02)


def main():
    """Serves, and returns the container's exit code."""
    logging.basicConfig(stream=sys.stdout, level=_level(), format="%(asctime)s %(levelname)s - %(name)s - %(message)s")
    try:
        report.keep()
        safe_ports()  # in doubt it is told now
        if os.environ.get("SAGEMAKER_MULTI_MODEL", "").lower() == "true" and not report.wanted():
            from sagebrush_toolkit.serve.multi import serve
            return serve(*open_socket())
        workers = worker_count()
        listener, where = open_socket()
        # Models with threads of their own would otherwise take as many as the
        # machine has processors in each worker.
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cpus() // workers)))
        for folder in module.folders():
            if folder != Folders().model:  # what lies beside a model was not written for us
                _install(folder)
    except errors.ClientError as e:
        log.error("%s", e)
        report.failed(str(e))
        return 1
    framework = os.environ.get("SAGEBRUSH_FRAMEWORK") or "python"
    log.info("serving a model of %s at %s by %d workers", framework, where, workers)
    return Server(listener, framework, workers).run()


def _install(folder):
    """Installs what the code there asks for; of several models that are being
    loaded one at a time, as they share the environment."""
    lock = os.environ.get("SAGEBRUSH_INSTALL_LOCK")
    if not lock:
        install.requirements(folder)
        return
    with open(lock, "w", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        install.requirements(folder)


def _level():
    text = os.environ.get("SAGEMAKER_CONTAINER_LOG_LEVEL", "")
    return int(text) if text.isdigit() else logging.INFO
