# SPDX-License-Identifier: Apache-2.0
"""Errors that say which status a request gets."""

from sagebrush_toolkit.codec import UnsupportedFormatError  # noqa: F401


class BaseInferenceToolkitError(Exception):
    """An error with the status, the message and the phrase of the answer."""

    def __init__(self, status_code, message, phrase):
        self.status_code, self.message, self.phrase = status_code, message, phrase
        super().__init__(status_code, message, phrase)


class GenericInferenceToolkitError(BaseInferenceToolkitError):
    """An error whose message and phrase may be left out."""

    def __init__(self, status_code, message=None, phrase=None):
        message = message or "Invalid Request"
        super().__init__(status_code, message, phrase or message)
