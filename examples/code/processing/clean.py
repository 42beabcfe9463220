# SPDX-License-Identifier: Apache-2.0
"""Another module of the source folder."""


def clean(table):
    """The table without incomplete rows, the label first."""
    table = table.dropna()
    return table[[table.columns[-1], *table.columns[:-1]]]
