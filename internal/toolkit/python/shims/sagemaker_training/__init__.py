# SPDX-License-Identifier: Apache-2.0
"""Stands in for sagemaker-training where it is not installed: the parts that
training scripts import."""
