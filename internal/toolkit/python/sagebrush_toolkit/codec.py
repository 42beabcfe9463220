# SPDX-License-Identifier: Apache-2.0
"""Arrays from and to the bodies of requests: JSON, CSV, NPY and NPZ.

numpy is used where it is installed; without it JSON and CSV are lists. CSV is
written in two ways by AWS's containers, and read in two: those of scikit-learn
and XGBoost write one value a line for a vector and read rows with quotes, the
others leave both to numpy.
"""

import csv
import io
import json

from sagebrush_toolkit import content_types
from sagebrush_toolkit.content_types import CSV, JSON, NPY, NPZ


class UnsupportedFormatError(Exception):
    """No reader or writer for a content type."""

    def __init__(self, content_type, **kwargs):
        self._message = ("Content type %s is not supported by this framework.\n\n            Please implement input_fn to to deserialize "
                         "the request data or an output_fn to\n            serialize the response. For more information, see the "
                         "SageMaker Python SDK README." % content_type)
        self.message = self._message
        self.content_type = content_type
        super().__init__(self._message, **kwargs)


class BadBody(ValueError):
    """A body that is not what its content type says."""


def _numpy():
    try:
        import numpy
        return numpy
    except ImportError:
        return None


def _text(body):
    return body if isinstance(body, str) else bytes(body).decode("utf-8")


def json_to_numpy(string_like, dtype=None):
    """An array of JSON; the plain value without numpy."""
    data = json.loads(string_like)
    numpy = _numpy()
    return numpy.array(data, dtype=dtype) if numpy else data


def csv_to_numpy(string_like, dtype=None):
    """Rows of CSV by the csv module; numbers where all of them are."""
    rows = list(csv.reader(io.StringIO(_text(string_like)), delimiter=",", quotechar='"', doublequote=True, strict=True))
    numpy = _numpy()
    if not numpy:
        return rows
    array = numpy.array(rows).squeeze()
    try:
        return array.astype(dtype)
    except ValueError:
        if dtype is not None:
            raise
        return array


def genfromtxt(string_like, dtype=None):
    """Rows of CSV as numpy reads them: what is no number is nan."""
    numpy = _numpy()
    if not numpy:
        return csv_to_numpy(string_like)
    return numpy.genfromtxt(io.StringIO(_text(string_like)), dtype=dtype, delimiter=",")


def npy_to_numpy(npy_array):
    """The array of an NPY file. One that holds pickled objects is refused:
    loading it would run whatever code the caller put in."""
    import numpy
    return numpy.load(io.BytesIO(npy_array), allow_pickle=False)


def npz_to_sparse(npz_bytes):
    """The sparse matrix of a file that scipy.sparse.save_npz wrote."""
    import scipy.sparse
    return scipy.sparse.load_npz(io.BytesIO(npz_bytes))


def array_to_json(array_like):
    """JSON of anything that has a tolist, or is JSON already."""
    def default(value):
        if hasattr(value, "tolist"):
            return value.tolist()
        return json.JSONEncoder().default(value)

    return json.dumps(array_like, default=default)


def array_to_npy(array_like):
    """An NPY file."""
    import numpy
    buffer = io.BytesIO()
    numpy.save(buffer, array_like, allow_pickle=False)
    return buffer.getvalue()


def array_to_csv(array_like):
    """CSV by the csv module; of a vector each value is a line."""
    numpy = _numpy()
    if numpy:
        rows = numpy.array(array_like)
        if rows.ndim == 1:
            rows = rows.reshape(-1, 1)
    else:
        rows = [row if isinstance(row, (list, tuple)) else [row] for row in array_like]
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", delimiter=",", quotechar='"', doublequote=True, strict=True).writerows(rows)
    return stream.getvalue()


def savetxt(array_like):
    """CSV as numpy writes it; of a vector each value is a line."""
    numpy = _numpy()
    if not numpy:
        return array_to_csv(array_like)
    stream = io.StringIO()
    numpy.savetxt(stream, array_like, delimiter=",", fmt="%s")
    return stream.getvalue()


# Of sagemaker-containers and sagemaker-training.
CONTAINERS_DECODERS = {NPY: npy_to_numpy, CSV: csv_to_numpy, JSON: json_to_numpy}
CONTAINERS_ENCODERS = {NPY: array_to_npy, CSV: array_to_csv, JSON: array_to_json}
# Of sagemaker-inference.
INFERENCE_DECODERS = {NPY: npy_to_numpy, CSV: genfromtxt, JSON: json_to_numpy, NPZ: npz_to_sparse}
INFERENCE_ENCODERS = {NPY: array_to_npy, CSV: savetxt, JSON: array_to_json}


def decode(body, content_type, decoders):
    """A body by its content type; UnsupportedFormatError or BadBody."""
    reader = decoders.get(content_types.media(content_type))
    if reader is None:
        raise UnsupportedFormatError(content_type)
    try:
        return reader(body)
    except ImportError:
        raise
    except Exception as e:
        raise BadBody("The body cannot be read as %s: %s" % (content_type, e)) from e


def encode(value, accept, encoders):
    """Bytes or text, and its content type; UnsupportedFormatError."""
    chosen = content_types.choose(accept, encoders, JSON)
    if chosen is None:
        raise UnsupportedFormatError(accept)
    return encoders[chosen](value), chosen
