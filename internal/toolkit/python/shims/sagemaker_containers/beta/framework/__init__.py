# SPDX-License-Identifier: Apache-2.0
"""content_types, encoders, env, errors, functions, mapping, modules, transformer and worker."""

from sagemaker_containers import _content_types as content_types  # noqa: F401
from sagemaker_containers import _encoders as encoders  # noqa: F401
from sagemaker_containers import _env as env
from sagemaker_containers import _errors as errors  # noqa: F401
from sagemaker_containers import _logging as logging  # noqa: F401
from sagemaker_containers import _mapping as mapping  # noqa: F401
from sagemaker_containers import _modules as modules  # noqa: F401
from sagemaker_containers import _transformer as transformer  # noqa: F401
from sagemaker_containers import _worker as worker  # noqa: F401


def training_env(resource_config=None, input_data_config=None, hyperparameters=None):
    """The job's configuration."""
    return env.TrainingEnv(resource_config, input_data_config, hyperparameters)
