# SPDX-License-Identifier: Apache-2.0
"""Installs what the user's code needs and the environment has not."""

import importlib.util
import logging
import os
import shutil
import sys

from sagebrush_toolkit import errors
from sagebrush_toolkit import requirements as listed
from sagebrush_toolkit.run import run

log = logging.getLogger("sagebrush-toolkit")


def package(code):
    """Installs the package whose setup.py is in the folder code."""
    log.info("Installing module.")
    argv = _pip() + ["install", "."]
    if os.path.exists(os.path.join(code, "requirements.txt")):
        argv += ["-r", "requirements.txt"]
    sys.stdout.flush()
    run(argv, code, errors.InstallModuleError)


def requirements(code):
    """Installs the requirements.txt of the folder code, if it has one that
    asks for what is not there."""
    path = os.path.join(code, "requirements.txt")
    if not os.path.exists(path):
        return
    if listed.satisfied(path):
        log.info("All of requirements.txt is installed already.")
        return
    log.info("Installing dependencies from requirements.txt")
    sys.stdout.flush()
    run(_pip() + ["install", "-r", "requirements.txt"], code, errors.InstallRequirementsError)


def _pip():
    # An environment that uv made has no pip.
    if importlib.util.find_spec("pip") is None and shutil.which("uv"):
        return ["uv", "pip", "--python", sys.executable]
    return [sys.executable, "-m", "pip"]
