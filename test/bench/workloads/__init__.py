# SPDX-License-Identifier: Apache-2.0
"""What the built-in algorithms are timed at: a module for each, with a list WORKLOADS of speed.Workload."""
