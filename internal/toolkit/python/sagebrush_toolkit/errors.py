# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, in the words that AWS's training toolkit uses for it."""


class ClientError(Exception):
    """What the user can mend."""


class _ProcessError(ClientError):
    """A command that ended with another code than 0.

    Its text is what becomes the failure reason of the job.
    """

    def __init__(self, command, return_code, output="", info=None):
        super().__init__()
        self.command, self.return_code, self.output, self.info = command, return_code, output, info

    def __str__(self):
        lines = ["%s:" % type(self).__name__, "ExitCode %s" % self.return_code, 'ErrorMessage "%s"' % self.output]
        if self.info is not None:
            lines.append('ExtraInfo "%s"' % self.info)
        lines.append('Command "%s"' % self.command)
        return "\n".join(lines)


class InstallModuleError(_ProcessError):
    """The user's package could not be installed."""


class InstallRequirementsError(_ProcessError):
    """requirements.txt could not be installed."""


class ExecuteUserScriptError(_ProcessError):
    """The user's script failed."""
