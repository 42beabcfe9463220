# SPDX-License-Identifier: Apache-2.0
"""Media types of requests and answers."""

JSON = "application/json"
CSV = "text/csv"
OCTET_STREAM = "application/octet-stream"
ANY = "*/*"
NPY = "application/x-npy"
NPZ = "application/x-npz"
UTF8_TYPES = [JSON, CSV]

LIBSVM = "text/libsvm"
X_LIBSVM = "text/x-libsvm"
X_PARQUET = "application/x-parquet"
X_RECORDIO_PROTOBUF = "application/x-recordio-protobuf"


def media(content_type):
    """The type without its parameters: "text/csv" of "text/csv; charset=utf-8"."""
    return (content_type or "").partition(";")[0].strip().lower()


def ranked(accept):
    """The types of an Accept header, best first, without parameters."""
    out = []
    for place, part in enumerate((accept or "").split(",")):
        kind, *parameters = [p.strip() for p in part.split(";")]
        weight = 1.0
        for p in parameters:
            if p.lower().startswith("q="):
                try:
                    weight = float(p[2:])
                except ValueError:
                    weight = 0.0
        if kind and weight > 0:
            out.append((-weight, place, kind.lower()))
    return [kind for _, _, kind in sorted(out)]


def choose(accept, supported, default):
    """The first of the accepted types that is supported; None if none is.

    "*/*" takes the default, "text/*" the first supported of its kind.
    """
    for kind in ranked(accept) or [ANY]:
        if kind == ANY:
            return default
        if kind in supported:
            return kind
        if kind.endswith("/*"):
            for s in supported:
                if s.startswith(kind[:-1]):
                    return s
    return None
