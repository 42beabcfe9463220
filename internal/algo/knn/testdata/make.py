# SPDX-License-Identifier: Apache-2.0
"""Writes small indexes by faiss 1.15 and what it finds in them, for TestWhatFaissWrote."""

import json

import faiss
import numpy

draw = numpy.random.default_rng(1)
rows, asked, found = draw.normal(size=(60, 4)).astype("float32"), draw.normal(size=(5, 4)).astype("float32"), {}
flat, inner = faiss.IndexFlatL2(4), faiss.IndexFlatIP(4)
indexes = {
    "flat": flat, "inner": inner,
    "ivf": faiss.IndexIVFFlat(faiss.IndexFlatL2(4), 4, 5), "ivf-inner": faiss.IndexIVFFlat(faiss.IndexFlatIP(4), 4, 5, faiss.METRIC_INNER_PRODUCT),
    "ivf-sparse": faiss.IndexIVFFlat(faiss.IndexFlatL2(4), 4, 8), "pq": faiss.IndexIVFPQ(faiss.IndexFlatL2(4), 4, 3, 1, 8),
    "pq-whole": faiss.IndexIVFPQ(faiss.IndexFlatL2(4), 4, 3, 2, 8),
}
indexes["pq-whole"].by_residual = False
for name, index in indexes.items():
    index.train(numpy.tile(rows, (5, 1)) + draw.normal(size=(300, 4)).astype("float32") / 100)
    index.add(rows[:3] if name == "ivf-sparse" else rows)  # three vectors leave most of eight lists empty
    if hasattr(index, "nprobe"):
        index.nprobe = 8 if name == "ivf-sparse" else 3
    faiss.write_index(index, f"{name}.faiss")
    distances, numbers = index.search(asked, 3)
    found[name] = {"distances": distances.ravel().tolist(), "numbers": numbers.ravel().tolist()}
with open("found.json", "w", encoding="utf-8") as out:
    json.dump({"asked": asked.ravel().tolist(), "found": found}, out)
