# SPDX-License-Identifier: Apache-2.0
"""Answers: what the server sends, and what users' functions return made into it."""

import json
import traceback

from sagebrush_toolkit.content_types import JSON
from sagebrush_toolkit.serve import streams


class Answer:
    """A response on its way out.

    body is bytes or an iterator of bytes or text.
    """

    __slots__ = ("status", "content_type", "body", "headers", "phrase")

    def __init__(self, body=b"", content_type=None, status=200, headers=None, phrase=None):
        self.body, self.content_type, self.status = body, content_type, status
        self.headers, self.phrase = headers or {}, phrase

    @property
    def whole(self):
        """Whether the body is bytes."""
        return isinstance(self.body, (bytes, bytearray, memoryview))


def trace(exception):
    """Where an exception was raised, as Python prints it."""
    return "".join(traceback.format_exception(type(exception), exception, exception.__traceback__))


def error(status, exception, as_json, phrase=None):
    """The answer to a request that failed: the exception's text and where it was raised."""
    message = str(getattr(exception, "message", None) or exception)
    if as_json:
        text = json.dumps({"error": type(exception).__name__, "error-message": message, "stack-trace": trace(exception)})
        return Answer(text.encode("utf-8"), JSON, status, phrase=phrase)
    return Answer(("%s\n%s" % (message, trace(exception))).encode("utf-8", "replace"), "text/plain; charset=utf-8", status, phrase=phrase)


def of(result, content_type):
    """What a user's function returned as an Answer.

    That may be a body, a pair of body and content type (or a triple with a
    status as Flask takes it), or a response object of sagemaker_containers or
    Flask. A content type that is not told is content_type.
    """
    if isinstance(result, Answer):
        return result
    if hasattr(result, "get_data") and hasattr(result, "status_code"):
        headers = {k: v for k, v in dict(result.headers).items() if k.lower() not in ("content-type", "content-length", "connection")}
        kind = getattr(result, "content_type", None) or getattr(result, "mimetype", None) or content_type
        return Answer(result.get_data(), kind, int(result.status_code), headers)
    if isinstance(result, tuple):
        if len(result) == 3 and isinstance(result[1], int):
            return Answer(body(result[0]), result[2].get("Content-Type", content_type), result[1])
        if len(result) != 2:
            raise TypeError("a tuple of %d values was returned where (body, content type) was expected" % len(result))
        if isinstance(result[1], int):
            return Answer(body(result[0]), content_type, result[1])
        return Answer(body(result[0]), str(result[1]), 200)
    return Answer(body(result), content_type)


def body(value):
    """Bytes of whatever was returned as a body, or an iterator of them."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8")
    if value is None:
        return b""
    if streams.streams(value):
        return streams.parts(value)
    if hasattr(value, "read"):
        return body(value.read())
    # MMS and TorchServe send other values as JSON.
    from sagebrush_toolkit.codec import array_to_json
    return array_to_json(value).encode("utf-8")


def plain(status, text):
    """An answer of the server itself."""
    return Answer((text + "\n").encode("utf-8"), "text/plain; charset=utf-8", status)

