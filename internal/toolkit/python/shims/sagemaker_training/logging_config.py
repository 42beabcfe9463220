# SPDX-License-Identifier: Apache-2.0
"""The toolkit's logger."""

import logging as _logging


def get_logger():
    return _logging.getLogger("sagemaker-training-toolkit")


def configure_logger(level, log_format="%(asctime)s %(name)-12s %(levelname)-8s %(message)s"):
    _logging.basicConfig(format=log_format, level=level)
