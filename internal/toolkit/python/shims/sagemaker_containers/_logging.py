# SPDX-License-Identifier: Apache-2.0
"""The toolkit's logger."""

from sagemaker_training.logging_config import configure_logger, get_logger  # noqa: F401
