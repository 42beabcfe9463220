# SPDX-License-Identifier: Apache-2.0
"""What the server of one model tells the server of several that started it:
whether the model was loaded, or else why not.

It is one line of JSON on a pipe, whose number is in SAGEBRUSH_MODEL_REPORT. A
second one is not read: the first that knows tells.
"""

import json
import os

_NAME = "SAGEBRUSH_MODEL_REPORT"

# Words by which libraries that do not raise MemoryError say that there is none.
_NO_MEMORY = ("std::bad_alloc", "can't allocate memory", "not enough memory", "Cannot allocate memory")


def wanted(environ=os.environ):
    """Whether this process serves one model of several."""
    return bool(environ.get(_NAME))


def keep():
    """Keeps the pipe from programs that the user's code starts."""
    if wanted():
        os.set_inheritable(int(os.environ[_NAME]), False)


def loaded():
    """Tells that the model is loaded."""
    _tell({"status": 200})


def failed(text, no_memory=False):
    """Tells why it is not."""
    _tell({"status": 507 if no_memory else 500, "text": text})


def _tell(line):
    if not wanted():
        return
    data = json.dumps(line).encode("utf-8") + b"\n"
    fd = int(os.environ[_NAME])
    try:
        while data:
            data = data[os.write(fd, data):]
    except OSError:  # nobody listens any more
        pass


def out_of_memory(exception):
    """Whether an exception, or the one that it came of, is about memory."""
    seen = set()
    while exception is not None and id(exception) not in seen:
        seen.add(id(exception))
        if isinstance(exception, MemoryError) or type(exception).__name__ == "OutOfMemoryError":  # torch's, of a GPU
            return True
        if any(words in str(exception) for words in _NO_MEMORY):
            return True
        exception = exception.__cause__ or exception.__context__
    return False
