# SPDX-License-Identifier: Apache-2.0
"""Tells whether a requirements.txt asks for anything that is not there.

The platform prepares the environment with it before the container starts, so
that most often there is nothing to do, and pip, which takes a second to find
that out, is not started.
"""

import importlib.metadata
import os
import re


def satisfied(path):
    """Whether all that the file asks for is installed.

    False when it cannot be told: options, URLs, files of their own.
    """
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        try:
            from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
        except ImportError:
            return False
    try:
        with open(path, encoding="utf-8-sig") as f:
            lines = _lines(f.read())
        return all(_met(Requirement(line), set()) for line in lines)
    except (InvalidRequirement, UnicodeDecodeError):
        return False


def _lines(text):
    """Requirements without comments, continued lines joined."""
    out = []
    for line in text.replace("\\\r\n", "").replace("\\\n", "").splitlines():
        line = re.sub(r"(^|\s+)#.*$", "", line).strip()
        if line:
            # ${NAME} is a variable of the environment to pip.
            out.append(re.sub(r"\$\{([A-Z0-9_]+)\}", lambda m: os.environ.get(m[1], m[0]), line))
    return out


def _met(requirement, seen):
    """Whether one requirement is met, with what its extras ask for."""
    from_here = type(requirement)
    if requirement.url:
        return False
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        return True
    try:
        there = importlib.metadata.distribution(requirement.name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
    if not requirement.specifier.contains(there.version, prereleases=True):
        return False
    for extra in requirement.extras:
        if (requirement.name, extra) in seen:
            continue
        seen.add((requirement.name, extra))
        for text in there.requires or []:
            wanted = from_here(text)
            if wanted.marker and not wanted.marker.evaluate({"extra": ""}) and wanted.marker.evaluate({"extra": extra}):
                wanted.marker = None
                if not _met(wanted, seen):
                    return False
    return True
