# SPDX-License-Identifier: Apache-2.0
"""Errors of the training toolkit."""

from sagebrush_toolkit.codec import UnsupportedFormatError  # noqa: F401
from sagebrush_toolkit.errors import ClientError, ExecuteUserScriptError, InstallModuleError, InstallRequirementsError  # noqa: F401


class ImportModuleError(ClientError):
    """A module that cannot be imported."""


class ChannelDoesNotExistError(Exception):
    """A channel that the job has not."""

    def __init__(self, channel_name):
        super().__init__("Channel %s is not a valid channel" % channel_name)
