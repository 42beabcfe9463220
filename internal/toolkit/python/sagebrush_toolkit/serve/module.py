# SPDX-License-Identifier: Apache-2.0
"""Finds and imports the user's inference script, and calls its functions."""

import importlib
import importlib.util
import inspect
import os
import sys

from sagebrush_toolkit.folders import Folders

DEFAULT = "inference.py"


class LoadError(Exception):
    """The user's script or model cannot be used; the text is for the user."""


def folders(environ=os.environ):
    """Where the script may be, in the order in which it is looked for."""
    at = Folders(environ)
    given = environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
    # The platform unpacks an archive in S3 into /opt/ml/code.
    out = [] if not given else [at.code if given.startswith("s3://") else at.here(given)]
    out += [os.path.join(at.model, "code"), at.code, at.model]
    return list(dict.fromkeys(f for f in out if os.path.isdir(f)))


def load(environ=os.environ):
    """The user's module; None when there is none and none was named.

    The folders of code come first on the module path, and lib in them, where
    the SDK puts dependencies.
    """
    program = environ.get("SAGEMAKER_PROGRAM") or ""
    places = folders(environ)
    for folder in reversed(places):
        for path in (os.path.join(folder, "lib"), folder):
            if os.path.isdir(path) and path not in sys.path:
                sys.path.insert(0, path)
    os.environ["PYTHONPATH"] = os.pathsep.join(places + [p for p in environ.get("PYTHONPATH", "").split(os.pathsep) if p and p not in places])
    name = program or DEFAULT
    for folder in places:
        for path in (os.path.join(folder, name), os.path.join(folder, name + ".py")):
            if os.path.isfile(path) and path.endswith(".py"):
                return _import(path)
    if not program:
        return None
    if not program.endswith(".py") and importlib.util.find_spec(program) is not None:
        return importlib.import_module(program)
    raise LoadError("The inference script %r (SAGEMAKER_PROGRAM) is in none of %s." % (program, ", ".join(places) or "the folders of code"))


def _import(path):
    name = os.path.splitext(os.path.basename(path))[0]
    here = os.path.dirname(path)
    if here not in sys.path:
        sys.path.insert(0, here)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def caller(function, count, takes_context=True):
    """A function of count arguments and the context that calls function with
    or without the context, whichever it takes.

    It is told by the number of its parameters, as AWS's toolkits do.
    """
    try:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    except (TypeError, ValueError):  # of a built-in function
        return lambda *args: function(*args[:count])
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return lambda *args: function(*args[:count])
    required = [p for p in parameters if p.default is p.empty]
    if len(parameters) == count + 1 and (takes_context or len(required) == count + 1):
        return function
    if len(required) <= count <= len(parameters):
        return lambda *args: function(*args[:count])
    raise LoadError("%s takes %d arguments but %d were given." % (getattr(function, "__name__", function), len(parameters), count))
