# SPDX-License-Identifier: Apache-2.0
"""What the built-in XGBoost takes, keeps and serves beside CSV: Parquet, RecordIO, rankings, models to go on with, checkpoints,
cross validation, several models, models of Python, and how it tells of bad data."""

import csv as reader
import io
import json
import pathlib
import pickle
import re
import zipfile

import botocore.exceptions
import numpy
import pytest
import xgboost

from support.records import labels, recordio
from support.server import ROOT, poll
from support.work import FAST, archive, channel, csv, members, unique

ROWS = pathlib.Path(__file__).parent / "data"
GOLDEN = ROOT / "internal/algo/xgboost/testdata"
MODEL = "application/x-sagemaker-model"
RECORDS = "application/x-recordio-protobuf"


def run(bench, hyper=(), channels=None, **more):
    """Trains on channels {name: (content type, body)}, on the breast cancers unless given, and returns what Describe says."""
    if channels is not None:
        more["InputDataConfig"] = [channel(name, bench.put(f"{unique('more')}/{name}/part-0", body, up=1), kind) for name, (kind, body) in channels.items()]
    request = bench.request(**more)
    request["HyperParameters"] = {"objective": "binary:logistic", "num_round": "10", "max_depth": "3", **dict(hyper)}
    bench.sagemaker.create_training_job(**request)
    return bench.finished(request["TrainingJobName"])


def good(bench, *args, **kwargs):
    job = run(bench, *args, **kwargs)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job


def artifact(bench, job):
    """The files of model.tar.gz."""
    return members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))


def output(bench, job):
    """The files of output.tar.gz, which lies beside it."""
    return members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", "output.tar.gz")))


def booster(content):
    b = xgboost.Booster()
    b.load_model(bytearray(content))
    return b


def rounds(bench, job):
    """The numbers of the rounds that the log tells."""
    (lines,) = bench.log_lines("/aws/sagemaker/TrainingJobs", job["TrainingJobName"] + "/").values()
    return [int(m.group(1)) for line in lines if (m := re.match(r"\[(\d+)\]#011", line))]


@pytest.fixture
def serve(bench):
    """serve(files of an artifact, environment) gives the name of an endpoint, which is deleted in the end."""
    served = []

    def start(files, **environment):
        name = unique("more")
        bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, PrimaryContainer={
            "Image": bench.image, "ModelDataUrl": bench.put(f"{name}/model.tar.gz", archive(files)), "Environment": environment})
        bench.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
            {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
        bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        served.append(name)
        bench.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=FAST)
        return name
    yield start
    for name in served:
        bench.undeploy(name)


def test_parquet_gives_the_model_that_csv_gives(bench):
    """Whole numbers, floats, booleans and decimals, with nulls: data/rows.parquet and rows.csv are the same rows."""
    table, text = ((ROWS / f"rows.{form}").read_bytes() for form in ("parquet", "csv"))
    models = [artifact(bench, good(bench, channels={"train": (kind, body), "validation": (kind, body)}))["xgboost-model"]
              for kind, body in (("application/x-parquet", table), ("text/csv", text))]
    assert models[0] == models[1]
    rows = numpy.genfromtxt(io.BytesIO(text), delimiter=",")
    right = (booster(models[0]).predict(xgboost.DMatrix(rows[:, 1:])) > 0.5) == rows[:, 0]
    assert numpy.isnan(rows).any() and right.mean() > 0.95


def test_recordio_in_training_request_and_answer(bench, serve):
    x, y = bench.held_out, bench.labels
    files = artifact(bench, good(bench, channels={"train": (RECORDS, recordio(x, y))}))
    assert files == artifact(bench, good(bench, channels={"train": ("text/csv", csv(y, x))}))
    endpoint = serve(files)
    want = booster(files["xgboost-model"]).predict(xgboost.DMatrix(x))
    for kind, body in ((RECORDS, recordio(x)), ("text/csv", csv(x))):
        answer = bench.runtime.invoke_endpoint(EndpointName=endpoint, ContentType=kind, Accept=RECORDS, Body=body)
        assert answer["ContentType"] == RECORDS
        numpy.testing.assert_allclose([row["score"] for row in labels(answer["Body"].read())], want, rtol=1e-5)


def ranking(seed, groups=60):
    """Query groups of 8 rows: libsvm with the labels, without, the features, the grades."""
    rng = numpy.random.default_rng(seed)
    x = rng.random((groups * 8, 4)).astype("float32")
    y = numpy.digitize(x[:, 0] + x[:, 1] * x[:, 2] + 0.1 * rng.standard_normal(len(x)), (0.5, 0.8, 1.1))
    rows = [" ".join(f"{i}:{v:.9g}" for i, v in enumerate(row)) for row in x]
    return "".join(f"{grade} qid:{i // 8} {row}\n" for i, (grade, row) in enumerate(zip(y, rows))).encode(), "\n".join(rows).encode(), x, y


def test_ranking_by_query_groups(bench, serve):
    text, _, _, _ = ranking(0)
    held, request, x, y = ranking(1)
    job = good(bench, {"objective": "rank:ndcg", "eval_metric": "ndcg@3", "num_round": "30"},
               {"train": ("text/libsvm", text), "validation": ("text/libsvm", held)})
    files = artifact(bench, job)
    b = booster(files["xgboost-model"])
    matrix = xgboost.DMatrix(x, y, qid=numpy.arange(len(x)) // 8)
    b.set_param({"eval_metric": "ndcg@3"})
    theirs = float(b.eval(matrix).rpartition(":")[2])
    (line,) = [line for line in next(iter(bench.log_lines("/aws/sagemaker/TrainingJobs", job["TrainingJobName"] + "/").values())) if line.startswith("[29]")]
    assert theirs > 0.9 and float(line.rpartition("validation-ndcg@3:")[2]) == pytest.approx(theirs, abs=2e-5), line
    text, _ = bench.ask(serve(files), request, "text/libsvm", "text/csv")
    numpy.testing.assert_allclose([float(v) for v in text.replace("\n", ",").rstrip(",").split(",")], b.predict(xgboost.DMatrix(x)), rtol=1e-5, atol=1e-6)


def test_training_goes_on_with_a_model(bench):
    """The channel takes a job's artifact, and a model that Python saved."""
    first = good(bench)
    inputs = [channel("train", bench.train_uri), channel("model", first["ModelArtifacts"]["S3ModelArtifacts"], MODEL)]
    second = good(bench, {"num_round": "15"}, InputDataConfig=inputs)
    assert rounds(bench, first) == list(range(10)) and len(rounds(bench, second)) == 15
    at_once = good(bench, {"num_round": "25"}, InputDataConfig=inputs[:1])
    both = [booster(artifact(bench, job)["xgboost-model"]) for job in (second, at_once)]
    assert [b.num_boosted_rounds() for b in both] == [25, 25]
    held = xgboost.DMatrix(bench.held_out)
    numpy.testing.assert_allclose(both[0].predict(held), both[1].predict(held), rtol=1e-4, atol=1e-5)

    theirs = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, xgboost.DMatrix(bench.held_out, bench.labels), 3)
    uri = bench.put(f"{unique('theirs')}/model.json", bytes(theirs.save_raw("json")))
    third = booster(artifact(bench, good(bench, {"num_round": "4"}, InputDataConfig=[inputs[0], channel("model", uri, MODEL)]))["xgboost-model"])
    assert third.num_boosted_rounds() == 7
    numpy.testing.assert_allclose(third.predict(held, iteration_range=(0, 3)), theirs.predict(held), rtol=1e-5)


def test_a_job_goes_on_behind_the_checkpoints_of_a_stopped_one(bench):
    """The model in the end is that of a job that nothing stopped, byte for byte."""
    uri = f"s3://{bench.bucket}/{unique('checkpoints')}"
    hyper = {"num_parallel_tree": "4", "subsample": "0.7", "seed": "3"}
    request = bench.request(InputDataConfig=[channel("train", bench.train_uri)], CheckpointConfig={"S3Uri": uri})
    request["HyperParameters"] = {"objective": "binary:logistic", "max_depth": "3", **hyper, "num_round": "1000000"}
    bench.sagemaker.create_training_job(**request)
    bench.reached(request["TrainingJobName"], "Training")
    poll(lambda: bench.keys(uri), 60, "checkpoints to be in S3 while rounds follow one another quickly")
    bench.sagemaker.stop_training_job(TrainingJobName=request["TrainingJobName"])
    stopped = bench.finished(request["TrainingJobName"])
    assert stopped["TrainingJobStatus"] == "Stopped"
    kept = sorted(int(key.rpartition("xgboost-checkpoint.")[2]) for key in bench.keys(uri))
    done = rounds(bench, stopped)[-1]
    assert kept[-1] == done and kept[-5:] == list(range(done - 4, done + 1)), (kept, done)

    end = {**hyper, "num_round": str(kept[-1] + 11)}
    again = good(bench, end, InputDataConfig=request["InputDataConfig"], CheckpointConfig={"S3Uri": uri})
    assert rounds(bench, again) == list(range(kept[-1] + 1, kept[-1] + 11))
    calm = good(bench, end, InputDataConfig=request["InputDataConfig"])
    assert artifact(bench, again)["xgboost-model"] == artifact(bench, calm)["xgboost-model"]
    assert f"xgboost-checkpoint.{kept[-1] + 10}" in {key.rpartition("/")[2] for key in bench.keys(uri)}


def test_cross_validation(bench, serve):
    x, y = bench.held_out, bench.labels
    job = good(bench, {"_kfold": "3", "_num_cv_round": "2", "eval_metric": "logloss"}, {"train": ("text/csv", csv(y[:100], x[:100])),
                                                                                       "validation": ("text/csv", csv(y[100:], x[100:]))})
    files = artifact(bench, job)
    assert sorted(files) == [f"xgboost-model-{i}" for i in range(6)]
    each = numpy.array([booster(files[name]).predict(xgboost.DMatrix(x)) for name in sorted(files)])
    rows = numpy.array(list(reader.reader(io.StringIO(output(bench, job)["predictions.csv"].decode()))), dtype=float)
    assert rows.shape == (len(x), 3)
    numpy.testing.assert_array_equal(rows[:, 0], y)
    # A row's figure is the mean of one model of each repeat, that which has not seen it.
    pairs = (each[:3, None] + each[None, 3:]).reshape(9, -1) / 2
    assert abs(pairs - rows[:, 1]).min(axis=0).max() < 1e-5
    assert 0.85 < ((rows[:, 1] > 0.5) == y).mean() < 1
    lines = next(iter(bench.log_lines("/aws/sagemaker/TrainingJobs", job["TrainingJobName"] + "/").values()))
    assert sum(line.startswith("[10]#011train-logloss:") and "#011validation-logloss:" in line for line in lines) == 3, "two repeats, and both together"
    numpy.testing.assert_allclose(bench.predict(serve(files), x), each.mean(axis=0), rtol=1e-5)


def test_importance_of_features_is_that_of_get_score(bench):
    job = good(bench)
    told = json.loads(output(bench, job)["feature_importance.json"])
    b = booster(artifact(bench, job)["xgboost-model"])
    kinds = ("weight", "gain", "cover", "total_gain", "total_cover")
    assert set(told) == set(kinds)
    for kind in kinds:
        assert told[kind] == pytest.approx(b.get_score(importance_type=kind), rel=1e-5), kind


def test_what_notebooks_of_old_and_of_gpus_give(bench):
    """silent of the first releases; weights in both channels, and metrics of the container; GPUs by Dask, whose hosts divide the rows."""
    x, y = bench.held_out, bench.labels
    body = ("text/csv", csv(y, 1 + y, x))
    hyper = {"silent": "0", "csv_weights": "1", "eval_metric": "accuracy", "tree_method": "gpu_hist"}
    one = good(bench, hyper, {"train": body, "validation": body})
    told = {m["MetricName"]: m["Value"] for m in one["FinalMetricDataList"]}
    b = booster(artifact(bench, one)["xgboost-model"])
    loss = float(b.eval(xgboost.DMatrix(x, y, weight=1 + y)).rpartition(":")[2])
    assert told["validation:logloss"] == pytest.approx(loss, abs=2e-5) and told["train:logloss"] == told["validation:logloss"]
    assert told["validation:accuracy"] == pytest.approx(((b.predict(xgboost.DMatrix(x)) > 0.5) == y).mean(), abs=2e-5)
    two = good(bench, {**hyper, "use_dask_gpu_training": "true"}, {"train": body, "validation": body},
               ResourceConfig={"InstanceType": "ml.g4dn.12xlarge", "InstanceCount": 2, "VolumeSizeInGB": 5})
    assert artifact(bench, two) == artifact(bench, one)


def test_two_models_predict_together(bench, serve):
    x = bench.held_out
    two = [xgboost.train({"objective": "binary:logistic", "max_depth": depth}, xgboost.DMatrix(x, bench.labels), 5) for depth in (1, 4)]
    files = {f"xgboost-model-{i}": bytes(b.save_raw(form)) for i, (b, form) in enumerate(zip(two, ("json", "ubj")))}
    want = [b.predict(xgboost.DMatrix(x)) for b in two]
    numpy.testing.assert_allclose(bench.predict(serve(files), x), (want[0] + want[1]) / 2, rtol=1e-5)
    numpy.testing.assert_allclose(bench.predict(serve(files, SAGEMAKER_INFERENCE_ENSEMBLE="false"), x), want[0], rtol=1e-5)


@pytest.mark.parametrize("name", ["v090-logistic.pkl", "v102-softprob.model", "v176-softprob.pkl", "v176-dart.model"])
def test_models_of_older_releases(bench, serve, name):
    """What users have kept from SageMaker's older containers: pickled Boosters and the binary form. What they predicted is kept beside them."""
    with zipfile.ZipFile(GOLDEN / "models.zip") as models:
        content = models.read(name)
        (want,) = [entry["predictions"] for entry in json.loads(models.read("list.json")) if entry["file"] == name]
    data = json.loads((GOLDEN / "data.json").read_text())
    x = numpy.array([numpy.nan if v is None else v for v in data["values"]]).reshape(-1, data["cols"])[:40]
    text, _ = bench.ask(serve({"xgboost-model": content}), csv(x).replace(b"nan", b""))
    got = numpy.ravel([p["score"] for p in json.loads(text)["predictions"]])
    numpy.testing.assert_allclose(got, numpy.ravel(want), rtol=1e-4, atol=2e-6)


def test_a_booster_pickled_by_python(bench, serve):
    x = bench.held_out
    b = xgboost.train({"objective": "count:poisson", "booster": "dart", "rate_drop": 0.3}, xgboost.DMatrix(x, bench.labels), 5)
    numpy.testing.assert_allclose(bench.predict(serve({"model.pkl": pickle.dumps(b)}), x), b.predict(xgboost.DMatrix(x)), rtol=1e-5)


GOOD = ("text/csv", b"1,2,3\n0,3,4\n")
RECORD = recordio([[1, 2], [3, 4]], [0, 1])
TABLE = (ROWS / "rows.parquet").read_bytes()
BAD = {
    "text": ({"train": ("text/csv", b"1,2\n0,x\n")}, {}, r"train channel: file part-0, line 2: column 2: \"x\" is not a number"),
    "a label": ({"train": ("text/csv", b"1,2\n0,3\n2,4\n")}, {}, r"train channel: file part-0, line 3: the label is 2; label must be in \[0,1\]"),
    "validation": ({"train": GOOD, "validation": ("text/csv", b"1,2\n0,3,4\n")}, {}, r"validation channel: file part-0, line 2: has 3 columns"),
    "columns of validation": ({"train": GOOD, "validation": ("text/csv", b"1,2,3,4\n")}, {},
                              r"validation channel: file part-0, line 1: has 3 features behind the label, but the train channel has 2"),
    "libsvm": ({"train": ("text/libsvm", b"1 qid:1 0:2\n0 qid:1 a:3\n")}, {"objective": "rank:ndcg"}, r"train channel: file part-0, line 2: "),
    "a row without a query": ({"train": ("text/libsvm", b"1 qid:1 0:2\n0 0:3\n")}, {"objective": "rank:ndcg"},
                              r"train channel: file part-0, line 2: .*qid"),
    "a record that ends early": ({"train": (RECORDS, RECORD[:-5])}, {}, r"train channel: file part-0, record 2: "),
    "a table that ends early": ({"train": ("application/x-parquet", TABLE[:-100])}, {}, r"train channel: file part-0: "),
    "folds of groups": ({"train": ("text/libsvm", b"1 qid:1 0:2\n0 qid:1 0:3\n")}, {"objective": "rank:ndcg", "_kfold": "2"},
                        r"_kfold cannot divide rows in query groups"),
    "no model": ({"train": GOOD, "model": (MODEL, b"nothing of the kind")}, {}, r"model channel: file part-0: model file: "),
    "a model of three classes": ({"train": GOOD, "model": (MODEL, (GOLDEN / "v21-softprob.ubj").read_bytes())}, {},
                                 r"the model to go on with has 3 outputs, and binary:logistic has 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_fails_the_job_and_is_found(bench, case):
    channels, hyper, reason = BAD[case]
    job = run(bench, hyper, channels)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ") and re.search(reason, job["FailureReason"]), job["FailureReason"]


def test_bad_requests_are_model_errors(bench, endpoint):
    for body, kind, status in ((b"1,2,3", "text/csv", 400), (b"1,x" + b",0" * 28, "text/csv", 415), (RECORD[:-5], RECORDS, 415), (b"1", "text/html", 415)):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            bench.ask(endpoint, body, kind)
        assert (caught.value.response["Error"]["Code"], caught.value.response["OriginalStatusCode"]) == ("ModelError", status), body
