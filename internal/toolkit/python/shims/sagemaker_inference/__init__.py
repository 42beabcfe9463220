# SPDX-License-Identifier: Apache-2.0
"""Stands in for sagemaker-inference where it is not installed: the parts that
inference scripts import."""
