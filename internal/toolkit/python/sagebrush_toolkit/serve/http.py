# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as far as a model server needs it, on one connection.

The standard library's server parses headers as mail, which takes longer than
many models do.
"""

import http
import re

from sagebrush_toolkit.serve import streams

MAX_HEAD = 64 << 10  # bytes of request line and headers, and of trailers
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Refused(Exception):
    """A request that cannot be read; the connection ends with this status."""

    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


class Request:
    """One request. Header names are lower case; body is bytes."""

    __slots__ = ("method", "path", "query", "headers", "body", "keep_alive", "takes_chunks")

    def __init__(self, method, path, query, headers, keep_alive, takes_chunks=True):
        self.method, self.path, self.query, self.headers, self.keep_alive = method, path, query, headers, keep_alive
        self.body, self.takes_chunks = b"", takes_chunks


class Connection:
    """Reads requests from a socket and writes answers to it."""

    def __init__(self, sock, max_body=None):
        self.sock = sock
        self.max_body = max_body  # bytes; None for no limit
        self.file = sock.makefile("rb", 1 << 16)

    def close(self):
        """Ends the connection."""
        try:
            self.file.close()
            self.sock.close()
        except OSError:
            pass

    def wait(self):
        """Waits for the next request; False when there will be none."""
        try:
            return bool(self.file.peek(1))
        except (OSError, ValueError):
            return False

    def read(self):
        """The next request with its body; None at the end of the stream."""
        line = self._line(MAX_HEAD)
        if line in (b"\r\n", b"\n"):  # an empty line before a request is allowed
            line = self._line(MAX_HEAD)
        if not line:
            return None
        words = line.strip().split(b" ")
        if len(words) != 3 or not _TOKEN.fullmatch(words[0]):
            raise Refused(400, "no request line of HTTP")
        if words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise Refused(505, "only HTTP/1.1 is spoken here")
        headers = self._headers(MAX_HEAD - len(line))
        target = words[1].decode("latin1")
        if target.startswith("http://"):
            target = "/" + target[len("http://"):].partition("/")[2]
        path, _, query = target.partition("?")
        connection = headers.get("connection", "").lower()
        keep = "keep-alive" in connection if words[2] == b"HTTP/1.0" else "close" not in connection
        request = Request(words[0].decode("ascii"), path, query, headers, keep, words[2] != b"HTTP/1.0")
        self._body(request)
        return request

    def _line(self, limit):
        line = self.file.readline(limit + 1)
        if len(line) > limit:
            raise Refused(431, "the headers are too long")
        if line and not line.endswith(b"\n"):
            raise Refused(400, "the request ends within its headers")
        return line

    def _headers(self, left):
        headers = {}
        while True:
            line = self._line(left)
            left -= len(line)
            if line in (b"\r\n", b"\n"):
                return headers
            name, colon, value = line.partition(b":")
            if not line or not colon or not _TOKEN.fullmatch(name):
                raise Refused(400, "a header that is none")
            key, text = name.decode("ascii").lower(), value.strip().decode("latin1")
            if key in ("content-length", "transfer-encoding") and headers.get(key, text) != text:
                raise Refused(400, "two headers %s that differ" % key)
            headers[key] = headers[key] + ", " + text if key in headers and key != "content-length" else text

    def _body(self, request):
        headers = request.headers
        chunked = headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length")
        if chunked and chunked != "chunked":
            raise Refused(501, "the transfer encoding %s is not known here" % chunked)
        if chunked and length is not None:
            raise Refused(400, "a length for a body in chunks")
        if length is not None and not (length.isascii() and length.isdigit() and len(length) < 19):
            raise Refused(400, "a content length that is none")
        if length is not None:
            self._allow(int(length))
        if (chunked or length not in (None, "0")) and headers.get("expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if chunked:
            request.body = self._chunks()
        elif length is not None:
            request.body = self._exactly(int(length))

    def _allow(self, size):
        if self.max_body is not None and size > self.max_body:
            raise Refused(413, "the body is larger than %d bytes" % self.max_body)

    def _exactly(self, size):
        body = self.file.read(size)
        if len(body) != size:
            raise Refused(400, "the request ends within its body")
        return body

    def _chunks(self):
        parts, total = [], 0
        while True:
            text = self._line(MAX_HEAD).partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", text):
                raise Refused(400, "a chunk without its size")
            size = int(text, 16)
            if size == 0:
                break
            total += size
            self._allow(total)
            parts.append(self._exactly(size))
            if self._line(2) not in (b"\r\n", b"\n"):
                raise Refused(400, "a chunk that is longer than its size")
        self._headers(MAX_HEAD)  # trailers
        return b"".join(parts)

    def write(self, answer, keep_alive, head_only=False, chunks=True):
        """Sends an Answer. Its body may be bytes or an iterator of them, of
        which each part goes out at once, in chunks; a client that does not
        take chunks gets them all at the end."""
        body, whole = answer.body, answer.whole
        if not whole and not chunks and not head_only:
            body, whole = b"".join(streams.raw(part) for part in body), True
        lines = ["HTTP/1.1 %d %s" % (answer.status, _phrase(answer))]
        if answer.content_type:
            lines.append("Content-Type: " + answer.content_type)
        lines += ["%s: %s" % item for item in answer.headers.items()]
        lines.append("Content-Length: %d" % len(body) if whole else "Transfer-Encoding: chunked")
        lines.append("Connection: " + ("keep-alive" if keep_alive else "close"))
        head = "\r\n".join(_clean(line) for line in lines).encode("latin1", "replace") + b"\r\n\r\n"
        if head_only:
            self.sock.sendall(head)
        elif not whole:
            self.sock.sendall(head)
            for part in body:
                part = streams.raw(part)
                if part:
                    self.sock.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            self.sock.sendall(b"0\r\n\r\n")
        elif len(body) < 1 << 16:
            self.sock.sendall(head + body)
        else:
            self.sock.sendall(head)
            self.sock.sendall(body)


def _clean(line):
    """Without what would end the line early, as a model's texts may."""
    return line.replace("\r", " ").replace("\n", " ")


def _phrase(answer):
    if answer.phrase:
        return answer.phrase
    try:
        return http.HTTPStatus(answer.status).phrase
    except ValueError:
        return "Status"
