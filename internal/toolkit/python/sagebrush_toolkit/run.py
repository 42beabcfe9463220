# SPDX-License-Identifier: Apache-2.0
"""Runs a command as the container's work: its output goes out as it comes, its
errors are noted, signals reach all of its processes."""

import builtins
import os
import re
import select
import signal
import subprocess
import sys

from sagebrush_toolkit import errors

# Words by which an error's report is known. From the first line with one of
# them on, what stands on stderr becomes the error's message.
_MARKS = [name.encode() for name in dir(builtins) if name.endswith(("Error", "Exception"))] + [
    b"Invalid requirement", b"ResourceExhaustedError", b"OutOfRangeError", b"InvalidArgumentError", b"ExecuteUserScriptError",
    b"mpirun.real", b"ORTE"]

# What mpirun puts before lines to tell whose they are.
_TAG = re.compile(rb"^(\[\d+,\d+\]<std(?:err|out)>:? ?)+")

# How much of it is kept. A failure reason is its first 1,024 characters.
_KEPT = 1 << 16

_PR_SET_PDEATHSIG = 1

try:  # looked up here: little may be done between fork and exec
    import ctypes
    _prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
except (ImportError, OSError, AttributeError):
    _prctl = None


class _Message:
    """Collects the error's report from stderr as it passes."""

    def __init__(self, marks):
        self._marks, self._rest, self._lines, self._size = marks, b"", [], 0

    def take(self, chunk):
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _KEPT:
            lines, self._rest = lines + [self._rest], b""
        for line in lines:
            self._line(line)

    def _line(self, line):
        if self._size > _KEPT:
            return
        line = _TAG.sub(b"", line)
        if self._lines or any(mark in line for mark in self._marks):
            text = line.decode("utf-8", "replace").strip(" :\r\n")
            self._lines.append(text)
            self._size += len(text) + 1

    def text(self):
        self._line(self._rest)
        self._rest = b""
        # The blanks and the lines that are left out are those of AWS's toolkit.
        return "\n".join(dict.fromkeys(" " + line for line in self._lines)).strip()


def _last_gasp():
    """In the child: a process group of its own, and no life after ours."""
    os.setpgrp()
    if _prctl:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run(command, cwd, error_class=errors.ExecuteUserScriptError):
    """Runs command and waits for it.

    stdout is inherited, stderr is passed on. SIGTERM and SIGINT go to the
    command's process group. Raises error_class when the command fails; its
    return_code is negative for a signal.
    """
    try:
        process = subprocess.Popen(command, cwd=cwd, stderr=subprocess.PIPE, bufsize=0, preexec_fn=_last_gasp)
    except OSError as e:
        raise error_class(" ".join(command), e.errno or 1, str(e)) from None

    def forward(number, frame):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass

    before = {n: signal.signal(n, forward) for n in (signal.SIGTERM, signal.SIGINT)}
    # pip's own reports are known by their head; AWS's toolkit passes most over.
    message = _Message(_MARKS if error_class is errors.ExecuteUserScriptError else _MARKS + [b"ERROR: "])
    try:
        # A process that the script left behind may hold stderr open for ever:
        # what counts is that the script has ended.
        while True:
            chunk = process.stderr.read(1 << 16) if _readable(process) else None
            if chunk:
                _write(chunk)
                message.take(chunk)
            elif chunk == b"" or process.poll() is not None:
                break
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        process.stderr.close()
    if code:
        # 137 is what a shell makes of the signal that an exhausted memory brings.
        info = "OutOfMemory: Process killed by SIGKILL (signal 9)" if code == 137 else None
        raise error_class(" ".join(command), code, message.text(), info)


def _readable(process):
    """Waits for stderr; False when nothing has come for a while."""
    return bool(select.select([process.stderr], [], [], 0.2)[0])


def _write(chunk):
    view = memoryview(chunk)
    while view:
        view = view[os.write(2, view):]


def exit_code(return_code):
    """The exit code that a shell would tell."""
    return 128 - return_code if return_code < 0 else return_code
