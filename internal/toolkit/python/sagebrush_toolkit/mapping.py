# SPDX-License-Identifier: Apache-2.0
"""Values as environment variables and as arguments, as scripts know them."""

import json


def to_env_value(value):
    """Strings as they are, None as nothing, all else as compact sorted JSON."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def to_env_vars(values):
    """{"model_dir": "/opt/ml/model"} becomes {"SM_MODEL_DIR": "/opt/ml/model"}."""
    return {"SM_%s" % str(name).upper() if name else "": to_env_value(value) for name, value in values.items()}


def to_cmd_args(values):
    """Sorted by name: ["--name", "value", "-x", "7"].

    Values are Python's str of them, so that true is "True" and a list
    "[1, 2]"; a map is "a=1,b=2" and None an empty word.
    """
    args = []
    for name in sorted(values):
        dashes = "" if not name else "--" if len(name) > 1 else "-"
        args += [dashes + str(name), _word(values[name])]
    return args


def _word(value):
    if value is None:
        return ""
    if isinstance(value, dict):
        return ",".join("%s=%s" % item for item in sorted(value.items()))
    if isinstance(value, bytes):
        return value.decode("latin1")
    return str(value)
