# SPDX-License-Identifier: Apache-2.0
"""Writes the files that the tests of this package read.

Made with sagemaker 2.257.7, protobuf 6.33.6, numpy 2.4.6, scipy 1.17.1 and Python 3.11:

    python make_golden.py

and split.rec, with the C++ writer of MXNet, under mxnet 1.9.1 and numpy 1.23.5:

    python make_golden.py --mxnet
"""

import json
import struct
import sys


def sdk():
    import numpy as np
    import scipy.sparse
    from sagemaker.amazon import common
    from sagemaker.amazon.record_pb2 import Record

    rows = [[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [-3.5, 0.0, 1e-3], [0.0, 0.0, 7.0]]
    labels = [0.0, 1.0, -2.0, 300.0]
    for name, kind in ("float32", np.float32), ("float64", np.float64), ("int32", np.int64):
        x, y = np.array(rows).astype(kind), np.array(labels).astype(kind)
        with open(f"dense-{name}.rec", "wb") as f:
            common.write_numpy_to_dense_tensor(f, x, y)
        with open(f"sparse-{name}.rec", "wb") as f:
            common.write_spmatrix_to_sparse_tensor(f, scipy.sparse.csr_matrix(x), y)
    with open("unlabelled.rec", "wb") as f:
        common.write_numpy_to_dense_tensor(f, np.array(rows, dtype=np.float32))

    # What the SDK's functions do not write, by its message class.
    r = Record()
    r.uid, r.metadata, r.configuration = "row-1", '{"née": 1}', '{"k": 3}'
    image = r.features["image"].bytes
    image.value.extend([b"\x89PNG\x00", b"", b"\n\x23\xd7\xce"])
    image.content_type = "image/png"
    wide = r.features["wide"].float64_tensor
    wide.values.extend([1.5, float("inf")])
    wide.keys.extend([0, 2**40 - 1])
    wide.shape.extend([2**20, 2**20])
    r.features["nothing"].SetInParent()
    r.label["count"].int32_tensor.values.extend([-1, 2**31 - 1, -(2**31)])
    with open("everything.rec", "wb") as f:
        common._write_recordio(f, r.SerializeToString(deterministic=True))


MAGIC = struct.pack("<I", 0xCED7230A)


def split():
    """Records for MXNet's writer: the magic word at the head, in the middle, twice, unaligned, at the end."""
    return [b"", b"a", b"abcde", MAGIC, MAGIC + b"x", b"abcd" + MAGIC, b"abcd" + MAGIC * 2 + b"ef",
            b"a" + MAGIC + b"bcd", MAGIC + b"abcd" + MAGIC, bytes(range(256)) * 5 + MAGIC + b"tail"]


def mxnet():
    import mxnet

    w = mxnet.recordio.MXRecordIO("split.rec", "w")
    for record in split():
        w.write(record)
    w.close()
    with open("split.json", "w") as f:
        json.dump([record.hex() for record in split()], f, indent=0)


mxnet() if sys.argv[1:] == ["--mxnet"] else sdk()
