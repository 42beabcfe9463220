# SPDX-License-Identifier: Apache-2.0
"""Prints the URIs of us-east-1 that the SageMaker SDKs have for framework images.

    pip download --no-deps sagemaker==2.257.7 sagemaker-core==2.27.0
    python uris.py sagemaker-2.257.7-py3-none-any.whl sagemaker_core-2.27.0-py3-none-any.whl > uris.txt

The SDK builds a tag of version, processor, Python and container version, joined
by "-", what is missing left out; the tables say what there is of each.
"""

import itertools
import json
import re
import sys
import zipfile

TABLES = ["sklearn", "xgboost", "pytorch", "tensorflow", "huggingface", "mxnet", "chainer", "spark", "sagemaker-base-python",
          "sagemaker-distribution"]


def entries(scope):
    """The (version, entry) of a scope, with the levels below a version opened."""
    for version, entry in scope.get("versions", {}).items():
        below = [(k, v) for k, v in entry.items() if isinstance(v, dict) and "repository" in v]
        for name, inner in below or [("", entry)]:
            yield version, name, inner


def uris(table, data):
    scopes = [("", data)] if "versions" in data else list(data.items())
    for scope_name, scope in scopes:
        for version, inner_name, e in entries(scope):
            account = e.get("registries", {}).get("us-east-1")
            if not account:
                continue
            prefix = e.get("tag_prefix", version)
            if table == "huggingface":
                prefix = re.sub(r"^[a-z]+", "", inner_name) + "-transformers" + version
            pythons = [inner_name] if inner_name.startswith("py") and "py_versions" not in e and table != "huggingface" else e.get("py_versions", [""])
            repositories = [e["repository"]]
            if table == "sagemaker-base-python":
                repositories = [e["repository"] + suffix for suffix in ("-38", "-310")]
            for repository, processor, python in itertools.product(repositories, scope.get("processors") or e.get("processors") or [""], pythons):
                container = e.get("container_version", {}).get(processor, "")
                if scope_name == "inference_graviton":
                    container = "-".join(x for x in (container, "sagemaker" if table in ("pytorch", "tensorflow") else "") if x)
                tag = "-".join(x for x in (prefix, processor, python, container) if x)
                if scope_name == "inference_graviton" and table in ("sklearn", "xgboost"):
                    tag = {"sklearn": "1.0-1-arm64-cpu-py3"}.get(table, version + "-arm64")
                yield f"{account}.dkr.ecr.us-east-1.amazonaws.com/{repository}:{tag}"


found = set()
for wheel in sys.argv[1:]:
    with zipfile.ZipFile(wheel) as z:
        for name in z.namelist():
            m = re.search(r"image_uri_config/(.+)\.json$", name)
            if m and m[1] in TABLES:
                found.update(uris(m[1], json.loads(z.read(name))))
print("\n".join(sorted(found)))
