# SPDX-License-Identifier: Apache-2.0
"""Expecting an error."""

import contextlib
import re

import botocore.exceptions
import pytest


@contextlib.contextmanager
def refused(code, message=".*", status=400):
    """The block must end in the service's error with this code, status and (by regular expression) message."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        yield caught
    error = caught.value.response["Error"]
    assert error["Code"] == code, f"the code is {error['Code']}: {error['Message']}"
    assert re.search(message, error["Message"]), f"the message is: {error['Message']}"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
