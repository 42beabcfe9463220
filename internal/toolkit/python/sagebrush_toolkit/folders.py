# SPDX-License-Identifier: Apache-2.0
"""Where the parts of /opt/ml are."""

import os

CONTRACT = "/opt/ml"


class Folders:
    """The folders of a container under its root.

    The root is /opt/ml. SAGEBRUSH_ML_ROOT names another where a container has
    no file system of its own, SAGEMAKER_BASE_DIR as for AWS's toolkits.
    SAGEBRUSH_MODEL_DIR is the model's folder where several are served.
    """

    def __init__(self, environ=os.environ):
        self.root = environ.get("SAGEBRUSH_ML_ROOT") or environ.get("SAGEMAKER_BASE_DIR") or CONTRACT
        self.code = os.path.join(self.root, "code")
        self.model = environ.get("SAGEBRUSH_MODEL_DIR") or os.path.join(self.root, "model")
        self.input = os.path.join(self.root, "input")
        self.config = os.path.join(self.input, "config")
        self.data = os.path.join(self.input, "data")
        self.output = os.path.join(self.root, "output")
        self.output_data = os.path.join(self.output, "data")
        self.output_intermediate = os.path.join(self.output, "intermediate")

    def here(self, path):
        """The place of a path that was written with /opt/ml in mind."""
        path = str(path)
        if path.startswith("file://"):
            path = path[len("file://"):]
        if self.root != CONTRACT and (path == CONTRACT or path.startswith(CONTRACT + "/")):
            return self.root + path[len(CONTRACT):]
        return path


def cpus(environ=os.environ):
    """How many processors the container may use."""
    given = environ.get("SAGEBRUSH_CPUS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return os.cpu_count() or 1
