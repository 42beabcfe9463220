# SPDX-License-Identifier: Apache-2.0
"""What output_fn returns."""


class Response:
    """A body with its content type, status and headers, as Flask's Response has them."""

    def __init__(self, response=None, accept=None, status=200, headers=None, mimetype=None, direct_passthrough=False):
        self.response = response
        self.status_code = int(str(status).split(" ")[0])
        self.mimetype = self.content_type = mimetype or "application/json"
        self.headers = dict(headers or {})
        self.headers["Content-Type"] = self.content_type

    def get_data(self, as_text=False):
        """The body, as bytes or text."""
        parts = self.response
        if parts is None:
            parts = b""
        elif not isinstance(parts, (bytes, bytearray, str)):
            parts = b"".join(p.encode("utf-8") if isinstance(p, str) else bytes(p) for p in parts)
        data = parts.encode("utf-8") if isinstance(parts, str) else bytes(parts)
        return data.decode("utf-8") if as_text else data

    @property
    def data(self):
        return self.get_data()

    @property
    def status(self):
        return str(self.status_code)
