# SPDX-License-Identifier: Apache-2.0
"""Another module of the source folder."""

import pathlib

import pandas


def read(folder):
    """(x, y) of the CSV files in a folder; the label is the first column."""
    parts = [pandas.read_csv(path, header=None) for path in sorted(pathlib.Path(folder).glob("*.csv"))]
    table = pandas.concat(parts)
    return table.iloc[:, 1:].to_numpy(), table.iloc[:, 0].to_numpy()
