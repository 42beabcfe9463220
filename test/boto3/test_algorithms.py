# SPDX-License-Identifier: Apache-2.0
"""Amazon's own built-in algorithms from CreateTrainingJob to InvokeEndpoint: each trains, tells its metrics, and answers every Accept.

How good they are is for test/quality; here it is that a client gets what AWS's containers give.
"""

import gzip
import json
import re

import numpy
import pytest
from sklearn import datasets

from support.records import labels, recordio
from support.work import channel, csv, members, unique

REGISTRIES = {"blazingtext": "811284229777", "lda": "766337827248"}


X, Y = datasets.load_breast_cancer(return_X_y=True)
X = ((X - X.mean(0)) / X.std(0)).astype("float32")
DIM = {"feature_dim": "30"}
COUNTS = numpy.random.default_rng(0).poisson(1.0, (60, 20)).astype("float32")
SHARDED = {"S3DataDistributionType": "ShardedByS3Key"}

# algorithm: hyperparameters, {channel: (content type, body, members of the source)}, a request in CSV or JSON, its content type,
# the member that holds the answers, the fields of one, and a metric that FinalMetricDataList must have.
CASES = {
    "randomcutforest": (
        {**DIM, "num_trees": "50"}, {"train": ("text/csv;label_size=0", csv(X), SHARDED), "test": ("text/csv;label_size=1", csv(Y == 0, X), {})},
        csv(X[:3]), "text/csv", "scores", {"score"}, "test:f1"),
    "kmeans": (
        {**DIM, "k": "2", "mini_batch_size": "100"}, {"train": ("text/csv;label_size=0", csv(X), {}), "test": ("text/csv;label_size=0", csv(X), {})},
        csv(X[:3]), "text/csv", "predictions", {"closest_cluster", "distance_to_cluster"}, "test:msd"),
    "knn": (
        {**DIM, "k": "3", "predictor_type": "classifier", "sample_size": "500"},
        {"train": ("text/csv;label_size=1", csv(Y, X), {}), "test": ("text/csv;label_size=1", csv(Y, X), {})},
        csv(X[:3]), "text/csv", "predictions", {"predicted_label"}, "test:accuracy"),
    "pca": (
        {**DIM, "num_components": "3", "mini_batch_size": "100"}, {"train": ("application/x-recordio-protobuf", recordio(X), {})},
        csv(X[:3]), "text/csv", "projections", {"projection"}, "train:progress"),
    "lda": (
        {"feature_dim": "20", "num_topics": "2", "mini_batch_size": "60"}, {"train": ("text/csv;label_size=0", csv(COUNTS), {}),
                                                                         "test": ("text/csv;label_size=0", csv(COUNTS), {})},
        csv(COUNTS[:3]), "text/csv", "predictions", {"topic_mixture"}, "test:pwll"),
    "linear-learner": (
        {**DIM, "predictor_type": "binary_classifier", "epochs": "2", "num_models": "2", "mini_batch_size": "100"},
        {"train": ("text/csv", csv(Y, X), {}), "validation": ("application/x-recordio-protobuf", recordio(X, Y), {})},
        csv(X[:3]), "text/csv", "predictions", {"score", "predicted_label"}, "validation:binary_classification_accuracy"),
    "factorization-machines": (
        {**DIM, "predictor_type": "binary_classifier", "num_factors": "4", "epochs": "2", "mini_batch_size": "100"},
        {"train": ("application/x-recordio-protobuf", recordio(X, Y), {}), "test": ("application/x-recordio-protobuf", recordio(X, Y), {})},
        json.dumps({"instances": [{"features": row.tolist()} for row in X[:3]]}), "application/json", "predictions", {"score", "predicted_label"},
        "test:binary_classification_accuracy"),
    "ipinsights": (
        {"num_entity_vectors": "20", "vector_dim": "8", "epochs": "1", "mini_batch_size": "10"},
        {"train": ("text/csv", b"a,1.2.3.4\nb,5.6.7.8\n" * 20, {}), "validation": ("text/csv", b"a,1.2.3.9\nb,5.6.7.1\n", {})},
        b"a,1.2.3.4\nb,5.6.7.8\na,9.9.9.9\n", "text/csv", "predictions", {"dot_product"}, "validation:discriminator_auc"),
}


@pytest.mark.parametrize("algorithm", CASES)
def test_from_data_to_answer(bench, algorithm):
    hyper, channels, body, content_type, member, names, metric = CASES[algorithm]
    image = f"{REGISTRIES.get(algorithm, '382416733822')}.dkr.ecr.{bench.region}.amazonaws.com/{algorithm}:1"
    inputs = []
    for name, (kind, data, source) in channels.items():
        inputs.append(channel(name, bench.put(f"{unique(algorithm)}/{name}/data", data, up=1), kind, **source))
    request = bench.request(InputDataConfig=inputs)
    request["AlgorithmSpecification"]["TrainingImage"] = image
    request["HyperParameters"] = hyper
    bench.sagemaker.create_training_job(**request)
    job = bench.finished(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    told = {m["MetricName"] for m in job["FinalMetricDataList"]}
    assert metric in told and metric in {d["Name"] for d in job["AlgorithmSpecification"]["MetricDefinitions"]}

    endpoint = bench.deploy(job["ModelArtifacts"]["S3ModelArtifacts"], image=image)
    rows = json.loads(bench.ask(endpoint, body, content_type)[0])[member]
    assert len(rows) == 3 and all(set(row) == names for row in rows)
    lines, answer = bench.ask(endpoint, body, content_type, "application/jsonlines")
    assert [json.loads(line) for line in lines.splitlines()] == rows and answer["ContentType"] == "application/jsonlines"
    text, _ = bench.ask(endpoint, body, content_type, "text/csv")
    assert len(text.splitlines()) == 3
    binary = bench.runtime.invoke_endpoint(EndpointName=endpoint, ContentType=content_type, Accept="application/x-recordio-protobuf", Body=body)["Body"].read()
    for got, want in zip(labels(binary), rows, strict=True):
        for name in names:
            first = want[name][0] if isinstance(want[name], list) else want[name]
            assert got[name] == pytest.approx(first, rel=1e-6)
    if algorithm not in ("ipinsights", "factorization-machines"):
        as_records, _ = bench.ask(endpoint, recordio(X[:3] if body == csv(X[:3]) else COUNTS[:3]), "application/x-recordio-protobuf")
        assert json.loads(as_records)[member] == rows
    bench.undeploy(endpoint)


def test_forms_of_requests(bench):
    """One endpoint and one transform job: what "Common Data Formats for Inference" and the page of k-NN allow beside plain rows."""
    image = f"382416733822.dkr.ecr.{bench.region}.amazonaws.com/kmeans:1"
    request = bench.request(InputDataConfig=[channel("train", bench.put(f"{unique('forms')}/data", csv(X), up=1), "text/csv;label_size=0")])
    request["AlgorithmSpecification"]["TrainingImage"] = image
    request["HyperParameters"] = {**DIM, "k": "2"}
    bench.sagemaker.create_training_job(**request)
    job = bench.finished(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    endpoint = bench.deploy(job["ModelArtifacts"]["S3ModelArtifacts"], image=image)
    dense, full = {"features": X[0].tolist()}, {"data": {"features": {"keys": list(range(30)), "shape": [30], "values": X[1].tolist()}}}
    plain = bench.ask(endpoint, csv(X[[0, 1, 0]]), accept="application/jsonlines")[0]
    for kind, body in (("application/jsonlines", "\n".join(map(json.dumps, [dense, full, dense]))), ("application/json", json.dumps({"instances": [dense, full, dense]})),
                       ("text/csv;label_size=1", csv(Y[[0, 1, 0]], X[[0, 1, 0]])), ("text/csv; label_size=0", csv(X[[0, 1, 0]]))):
        assert bench.ask(endpoint, body, kind, "application/jsonlines")[0] == plain, kind
    model = bench.sagemaker.describe_endpoint_config(EndpointConfigName=endpoint)["ProductionVariants"][0]["ModelName"]
    rows = csv(numpy.resize(X, (24000, 30)))
    assert len(rows) > 6 << 20, "more than an endpoint takes, but a transform job may ask for it"
    name = unique("large")
    bench.sagemaker.create_transform_job(
        TransformJobName=name, ModelName=model, MaxPayloadInMB=20, TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        TransformInput={"ContentType": "text/csv", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": bench.put(f"{name}/in/rows.csv", rows)}}},
        TransformOutput={"S3OutputPath": f"s3://{bench.bucket}/{name}/out", "Accept": "application/jsonlines"})
    bench.sagemaker.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName=name, WaiterConfig={"Delay": 1})
    job = bench.sagemaker.describe_transform_job(TransformJobName=name)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    lines = bench.get(f"s3://{bench.bucket}/{name}/out/rows.csv.out").decode().splitlines()
    assert len(lines) == 24000 and lines[:2] == plain.splitlines()[:2]
    bench.undeploy(endpoint)


def test_blazingtext(bench):
    """It answers words and sentences, bare lists, in the form of the request, and tells how well words go with WordSimilarity-353."""
    image = f"{REGISTRIES['blazingtext']}.dkr.ecr.{bench.region}.amazonaws.com/blazingtext:1"
    text = "".join(f"__label__{word} {word} and {other}\n" for word, other in [("sun", "light"), ("rain", "water")] * 100).encode()
    pairs = b"tiger cat money bank king cabbage\n" * 10
    for mode, body, want in (("supervised", {"instances": ["sun and light", "water"], "configuration": {"k": 1}}, ["__label__sun", "__label__rain"]),
                             ("skipgram", {"instances": ["sun", "nothing"]}, None)):
        request = bench.request(InputDataConfig=[channel("train", bench.put(f"{unique('text')}/a.txt", text if want else text + pairs, up=1), "text/plain")])
        request["AlgorithmSpecification"]["TrainingImage"] = image
        request["HyperParameters"] = {"mode": mode, "vector_dim": "10", "epochs": "10", "min_count": "1", "buckets": "1000", "learning_rate": "0.5"}
        bench.sagemaker.create_training_job(**request)
        job = bench.finished(request["TrainingJobName"])
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        told = {m["MetricName"]: m["Value"] for m in job["FinalMetricDataList"]}
        files = members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))
        if want:
            assert set(files) == {"model.bin"} and told["train:accuracy"] == 1
        else:
            assert set(files) == {"vectors.txt", "vectors.bin", "eval.json"}
            judged = json.loads(files["eval.json"])
            assert judged["EN-WS-353-ALL.txt"]["total_pairs"] == 353 and judged["mean_rho"] == pytest.approx(told["train:mean_rho"], abs=1e-6)
        endpoint = bench.deploy(job["ModelArtifacts"]["S3ModelArtifacts"], image=image)
        answer = json.loads(bench.ask(endpoint, json.dumps(body), "application/json")[0])
        lines = "\n".join(json.dumps({"source": text}) for text in body["instances"])
        for accept in ("application/jsonlines", "text/csv", "*/*"):  # "If they differ, the Accept field is ignored."
            got, how = bench.ask(endpoint, lines, "application/jsonlines", accept)
            assert how["ContentType"] == "application/jsonlines" and [json.loads(line) for line in got.splitlines()] == answer
        if want:
            assert [a["label"][0] for a in answer] == want and all(0.5 < a["prob"][0] <= 1 for a in answer)
        else:
            assert [a["word"] for a in answer] == body["instances"] and [len(a["vector"]) for a in answer] == [10, 10]
            assert any(answer[0]["vector"]) and not any(answer[1]["vector"])
        bench.undeploy(endpoint)


def test_random_cut_forest_refuses_a_replicated_channel(bench):
    request = bench.request(InputDataConfig=[channel("train", bench.put(f"{unique('rcf')}/data", csv(X), up=1), "text/csv;label_size=0")])
    request["AlgorithmSpecification"]["TrainingImage"] = f"382416733822.dkr.ecr.{bench.region}.amazonaws.com/randomcutforest:1"
    request["HyperParameters"] = DIM
    bench.sagemaker.create_training_job(**request)
    job = bench.finished(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: the train channel is FullyReplicated")


ROWS = csv(Y, X)
RECORDS = recordio(X, Y)
LINEAR = {**DIM, "predictor_type": "binary_classifier", "epochs": "1", "num_models": "1"}
KMEANS = {**DIM, "k": "2"}
FACTORS = {**DIM, "predictor_type": "binary_classifier", "num_factors": "4"}

# what is wrong: algorithm, hyperparameters, body and content type of the channel, more of its members, and the reason, which tells channel, file,
# place and what was expected.
BAD = {
    "a header": ("linear-learner", LINEAR, b"y" + b"".join(b",x%d" % i for i in range(30)) + b"\n" + ROWS, "text/csv", {},
                 r'train channel: file part-0, line 1: column 1: "y" is not a number; it looks like a header line, and a CSV must have none'),
    "a label": ("linear-learner", LINEAR, ROWS + b"2" + ROWS[ROWS.index(b","):ROWS.index(b"\n")], "text/csv", {},
                r"train channel: file part-0, line 570: the label is 2; 0 or 1 was expected, for predictor_type binary_classifier"),
    "no label_size": ("kmeans", KMEANS, csv(X), "text/csv", {},
                      r"train channel: file part-0, line 1: has 29 features and a label, which a CSV without the content type text/csv;label_size=0 has, "
                      r"but feature_dim is 30"),
    "a record that ends early": ("factorization-machines", FACTORS, RECORDS[:-5], "application/x-recordio-protobuf", {},
                                 r"train channel: file part-0, record 569: .*the data ends within it"),
    "gzip that is not told": ("linear-learner", LINEAR, gzip.compress(ROWS), "text/csv", {},
                              r"train channel: file part-0: is compressed with gzip, which was not expected: the channel's CompressionType Gzip unpacks it"),
    "gzip that is none": ("linear-learner", LINEAR, ROWS, "text/csv", {"CompressionType": "Gzip"},
                          r'channel "train": s3://\S+/part-0 is not compressed with gzip'),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_the_data_is_told(bench, case):
    algorithm, hyper, body, kind, more, reason = BAD[case]
    uri = bench.put(f"{unique('bad')}/part-0", body, up=1)
    request = bench.request(InputDataConfig=[{**channel("train", uri, kind), **more}])
    request["AlgorithmSpecification"]["TrainingImage"] = f"382416733822.dkr.ecr.{bench.region}.amazonaws.com/{algorithm}:1"
    request["HyperParameters"] = hyper
    bench.sagemaker.create_training_job(**request)
    job = bench.finished(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ") and re.search(reason, job["FailureReason"]), job["FailureReason"]
