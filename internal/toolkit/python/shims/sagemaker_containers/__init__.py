# SPDX-License-Identifier: Apache-2.0
"""Stands in for sagemaker-containers where it is not installed: the parts that
scripts import."""

from sagemaker_containers.beta.framework import training_env  # noqa: F401
