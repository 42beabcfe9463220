# SPDX-License-Identifier: Apache-2.0
"""Stands in for the package of the XGBoost container where it is not installed:
the parts that scripts import."""
