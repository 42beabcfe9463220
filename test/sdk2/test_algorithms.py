# SPDX-License-Identifier: Apache-2.0
"""The SDK's estimators of Amazon's own algorithms, which upload record sets."""

import re

from support import example


def test_kmeans_and_knn(server):
    """Two hosts share a manifest of RecordIO parts; predictors speak RecordIO both ways."""
    output = example.run(server, "sdk2", ["python", "examples/sdk2_kmeans.py"], limit=600)
    together, = re.findall(r"(\d+) of 142 held-out rows are in the cluster of their kind", output)
    right, = re.findall(r"(\d+) of 142 held-out rows are right", output)
    assert int(together) > 120 and int(right) > 130


def test_the_notebooks_of_four_more(server):
    """PCA, LDA, random cut forests and factorization machines: their estimators, artifacts, serializers and members of answers."""
    output = example.run(server, "sdk2", ["python", "test/sdk2/first_party.py"])
    assert output.rstrip().endswith("All four are as the notebooks have them")
