# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: its own estimators KMeans and KNN, on two instances, with data in record sets.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_kmeans.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib

import numpy
import sagemaker
from sagemaker import KMeans, KNN

path = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
table = numpy.loadtxt(path, delimiter=",", skiprows=1, dtype="float32")
rows, labels = table[:, :-1], table[:, -1]
rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
held = numpy.arange(len(rows)) % 4 == 3

session = sagemaker.Session()
role = sagemaker.get_execution_role()
common = {"role": role, "instance_type": "ml.m5.large", "sagemaker_session": session}

# record_set uploads the rows as RecordIO-protobuf, a part for each instance, and a manifest of them.
kmeans = KMeans(k=2, instance_count=2, **common)
kmeans.fit(kmeans.record_set(rows[~held]), mini_batch_size=200)

predictor = kmeans.deploy(initial_instance_count=1, instance_type="ml.m5.large")
answer = predictor.predict(rows[held])
clusters = numpy.array([record.label["closest_cluster"].float32_tensor.values[0] for record in answer])
alike = (clusters == labels[held]).sum()  # which cluster is which kind is anyone's choice
print(f"\n{max(alike, len(clusters) - alike)} of {len(clusters)} held-out rows are in the cluster of their kind")
predictor.delete_model()
predictor.delete_endpoint()

knn = KNN(k=5, sample_size=1000, predictor_type="classifier", instance_count=1, index_type="faiss.IVFFlat", **common)
knn.fit([knn.record_set(rows[~held], labels[~held]), knn.record_set(rows[held], labels[held], channel="test")])

predictor = knn.deploy(initial_instance_count=1, instance_type="ml.m5.large")
said = [record.label["predicted_label"].float32_tensor.values[0] for record in predictor.predict(rows[held])]
print(f"\n{sum(a == b for a, b in zip(said, labels[held]))} of {len(said)} held-out rows are right")
predictor.delete_model()
predictor.delete_endpoint()
