# SPDX-License-Identifier: Apache-2.0
"""The configuration of training and of serving."""

import os as _os

from sagebrush_toolkit import folders as _folders
from sagebrush_toolkit.environment import Environment as TrainingEnv
from sagebrush_toolkit.environment import num_gpus

_at = _folders.Folders()
code_dir, model_dir, input_dir, input_config_dir = _at.code, _at.model, _at.input, _at.config
output_dir, output_data_dir = _at.output, _at.output_data


def num_cpus():
    """Processors that the container may use."""
    return _folders.cpus()


def channel_path(channel):
    """The folder of a channel."""
    return _os.path.join(_at.data, channel)


class ServingEnv:
    """What a serving container is told."""

    def __init__(self):
        get = _os.environ.get
        program = get("SAGEMAKER_PROGRAM")
        self.module_name = program[:-3] if program and program.endswith(".py") else program
        self.module_dir = get("SAGEMAKER_SUBMIT_DIRECTORY", code_dir)
        self.model_dir = model_dir
        self.default_accept = get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")
        self.model_server_timeout = int(get("SAGEMAKER_MODEL_SERVER_TIMEOUT", "60"))
        self.model_server_workers = int(get("SAGEMAKER_MODEL_SERVER_WORKERS", num_cpus()))
        self.http_port, self.safe_port_range = get("SAGEMAKER_BIND_TO_PORT", "8080"), get("SAGEMAKER_SAFE_PORT_RANGE")
        self.num_cpus, self.num_gpus = num_cpus(), num_gpus()
        self.log_level = int(get("SAGEMAKER_CONTAINER_LOG_LEVEL", "20"))
        self.framework_module, self.use_nginx = get("SAGEMAKER_SERVING_MODULE"), False


__all__ = ["TrainingEnv", "ServingEnv", "num_cpus", "num_gpus", "channel_path"]
