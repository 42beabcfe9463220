# SPDX-License-Identifier: Apache-2.0
"""``python -m sagebrush_toolkit.train``: runs the user's training script.

Exit code and failure reason are the script's. What AWS's images do besides,
and this does not: upload /opt/ml/output/intermediate while the script runs.
"""

import importlib.metadata
import json
import logging
import os
import signal
import socket
import sys
import time

from sagebrush_toolkit import command, errors, install, source
from sagebrush_toolkit.environment import Environment
from sagebrush_toolkit.folders import Folders
from sagebrush_toolkit.run import exit_code, run

log = logging.getLogger("sagebrush-toolkit")

# How long hosts that start at about the same time wait for each other's names.
_HOSTS_WAIT = 300

# What SM_FRAMEWORK_MODULE says in AWS's image of each framework.
_MODULES = {"sklearn": "sagemaker_sklearn_container.training:main", "xgboost": "sagemaker_xgboost_container.training:main",
            "pytorch": "sagemaker_pytorch_container.training:main", "huggingface": "sagemaker_pytorch_container.training:main",
            "tensorflow": "sagemaker_tensorflow_container.training:main"}


def main():
    """Trains, and returns the container's exit code."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(name)-12s %(levelname)-8s %(message)s")
    output = Folders().output
    signal.signal(signal.SIGTERM, _ended)
    try:
        framework = os.environ.get("SAGEBRUSH_FRAMEWORK", "python")
        if framework in _MODULES:
            os.environ.setdefault("SAGEMAKER_TRAINING_MODULE", _MODULES[framework])
        env = Environment()
        _set_level(env.log_level)
        train(env, framework)
        log.info("Reporting training SUCCESS")
        _note(output, "success", "")
        return 0
    except errors.ClientError as e:
        return _failed(output, str(e), exit_code(getattr(e, "return_code", 1)) if isinstance(e, errors.ExecuteUserScriptError) else 1)
    except Exception as e:
        logging.exception("training could not be run")
        return _failed(output, "Framework Error: \n%s: %s" % (type(e).__name__, e), 1)


def _ended(number, frame):
    """Stopped before the script began, or between two commands."""
    sys.exit(128 + number)


def _set_level(level):
    try:
        logging.getLogger().setLevel(int(level))
    except (TypeError, ValueError):
        log.warning("sagemaker_container_log_level is %r, which is no level", level)


def _failed(output, message, code):
    log.error("Reporting training FAILURE")
    log.error(message)
    _note(output, "failure", message)
    return code or 1


def _note(output, name, text):
    """Leaves a file for the platform, unless the script has left one."""
    path = os.path.join(output, name)
    try:
        os.makedirs(output, exist_ok=True)
        with open(path, "x", encoding="utf-8", errors="replace") as f:
            f.write(text)
    except FileExistsError:
        log.info("%s exists already and is left as it is", path)
    except OSError as e:
        log.error("%s could not be written: %s", path, e)


def train(env, framework):
    """Brings the code, installs what it needs and runs it."""
    code = env.folders.code
    name = command.validate(env.user_entry_point)
    source.fetch(env.module_dir, code, env.folders)
    command.check(code, name)
    kind = command.kind(code, name)
    if kind == command.PACKAGE:
        install.package(code)
    elif kind == command.SCRIPT:
        install.requirements(code)
    else:
        path = os.path.join(code, name)
        os.chmod(path, os.stat(path).st_mode | 0o111)

    variables = env.to_env_vars()
    variables["PYTHONPATH"] = os.pathsep.join([code] + [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p])
    os.environ.update(env.beside)
    os.environ.update(variables)
    _distributed(env, framework)
    _wait_for(env.hosts)

    argv = command.build(env, code, name, env.to_cmd_args(), variables)
    log.info("Invoking user script\n\nTraining Env:\n\n%s\n\nEnvironment variables:\n\n%s\n\nInvoking script with the following command:\n\n%s\n\n",
             json.dumps(dict(env), indent=4), "\n".join("%s=%s" % item for item in variables.items()), " ".join(argv))
    sys.stdout.flush()
    run(argv, code)


def _distributed(env, framework):
    """What frameworks read of their hosts, as AWS's images set it."""
    given = os.environ.get("SAGEBRUSH_CPUS", "")
    if given.isdigit() and int(given) < (os.cpu_count() or 1):
        # Threads are counted by the machine's processors otherwise, of which
        # the container has but a share.
        os.environ.setdefault("OMP_NUM_THREADS", given)
    if framework in ("pytorch", "huggingface"):
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = env.master_hostname, command.MASTER_PORT
        os.environ["NCCL_SOCKET_IFNAME"] = env.network_interface_name
        os.environ["NCCL_IB_DISABLE"], os.environ["NCCL_DEBUG"] = "1", "WARN"
        os.environ.setdefault("GLOO_SOCKET_IFNAME", env.network_interface_name)
        try:
            os.environ["SM_DLC_TORCH_VERSION"] = importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            pass


def _wait_for(hosts):
    """Waits until the names of the other hosts are known."""
    if len(hosts) < 2 or os.environ.get("SM_STUDIO_LOCAL_MODE", "").lower() == "true":
        return
    end = time.monotonic() + _HOSTS_WAIT
    for host in hosts:
        pause = 0.1
        while True:
            try:
                socket.gethostbyname(host)
                break
            except OSError as e:
                if time.monotonic() > end:
                    raise errors.ClientError("The host %s of this job is not known to this one: %s" % (host, e)) from None
                time.sleep(pause)
                pause = min(2 * pause, 5)


if __name__ == "__main__":
    sys.exit(main())
