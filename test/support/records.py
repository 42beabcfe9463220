# SPDX-License-Identifier: Apache-2.0
"""RecordIO-protobuf by hand, as Amazon's algorithms take and give it."""

import struct


def tensor(values):
    return b"\x0a" + varint(4 * len(values)) + struct.pack(f"<{len(values)}f", *values)


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def message(number, body):
    return bytes([number << 3 | 2]) + varint(len(body)) + body


def recordio(x, y=None):
    """Rows as RecordIO-protobuf, as the SDK's write_numpy_to_dense_tensor writes them."""
    out = b""
    for i, row in enumerate(x):
        record = message(1, message(1, b"values") + message(2, message(2, tensor(row))))
        if y is not None:
            record += message(2, message(1, b"values") + message(2, message(2, tensor([y[i]]))))
        out += struct.pack("<II", 0xCED7230A, len(record)) + record + bytes(-len(record) % 4)
    return out


def labels(answer):
    """[{name: first value}] of an answer in RecordIO-protobuf, read by hand."""
    rows = []
    while answer:
        magic, size = struct.unpack("<II", answer[:8])
        assert magic == 0xCED7230A
        rows.append(dict(entry(e) for number, e in fields(answer[8:8 + size]) if number == 2))
        answer = answer[8 + size + -size % 4:]
    return rows


def entry(body):
    parts = dict(fields(body))
    value = dict(fields(parts[2]))[2]
    return parts[1].decode(), struct.unpack("<f", dict(fields(value))[1][:4])[0]


def fields(body):
    while body:
        number, at, size, shift = body[0] >> 3, 1, 0, 0
        while True:
            size |= (body[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if body[at - 1] < 128:
                break
        yield number, body[at:at + size]
        body = body[at + size:]
