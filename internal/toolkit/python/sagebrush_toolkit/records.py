# SPDX-License-Identifier: Apache-2.0
"""RecordIO with the protobuf records of AWS's algorithms.

Only what rows of numbers need: the tensors under "values" of features and
labels, dense or sparse. The message is aialgs.data.Record, see the page "Common
Data Formats for Training" of the SageMaker guide.
"""

import struct

_MAGIC = 0xCED7230A


def read(data):
    """The records of a stream, as (features, labels) of (values, keys, shape) each."""
    out, at, whole = [], 0, b""
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("a record that ends within its head")
        magic, head = struct.unpack_from("<II", data, at)
        if magic != _MAGIC:
            raise ValueError("no record begins at byte %d" % at)
        flag, size = head >> 29, head & 0x1FFFFFFF
        payload = data[at + 8:at + 8 + size]
        if len(payload) != size:
            raise ValueError("a record that ends within its content")
        at += 8 + (size + 3) // 4 * 4
        whole += payload
        if flag in (0, 3):  # whole, or the last part
            out.append(_record(whole))
            whole = b""
        else:  # the magic number stood where the parts were cut
            whole += struct.pack("<I", _MAGIC)
    return out


def to_matrix(rows):
    """An array (dense records) or CSR matrix (sparse ones), and the labels."""
    import numpy
    labels = numpy.array([r[1][0][0] if r[1] and r[1][0] else float("nan") for r in rows], dtype=numpy.float32)
    if not any(r[0][1] for r in rows):
        return numpy.array([r[0][0] for r in rows], dtype=numpy.float32), labels
    import scipy.sparse
    values, keys, starts, columns = [], [], [0], 0
    for row, _ in rows:
        values += row[0]
        keys += row[1]
        starts.append(len(keys))
        columns = max([columns] + [k + 1 for k in row[1]] + row[2][:1])
    return scipy.sparse.csr_matrix((numpy.array(values, dtype=numpy.float32), keys, starts), shape=(len(rows), columns)), labels


def _record(data):
    features = labels = None
    for number, value in _fields(data):
        if number in (1, 2):
            name, tensor = b"", None
            for part, content in _fields(value):
                if part == 1:
                    name = content
                elif part == 2:
                    tensor = _value(content)
            if name == b"values":
                features, labels = (tensor, labels) if number == 1 else (features, tensor)
    if features is None:
        raise ValueError('a record without features under "values"')
    return features, labels


_FORMATS = {2: ("<f", 4), 3: ("<d", 8), 7: (None, 0)}


def _value(data):
    for number, content in _fields(data):
        if number in _FORMATS:
            values, keys, shape = [], [], []
            for part, packed in _fields(content):
                if part == 1:
                    values += _numbers(packed, *_FORMATS[number])
                elif part == 2:
                    keys += _numbers(packed, None, 0)
                elif part == 3:
                    shape += _numbers(packed, None, 0)
            return values, keys, shape
    raise ValueError("a value that is no tensor of numbers")


def _numbers(packed, form, size):
    if isinstance(packed, int):  # one number, not packed
        return [packed]
    if form:
        if len(packed) % size:
            raise ValueError("packed numbers that end within one")
        return [n for (n,) in struct.iter_unpack(form, packed)]
    out, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        out.append(value)
    return out


def _varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number that does not end")
        value |= (data[at] & 0x7F) << shift
        at += 1
        shift += 7
        if not data[at - 1] & 0x80:
            return value, at


def _fields(data):
    """Pairs of field number and content: bytes, or an integer for a varint."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at:at + size], at + size
        else:
            raise ValueError("no protobuf message")
        if at > len(data):
            raise ValueError("a message that ends within a field")
        yield number, value
