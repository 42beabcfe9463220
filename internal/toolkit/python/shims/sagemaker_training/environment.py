# SPDX-License-Identifier: Apache-2.0
"""The job's configuration, as sagemaker_training.environment gives it."""

import os as _os

from sagebrush_toolkit import environment as _environment
from sagebrush_toolkit import folders as _folders
from sagebrush_toolkit.environment import Environment, num_gpus

_at = _folders.Folders()
base_dir, code_dir, model_dir, input_dir, input_config_dir = _at.root, _at.code, _at.model, _at.input, _at.config
output_dir, output_data_dir, output_intermediate_dir = _at.output, _at.output_data, _at.output_intermediate
hyperparameters_file_dir = _os.path.join(input_config_dir, "hyperparameters.json")
input_data_config_file_dir = _os.path.join(input_config_dir, "inputdataconfig.json")
resource_config_file_dir = _os.path.join(input_config_dir, "resourceconfig.json")


def num_cpus():
    """Processors that the container may use."""
    return _folders.cpus()


def channel_path(channel):
    """The folder of a channel."""
    return _os.path.join(_at.data, channel)


def read_hyperparameters():
    """Hyperparameters, decoded where they are JSON."""
    return _environment.read_hyperparameters(hyperparameters_file_dir)


def read_resource_config():
    """resourceconfig.json"""
    return _environment.read_json(resource_config_file_dir)


def read_input_data_config():
    """inputdataconfig.json"""
    return _environment.read_json(input_data_config_file_dir)


def write_env_vars(env_vars=None):
    """Sets variables of this process."""
    _os.environ.update(env_vars or {})


__all__ = ["Environment", "num_gpus", "num_cpus", "channel_path", "read_hyperparameters", "read_resource_config", "read_input_data_config"]
