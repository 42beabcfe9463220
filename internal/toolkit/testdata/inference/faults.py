# SPDX-License-Identifier: Apache-2.0
"""Goes wrong as asked.

A file fault beside the model says how it fails to load: raise, memory, exit,
kill, slow. The body of a request says how that one goes: raise, status (one of
its own, 422), memory, exit, slow (until a file go is there), stream (two parts,
then an error), header (one of X-Amzn-SageMaker-Target-Model). What else it
holds is given back.
"""

import os
import signal
import time

from sagemaker_inference.errors import BaseInferenceToolkitError


def model_fn(model_dir):
    path = os.path.join(model_dir, "fault")
    fault = open(path).read().strip() if os.path.exists(path) else ""
    if fault == "raise":
        raise ValueError("no weights in " + os.path.basename(os.path.dirname(model_dir)))
    if fault == "memory":
        raise MemoryError("the weights are too large")
    if fault == "exit":
        os._exit(9)
    if fault == "kill":  # as the kernel does, out of memory
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "slow":
        wait(model_dir)
    if fault.isdigit():  # bytes that are really taken
        return b"x" * int(fault)
    return model_dir


def wait(model_dir):
    open(os.path.join(model_dir, "waiting"), "w").close()
    while not os.path.exists(os.path.join(model_dir, "go")):
        time.sleep(0.01)


def parts():
    yield "one "
    yield b"two "
    raise RuntimeError("the third is lost")


def transform_fn(model, body, content_type, accept, context):
    word = body if isinstance(body, str) else body.decode("utf-8")
    if word == "raise":
        raise ValueError("as asked")
    if word == "status":
        raise BaseInferenceToolkitError(422, "a status of its own", "Own Status")
    if word == "memory":
        raise MemoryError("no room for the request")
    if word == "exit":
        os._exit(9)
    if word == "slow":
        wait(model)
    if word == "stream":
        return parts()
    if word == "header":
        return context.get_request_header(0, "X-Amzn-SageMaker-Target-Model")
    if word == "pid":
        return str(os.getpid())
    return word
