# SPDX-License-Identifier: Apache-2.0
"""Rows of requests and channels as XGBoost's DMatrix."""

import csv
import os

from sagebrush_toolkit import content_types
from sagebrush_toolkit.codec import BadBody, UnsupportedFormatError


def csv_rows(text, delimiter=None):
    """Rows of numbers, an empty field being nan: a float32 array, always of two dimensions."""
    import numpy
    text = (text.decode("utf-8") if isinstance(text, bytes) else text).strip("\n")
    lines = text.split("\n")
    if delimiter is None:
        delimiter = sniff(lines[0])
    rows = [[field.strip() or "nan" for field in line.rstrip("\r").split(delimiter)] for line in lines]
    return numpy.array(rows, dtype=numpy.float32)


def sniff(line):
    """The delimiter of a line of CSV; a comma where there is none, as in a single column."""
    try:
        found = csv.Sniffer().sniff(line[:512]).delimiter
    except csv.Error:
        return ","
    return "," if found.isalnum() or found in ".-+" else found


def libsvm_rows(text, weighted=False):
    """Rows of "label[:weight] [qid:n] index:value ..." as a CSR matrix, labels and weights.

    Indices count from 0, as XGBoost has them. In a channel the first field is
    always the label, with a weight if it is weighted; of a request a first
    field with a colon is a feature, as many send rows without labels. A label
    that is not there is nan.
    """
    import numpy
    import scipy.sparse
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    data, indices, starts, labels, weights = [], [], [0], [], []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        label, weight = "nan", "1"
        if weighted or ":" not in fields[0]:
            label, _, weight = fields.pop(0).partition(":")
        try:
            labels.append(float(label))
            weights.append(float(weight or 1))
            for field in fields:
                index, _, value = field.partition(":")
                if index != "qid":
                    indices.append(int(index))
                    data.append(float(value))
            if min(indices[starts[-1]:], default=0) < 0:
                raise ValueError("a negative index")
        except ValueError as e:
            raise ValueError("line %d is no line of LIBSVM: %s" % (number, e)) from None
        starts.append(len(indices))
    shape = (len(labels), max(indices) + 1 if indices else 0)
    matrix = scipy.sparse.csr_matrix((numpy.array(data, dtype=numpy.float32), indices, starts), shape=shape)
    return matrix, numpy.array(labels, dtype=numpy.float32), numpy.array(weights, dtype=numpy.float32)


def csv_to_dmatrix(body, dtype=None):
    """The rows of a CSV body, without labels."""
    import xgboost
    return xgboost.DMatrix(csv_rows(body))


def libsvm_to_dmatrix(body):
    """The rows of a LIBSVM body; labels are read over."""
    import xgboost
    return xgboost.DMatrix(libsvm_rows(body)[0])


def recordio_protobuf_to_dmatrix(body):
    """The rows of a body of RecordIO with protobuf records; labels are read over."""
    import xgboost

    from sagebrush_toolkit import records
    return xgboost.DMatrix(records.to_matrix(records.read(bytes(body)))[0])


_DECODERS = {content_types.CSV: csv_to_dmatrix, content_types.LIBSVM: libsvm_to_dmatrix, content_types.X_LIBSVM: libsvm_to_dmatrix,
             content_types.X_RECORDIO_PROTOBUF: recordio_protobuf_to_dmatrix}


def decode(body, content_type):
    """A body by its content type; UnsupportedFormatError or BadBody."""
    media = content_types.media(content_type)
    if media not in _DECODERS:
        raise UnsupportedFormatError(media or content_type)
    try:
        return _DECODERS[media](body)
    except ImportError:
        raise
    except Exception as e:
        raise BadBody("The body cannot be read as %s: %s" % (content_type, e)) from e


def _files(path):
    """The data files of a channel, hidden ones left out."""
    if os.path.isfile(path):
        return [path]
    found = []
    for folder, _, names in sorted(os.walk(path)):
        found += [os.path.join(folder, n) for n in sorted(names) if not n.startswith((".", "_"))]
    return found


def load(path, content_type, csv_weights=0, is_pipe=False):
    """A channel's data with labels as a DMatrix; None when there is none.

    content_type is csv, libsvm, parquet or recordio-protobuf. The label is the
    first column; with csv_weights of 1 the second is the row's weight. A pipe
    is read once, its first epoch.
    """
    import numpy
    import xgboost
    kind = content_type.lower()
    paths = [p for root in (path if isinstance(path, list) else [path]) for p in ([root + "_0"] if is_pipe else _files(root))]
    if kind == "parquet":
        if is_pipe:
            raise ValueError("Parquet is not read from a pipe here.")
        import pandas
        frames = [pandas.read_parquet(p) for p in paths]
        rows = pandas.concat(frames).to_numpy() if frames else numpy.empty((0, 0))
        return xgboost.DMatrix(rows[:, 1:], label=rows[:, 0]) if len(rows) else None
    contents = [data for data in (_read(p) for p in paths) if data.strip()]
    if not contents:
        return None
    if kind == "csv":
        rows = numpy.vstack([csv_rows(data) for data in contents])
        if csv_weights == 1:
            return xgboost.DMatrix(rows[:, 2:], label=rows[:, 0], weight=rows[:, 1])
        return xgboost.DMatrix(rows[:, 1:], label=rows[:, 0])
    if kind == "libsvm":
        matrix, labels, weights = libsvm_rows(b"\n".join(contents), weighted=True)
        return xgboost.DMatrix(matrix, label=labels, weight=weights if (weights != 1).any() else None)
    if kind == "recordio-protobuf":
        from sagebrush_toolkit import records
        matrix, labels = records.to_matrix(records.read(b"".join(contents)))
        return xgboost.DMatrix(matrix, label=labels)
    raise ValueError("%s is no content type of XGBoost's" % content_type)


def _read(path):
    with open(path, "rb") as f:
        return f.read()
