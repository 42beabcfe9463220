# SPDX-License-Identifier: Apache-2.0
"""Values as variables and arguments."""

from sagebrush_toolkit.mapping import to_cmd_args, to_env_vars  # noqa: F401
