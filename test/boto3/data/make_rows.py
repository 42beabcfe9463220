# SPDX-License-Identifier: Apache-2.0
"""Writes rows.csv and rows.parquet: the same 200 rows, the label first, in columns of several types, with nulls.

    .venv/readers/bin/python test/boto3/data/make_rows.py
"""

import decimal
import pathlib

import pyarrow
from pyarrow import parquet

HERE = pathlib.Path(__file__).parent
TYPES = {"label": pyarrow.int32(), "ratio": pyarrow.float32(), "number": pyarrow.float64(), "count": pyarrow.int64(), "small": pyarrow.uint8(),
         "flag": pyarrow.bool_(), "price": pyarrow.decimal128(9, 2)}


def row(i):
    ratio, number, count, flag = (i * 37 % 101) / 8, (i * i % 29) / 4, i % 7 - 3, i * 13 % 17 > 8
    label = ratio + number * flag - count > 9
    return {"label": int(label), "ratio": ratio if i % 10 else None, "number": number, "count": count if i % 11 else None, "small": i * 7 % 13,
            "flag": flag, "price": decimal.Decimal(i * 19 % 400) / 4}


def main():
    rows = [row(i) for i in range(200)]
    table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(TYPES.items()))
    parquet.write_table(table, HERE / "rows.parquet", row_group_size=64, compression="snappy")
    text = "".join(",".join("" if v is None else f"{float(v):g}" for v in r.values()) + "\n" for r in rows)
    (HERE / "rows.csv").write_text(text)


if __name__ == "__main__":
    main()
