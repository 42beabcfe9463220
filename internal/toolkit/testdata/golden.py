# SPDX-License-Identifier: Apache-2.0
"""Asks AWS's own training toolkit what it makes of the cases in
environment.json and failures.json, and writes its answers beside them as
"want". The Go tests then ask ours.

Run it with a Python that has sagemaker-training (the answers here are those of
version 5.1.4): python golden.py
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent

# What the user's script notes of itself.
DUMP = """
import json, os, sys
env = {k: v for k, v in os.environ.items() if k.startswith(("SM_", "SAGEMAKER_")) or k == "CURRENT_HOST"}
with open(os.path.join(os.environ["SM_MODEL_DIR"], "dump.json"), "w") as f:
    json.dump({"argv": sys.argv, "cwd": os.getcwd(), "env": env}, f)
"""

# What the deep learning images do: run the script with its errors captured.
FRAMEWORK = """
from sagemaker_training import entry_point, environment
def main():
    env = environment.Environment()
    entry_point.run(env.module_dir, env.user_entry_point, env.to_cmd_args(), env.to_env_vars(), capture_error=True)
"""


def lay_out(root, case):
    """Makes the folder that stands for /opt/ml."""
    config = root / "input" / "config"
    for folder in (config, root / "code", root / "model", root / "output"):
        folder.mkdir(parents=True)
    for name in ("hyperparameters", "inputdataconfig", "resourceconfig"):
        (config / (name + ".json")).write_text(json.dumps(case.get(name, {})))
    for name, text in case.get("files", {}).items():
        path = root / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run(root, case, *extra):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SM_", "SAGEMAKER_", "AWS_"))}
    env.update(SAGEMAKER_BASE_DIR=str(root), SM_STUDIO_LOCAL_MODE="True", PYTHONPATH=str(root / "framework"), HOME=str(root))
    env.update(case.get("env", {}))
    env.update(extra)
    return subprocess.run([sys.executable, "-m", "sagemaker_training.cli.train"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def general(value, root):
    """Takes out what differs from run to run."""
    text = json.dumps(value).replace(os.path.realpath(root), "{root}").replace(str(root), "{root}").replace(sys.executable, "{python}")
    return json.loads(text)


def environment(case, root):
    case["files"] = {"train.py": DUMP}
    lay_out(root, case)
    del case["files"]
    done = run(root, case)
    if done.returncode:
        raise SystemExit(done.stdout.decode())
    got = json.loads((root / "model" / "dump.json").read_text())
    del got["env"]["SM_STUDIO_LOCAL_MODE"], got["env"]["SAGEMAKER_BASE_DIR"]
    return got


def failure(case, root):
    lay_out(root, case)
    (root / "framework").mkdir()
    (root / "framework" / "golden_framework.py").write_text(FRAMEWORK)
    done = run(root, case, ("SAGEMAKER_TRAINING_MODULE", "golden_framework:main"))
    return {"code": done.returncode, "failure": (root / "output" / "failure").read_text()}


for name, ask in (("environment.json", environment), ("failures.json", failure)):
    cases = json.loads((HERE / name).read_text())
    for case in cases:
        with tempfile.TemporaryDirectory() as root:
            case["want"] = general(ask(case, pathlib.Path(root)), root)
            print(name, case["name"])
    (HERE / name).write_text(json.dumps(cases, indent=1) + "\n")
