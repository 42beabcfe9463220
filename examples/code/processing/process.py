# SPDX-License-Identifier: Apache-2.0
"""Splits a table; run by a processing job."""

import argparse
import pathlib

import pandas

from clean import clean

parser = argparse.ArgumentParser()
parser.add_argument("--share", type=float, default=0.7)
args = parser.parse_args()

root = pathlib.Path("/opt/ml/processing")
table = clean(pandas.read_csv(root / "input/data/breast_cancer.csv", header=None, skiprows=1))
cut = int(len(table) * args.share)
for name, part in {"train": table[:cut], "test": table[cut:]}.items():
    folder = root / "output" / name
    folder.mkdir(parents=True, exist_ok=True)
    part.to_csv(folder / f"{name}.csv", index=False, header=False)
    print(f"{name}: {len(part)} rows, {part.shape[1]} columns")
