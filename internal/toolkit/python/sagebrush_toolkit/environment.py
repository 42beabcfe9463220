# SPDX-License-Identifier: Apache-2.0
"""What a training container is told of its job, and the SM_ variables that
scripts read it from.

Names, forms and defaults are those of AWS's sagemaker-training 5.1.4; the
tests compare all of them with that package's own output.
"""

import collections.abc
import json
import logging
import os
import shutil
import subprocess

from sagebrush_toolkit import errors, mapping
from sagebrush_toolkit.folders import Folders, cpus

log = logging.getLogger("sagebrush-toolkit")

# The hyperparameters that are for the toolkit alone. Others that begin with
# sagemaker_ are the framework's; what is left is the script's.
_OWN = ("sagemaker_program", "sagemaker_submit_directory", "sagemaker_enable_cloudwatch_metrics", "sagemaker_region",
        "sagemaker_container_log_level", "sagemaker_job_name", "default_user_module_name", "_tuning_objective_metric",
        "sagemaker_s3_output")

# Framework parameters that ask for a distribution.
_DISTRIBUTIONS = ("sagemaker_mpi_enabled", "sagemaker_parameter_server_enabled", "sagemaker_distributed_dataparallel_enabled",
                  "sagemaker_pytorch_ddp_enabled", "sagemaker_pytorch_xla_multi_worker_enabled",
                  "sagemaker_multi_worker_mirrored_strategy_enabled", "sagemaker_torch_distributed_enabled")

HOMOGENEOUS = "homogeneousCluster"


def read_json(path):
    """The content of a configuration file; ClientError tells what is wrong with it."""
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        raise errors.ClientError("%s is missing: this is no training container, or it was not given its configuration." % path) from None
    except (ValueError, OSError) as e:
        raise errors.ClientError("%s cannot be read: %s" % (path, e)) from None


def read_hyperparameters(path):
    """Hyperparameters, decoded where their text is JSON.

    The SDK's framework estimators encode every value, others none.
    """
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise errors.ClientError("%s holds no map of hyperparameters." % path)
    return {name: _decoded(value) for name, value in raw.items()}


def _decoded(value):
    try:
        return json.loads(value)
    except (ValueError, TypeError):
        return value


def num_gpus():
    """Accelerators that nvidia-smi lists; 0 where there is none."""
    if not shutil.which("nvidia-smi"):
        return 0
    try:
        out = subprocess.check_output(["nvidia-smi", "--list-gpus"], stderr=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith(b"GPU ") for line in out.splitlines())


class Environment(collections.abc.Mapping):
    """A snapshot of the container's job.

    It is also a read-only mapping of its own public attributes, which is what
    SM_TRAINING_ENV holds.
    """

    # The keys of the mapping.
    PROPERTIES = ("additional_framework_parameters", "channel_input_dirs", "current_host", "current_instance_group",
                  "current_instance_group_hosts", "current_instance_type", "distribution_hosts", "distribution_instance_groups",
                  "framework_module", "hosts", "hyperparameters", "input_config_dir", "input_data_config", "input_dir",
                  "instance_groups", "instance_groups_dict", "is_hetero", "is_master", "is_modelparallel_enabled",
                  "is_smddpmprun_installed", "is_smddprun_installed", "job_name", "log_level", "master_hostname", "model_dir",
                  "module_dir", "module_name", "network_interface_name", "num_cpus", "num_gpus", "num_neurons",
                  "output_data_dir", "output_dir", "output_intermediate_dir", "resource_config", "topology", "user_entry_point")

    def __init__(self, resource_config=None, input_data_config=None, hyperparameters=None, environ=os.environ):
        folders = Folders(environ)
        self.folders = folders
        self.resource_config = resource_config or read_json(os.path.join(folders.config, "resourceconfig.json"))
        self.input_data_config = input_data_config or self._channels(folders)
        given = hyperparameters or read_hyperparameters(os.path.join(folders.config, "hyperparameters.json"))
        if "current_host" not in self.resource_config or not self.resource_config.get("hosts"):
            raise errors.ClientError("resourceconfig.json names no current_host or no hosts.")

        own = {k: v for k, v in given.items() if k.startswith("sagemaker_") or k in _OWN}
        self.hyperparameters = {k: v for k, v in given.items() if k not in own}
        self.additional_framework_parameters = {k: v for k, v in own.items() if k not in _OWN}

        self.current_host = self.resource_config["current_host"]
        self.hosts = self.resource_config["hosts"]
        self.current_instance_type = self.resource_config.get("current_instance_type", "local")
        self.current_instance_group = self.resource_config.get("current_group_name", HOMOGENEOUS)
        self.network_interface_name = self.resource_config.get("network_interface_name", "eth0")
        self.topology = self.resource_config.get("topology", [])
        self._groups(self.resource_config.get("instance_groups") or [])

        self.num_cpus, self.num_gpus, self.num_neurons = cpus(environ), num_gpus(), 0
        self.model_dir, self.input_dir, self.input_config_dir = folders.model, folders.input, folders.config
        self.output_dir, self.output_data_dir = folders.output, folders.output_data
        self.output_intermediate_dir = folders.output_intermediate
        self.channel_input_dirs = {name: os.path.join(folders.data, name) for name in self.input_data_config}

        program = environ.get("SAGEMAKER_PROGRAM")
        if program is None and "sagemaker_program" in own:
            program = str(own["sagemaker_program"])
        self.user_entry_point = program
        # "None" is what AWS's toolkit says where there is no program.
        self.module_name = program[:-3] if program and program.endswith(".py") else program or "None"
        self.module_dir = str(own.get("sagemaker_submit_directory", folders.code))
        self.log_level = own.get("sagemaker_container_log_level", logging.INFO)
        self.framework_module = environ.get("SAGEMAKER_TRAINING_MODULE")
        self.job_name = environ.get("TRAINING_JOB_NAME")
        self.s3_output = own.get("sagemaker_s3_output")
        parallel = environ.get("SM_HP_MP_PARAMETERS")
        self.is_modelparallel_enabled = parallel and parallel != "{}"
        self.is_smddprun_installed = shutil.which("smddprun") is not None
        self.is_smddpmprun_installed = shutil.which("smddpmprun") is not None

        region = own.get("sagemaker_region") or environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION") or ""
        # What AWS's toolkit leaves in the environment beside the SM_ variables.
        self.beside = {"SAGEMAKER_JOB_NAME": str(own.get("sagemaker_job_name", "")), "CURRENT_HOST": self.current_host,
                       "SAGEMAKER_REGION": str(region)}

    @staticmethod
    def _channels(folders):
        path = os.path.join(folders.config, "inputdataconfig.json")
        # A job without channels may come without the file.
        return read_json(path) if os.path.exists(path) else {}

    def _groups(self, groups):
        self.instance_groups = [g["instance_group_name"] for g in groups]
        self.instance_groups_dict = {g["instance_group_name"]: g for g in groups}
        self.is_hetero = len(groups) > 1
        self.current_instance_group_hosts = self.instance_groups_dict.get(self.current_instance_group, {}).get("hosts", [])
        asked = any(self.additional_framework_parameters.get(name, False) for name in _DISTRIBUTIONS)
        self.distribution_instance_groups = self.additional_framework_parameters.get(
            "sagemaker_distribution_instance_groups", [self.current_instance_group] if asked else [])
        if groups:
            self.distribution_hosts = [h for g in groups if g["instance_group_name"] in self.distribution_instance_groups for h in g["hosts"]]
        else:
            self.distribution_hosts = list(self.hosts)
        self.master_hostname = (self.distribution_hosts or self.hosts)[0]
        self.is_master = self.current_host == self.master_hostname

    def sagemaker_s3_output(self):
        """Where the user wants results, as the SDK gave it; None when it did not."""
        return self.s3_output

    def to_cmd_args(self):
        """The arguments that the script gets."""
        return mapping.to_cmd_args(self.hyperparameters)

    def to_env_vars(self):
        """The SM_ variables that the script gets."""
        names = ("hosts", "network_interface_name", "user_entry_point", "resource_config", "input_data_config", "output_data_dir",
                 "current_host", "current_instance_type", "current_instance_group", "current_instance_group_hosts",
                 "instance_groups", "instance_groups_dict", "distribution_instance_groups", "is_hetero", "module_name",
                 "log_level", "framework_module", "input_dir", "input_config_dir", "output_dir", "num_cpus", "num_gpus",
                 "num_neurons", "model_dir", "module_dir", "output_intermediate_dir")
        values = {name: getattr(self, name) for name in names}
        values.update(hps=self.hyperparameters, framework_params=self.additional_framework_parameters,
                      channels=sorted(self.channel_input_dirs), training_env=dict(self), user_args=self.to_cmd_args())
        if self.topology:
            values["topology"] = self.topology
        values.update(("channel_%s" % name, path) for name, path in self.channel_input_dirs.items())
        values.update(("hp_%s" % name, value) for name, value in self.hyperparameters.items())
        return mapping.to_env_vars(values)

    def __getitem__(self, name):
        if name not in self.PROPERTIES:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self):
        return iter(self.PROPERTIES)

    def __len__(self):
        return len(self.PROPERTIES)

    def __str__(self):
        return str(dict(self))
