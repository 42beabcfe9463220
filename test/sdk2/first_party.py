# SPDX-License-Identifier: Apache-2.0
"""Run by test_algorithms.py: what the example notebooks of Amazon's own algorithms do with the SDK v2, on drawn data.

Jobs and endpoints run side by side, since the SDK looks at each of them every few seconds only.
"""

import io
import json
import tarfile
import zipfile

import boto3
import numpy
import sagemaker
from sagemaker import LDA, PCA, FactorizationMachines, RandomCutForest
from sagemaker.deserializers import JSONDeserializer
from sagemaker.serializers import CSVSerializer, JSONSerializer

session = sagemaker.Session()
role = sagemaker.get_execution_role()
one = {"role": role, "instance_type": "ml.m5.large", "sagemaker_session": session}
draw = numpy.random.default_rng(0)

# 12 columns that hang on 2 numbers; word counts of 2 topics; a wave with one spike; pairs of users and films.
flat = (draw.normal(size=(400, 2)) @ draw.normal(size=(2, 12)) + 0.01 * draw.normal(size=(400, 12)) + 5).astype("float32")
topics = numpy.repeat([[5, 4, 3, 0, 0, 0], [0, 0, 0, 3, 4, 5]], 100, axis=0)
words = draw.poisson(topics).astype("float32")
wave = numpy.sin(numpy.arange(1000) / 10).astype("float32")[:, None]
wave[500] = 9
spike = (numpy.arange(1000) == 500).astype("float32")
user, film = draw.integers(0, 20, 3000), draw.integers(0, 20, 3000)
likes = ((user + film) % 2).astype("float32")
pairs = numpy.zeros((3000, 40), "float32")
pairs[range(3000), user] = pairs[range(3000), 20 + film] = 1


class Instances(JSONSerializer):
    """As the notebook of factorization machines has it."""

    def serialize(self, data):
        return json.dumps({"instances": [{"features": row.tolist()} for row in data]})


pca = PCA(instance_count=1, num_components=2, **one)
lda = LDA(num_topics=2, alpha0=0.1, **one)
rcf = RandomCutForest(instance_count=1, num_samples_per_tree=256, num_trees=50, eval_metrics=["accuracy", "precision_recall_fscore"], **one)
fm = FactorizationMachines(instance_count=1, num_factors=4, predictor_type="binary_classifier", epochs=60, factors_lr=0.02, factors_init_sigma=0.1, **one)
pca.fit(pca.record_set(flat), mini_batch_size=100, wait=False)
lda.fit(lda.record_set(words), mini_batch_size=200, wait=False)
rcf.fit([rcf.record_set(wave), rcf.record_set(wave, spike, channel="test", distribution="FullyReplicated")], wait=False)
fm.fit([fm.record_set(pairs, likes), fm.record_set(pairs, likes, channel="test")], mini_batch_size=100, wait=False)

jobs, found = boto3.client("sagemaker"), {}
for name, estimator in (("pca", pca), ("lda", lda), ("rcf", rcf), ("fm", fm)):
    job = estimator.latest_training_job.name
    jobs.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=job, WaiterConfig={"Delay": 1})
    told = jobs.describe_training_job(TrainingJobName=job)
    assert told["TrainingJobStatus"] == "Completed", told.get("FailureReason")
    found[name] = {m["MetricName"]: m["Value"] for m in told["FinalMetricDataList"]}
    bucket, key = estimator.model_data.removeprefix("s3://").split("/", 1)
    with tarfile.open(fileobj=io.BytesIO(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())) as archive:
        assert archive.getnames() == ["model_algo-1"]
        artifact = archive.extractfile("model_algo-1").read()
    if name == "fm":
        assert {"meta.json", "symbol.json", "params"} <= set(zipfile.ZipFile(io.BytesIO(artifact)).namelist())
    elif name != "rcf":
        assert artifact[:8] == bytes.fromhex("1201000000000000"), "a list of MXNet arrays"
assert "test:pwll" not in found["lda"] and found["rcf"]["test:f1"] > 0 and found["fm"]["test:binary_classification_accuracy"] > 0.95, found

predictors = [
    pca.deploy(1, "ml.m5.large", wait=False),
    lda.deploy(1, "ml.m5.large", wait=False, serializer=CSVSerializer(), deserializer=JSONDeserializer()),
    rcf.deploy(1, "ml.m5.large", wait=False, serializer=CSVSerializer(), deserializer=JSONDeserializer()),
    fm.deploy(1, "ml.m5.large", wait=False, serializer=Instances(), deserializer=JSONDeserializer()),
]
for predictor in predictors:
    jobs.get_waiter("endpoint_in_service").wait(EndpointName=predictor.endpoint_name, WaiterConfig={"Delay": 1})
of_pca, of_lda, of_rcf, of_fm = predictors

projected = numpy.array([record.label["projection"].float32_tensor.values for record in of_pca.predict(flat)])
assert projected.shape == (400, 2) and projected[:, 1].var() > projected[:, 0].var(), "the greatest component is the last"
assert abs(projected.mean()) < 1e-3 and abs(projected.var(0).sum() / flat.var(0).sum() - 1) < 1e-3

mixtures = numpy.array([p["topic_mixture"] for p in of_lda.predict(words[[0, 1, 198, 199]])["predictions"]])
assert mixtures.shape == (4, 2) and numpy.allclose(mixtures.sum(1), 1, atol=1e-5)
assert (mixtures.argmax(1)[:2] == mixtures.argmax(1)[0]).all() and mixtures.argmax(1)[0] != mixtures.argmax(1)[3]

scores = [datum["score"] for datum in of_rcf.predict(wave)["scores"]]
assert numpy.argmax(scores) == 500 and scores[500] > numpy.mean(scores) + 3 * numpy.std(scores)

answers = of_fm.predict(pairs[:200])["predictions"]
assert all(set(a) == {"score", "predicted_label"} and a["predicted_label"] == (a["score"] >= 0.5) for a in answers)
assert numpy.mean([a["predicted_label"] for a in answers] == likes[:200]) > 0.9

for predictor in predictors:
    predictor.delete_model()
    predictor.delete_endpoint()
print("All four are as the notebooks have them")
