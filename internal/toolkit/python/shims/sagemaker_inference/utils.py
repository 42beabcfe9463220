# SPDX-License-Identifier: Apache-2.0
"""Helpers that scripts use."""


def read_file(path, mode="r"):
    with open(path, mode) as f:
        return f.read()


def write_file(path, data, mode="w"):
    with open(path, mode) as f:
        f.write(data)


def parse_accept(accept):
    """The types of an Accept header, as they come."""
    return accept.replace(" ", "").split(",")


def retrieve_content_type_header(request_property):
    """The Content-Type among headers, however it is spelled."""
    for name, value in request_property.items():
        if name.lower().replace("-", "").startswith("contenttype"):
            return value
    return None
