# SPDX-License-Identifier: Apache-2.0
"""The command that runs the user's entry point, alone or distributed."""

import importlib.util
import json
import logging
import os
import re
import shlex
import shutil
import sys

from sagebrush_toolkit import errors

log = logging.getLogger("sagebrush-toolkit")

MASTER_PORT = "7777"

# Kinds of entry points.
SHELL, PACKAGE, SCRIPT = "shell", "package", "script"

_SAFE = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._+-]*(/[A-Za-z0-9._+-]+)*")


def validate(name):
    """Refuses an entry point that is no plain path below the code.

    A name with other characters could be read as an option or by a shell.
    """
    if not name:
        raise errors.ClientError("The training entry point name is empty. Set the 'sagemaker_program' hyperparameter or the "
                                 "SAGEMAKER_PROGRAM variable to the script to run, relative to the source directory, such as 'train.py'.")
    name = str(name)
    if not _SAFE.fullmatch(name) or any(part in (".", "..") for part in name.split("/")):
        raise errors.ClientError("The training entry point %r cannot be used. It must be a path relative to the source directory, of "
                                 "letters, digits and '._+-/' only, without '.' and '..' as parts, such as 'train.py' or 'bin/train.sh'." % name)
    return name


def kind(code, name):
    """Whether name is a shell script, part of a package with a setup.py, or a Python script."""
    if name.endswith(".sh"):
        return SHELL
    if os.path.exists(os.path.join(code, "setup.py")):
        return PACKAGE
    return SCRIPT if name.endswith(".py") else SHELL


def check(code, name):
    """Fails when a script is not there; a module of a package may come from elsewhere."""
    path = os.path.realpath(os.path.join(code, name))
    if os.path.commonpath([os.path.realpath(code), path]) != os.path.realpath(code):
        raise errors.ClientError("The training entry point %r lies outside the source directory." % name)
    if kind(code, name) != PACKAGE and not os.path.isfile(path):
        there = sorted(os.listdir(code))
        holds = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "")
        raise errors.ClientError("The training entry point %r is not in the source directory, which holds: %s." % (name, holds or "nothing"))


def plain(code, name, args, python=None):
    """The command for one process on this host."""
    what = kind(code, name)
    if what == PACKAGE:
        return (python or [sys.executable]) + ["-m", re.sub(r"\.py$", "", name)] + args
    if what == SCRIPT:
        return (python or [sys.executable, "--"]) + [name] + args
    return ["/bin/sh", "-c", "./%s %s" % (shlex.quote(name), " ".join(shlex.quote(a) for a in args))]


def build(env, code, name, args, names):
    """The command for this host, with the distribution that the job asks for.

    names are the variables that an MPI launcher hands to its processes. None
    means that another host runs everything.
    """
    asked = env.additional_framework_parameters
    if env.current_instance_group not in env.distribution_instance_groups:
        return plain(code, name, args)
    if asked.get("sagemaker_mpi_enabled"):
        return _mpi(env, code, name, args, names)
    if asked.get("sagemaker_torch_distributed_enabled") or asked.get("sagemaker_pytorch_ddp_enabled"):
        return _torchrun(env, code, name, args)
    for parameter, what in (("sagemaker_distributed_dataparallel_enabled", "SageMaker's distributed data parallel library"),
                            ("sagemaker_pytorch_xla_multi_worker_enabled", "PyTorch/XLA"),
                            ("sagemaker_parameter_server_enabled", "TensorFlow's parameter servers")):
        if asked.get(parameter):
            raise errors.ClientError("%s is not available here (%s). Use torch_distributed or mpi." % (what, parameter))
    if asked.get("sagemaker_multi_worker_mirrored_strategy_enabled"):
        _tf_config(env)
    return plain(code, name, args)


def _per_host(env):
    return int(env.additional_framework_parameters.get("sagemaker_mpi_num_of_processes_per_host") or env.num_gpus or 1)


def _torchrun(env, code, name, args):
    if kind(code, name) != SCRIPT:
        raise errors.ClientError("torch_distributed runs Python scripts only; the entry point %r is none." % name)
    if shutil.which("torchrun"):
        command = ["torchrun"]
    elif importlib.util.find_spec("torch"):
        command = [sys.executable, "-m", "torch.distributed.run"]
    else:
        raise errors.ClientError("The job asks for torch_distributed, but neither torchrun nor torch is installed.")
    hosts = env.distribution_hosts
    command += ["--nnodes", str(len(hosts)), "--nproc_per_node", str(_per_host(env))]
    if len(hosts) > 1:
        command += ["--master_addr", env.master_hostname, "--master_port", MASTER_PORT, "--node_rank", str(hosts.index(env.current_host))]
    os.environ.setdefault("NCCL_PROTO", "simple")
    return command + [name] + args


def _mpi(env, code, name, args, names):
    if not shutil.which("mpirun"):
        raise errors.ClientError("The job asks for MPI, but mpirun is not installed in this container.")
    hosts = env.distribution_hosts
    if len(hosts) > 1:
        raise errors.ClientError("MPI over several hosts (%s) is not available: the hosts have no SSH between them. "
                                 "Use one host with sagemaker_mpi_num_of_processes_per_host, or torch_distributed." % ", ".join(hosts))
    asked = env.additional_framework_parameters
    per_host = _per_host(env)
    total = int(asked.get("sagemaker_mpi_num_processes") or per_host)
    # The host's own name is not asked for: mpirun would look for it with SSH
    # where the name is not that of the machine.
    # Options that Open MPI has had from version 3 to 5.
    command = ["mpirun", "--host", "localhost:%d" % max(per_host, total), "-np", str(total), "--allow-run-as-root", "--tag-output",
               "--bind-to", "none", "--map-by", "slot:OVERSUBSCRIBE", "--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", "lo"]
    command += shlex.split(str(asked.get("sagemaker_mpi_custom_mpi_options") or ""))
    for variable in ["PATH", "LD_LIBRARY_PATH", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] + sorted(names):
        if variable in os.environ or variable in names:
            command += ["-x", variable]
    # mpi4py ends all processes when one of them has an uncaught exception.
    python = [sys.executable, "-m", "mpi4py"] if importlib.util.find_spec("mpi4py") else None
    return command + plain(code, name, args, python)


def _tf_config(env):
    """Tells tf.distribute of its hosts, as TensorFlow's training image does."""
    hosts = env.distribution_hosts
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": ["%s:8890" % h for h in hosts]}, "environment": "cloud",
                                          "task": {"index": hosts.index(env.current_host), "type": "worker"}})
