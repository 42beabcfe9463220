# SPDX-License-Identifier: Apache-2.0
"""How much memory the container has, and how much its processes take."""

import os


def limit(environ=os.environ):
    """Bytes that the container may take; None when nothing tells.

    SAGEBRUSH_MEMORY_BYTES says it where the container has no control group of
    its own, or one that others are in.
    """
    given = environ.get("SAGEBRUSH_MEMORY_BYTES", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return _group_limit()


def _group_limit(groups="/proc/self/cgroup", root="/sys/fs/cgroup"):
    try:
        with open(groups, encoding="ascii") as f:
            lines = f.read().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = os.path.join(root, "memory"), "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for end in range(len(parts), -1, -1):  # a limit of a group above is one, too
            found.append(_number(os.path.join(base, *parts[:end], name)))
    return min((n for n in found if n is not None and n < 1 << 60), default=None)


def _number(path):
    try:
        with open(path, encoding="ascii") as f:
            text = f.read().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def used():
    """Bytes that this process and those that it started have in memory, of
    what several share a part for each; None when nothing tells."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return None
    children = {}
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid, "rb") as f:
                parent = int(f.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):  # it has ended
            continue
        children.setdefault(parent, []).append(pid)
    total, todo = 0, [os.getpid()]
    while todo:
        pid = todo.pop()
        todo += children.get(pid, [])
        total += _resident(pid)
    return total


def _resident(pid):
    try:
        with open("/proc/%d/smaps_rollup" % pid, "rb") as f:
            for line in f:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    try:
        with open("/proc/%d/statm" % pid, "rb") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
