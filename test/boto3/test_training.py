# SPDX-License-Identifier: Apache-2.0
"""Training jobs: what they say of themselves, and how they end."""

import datetime
import json
import re
import time

import botocore.exceptions
import numpy
import pytest

from support.refusal import refused
from support.server import poll
from support.work import FAST, channel, csv, members, unique

GROUP = "/aws/sagemaker/TrainingJobs"


def test_describe_tells_what_was_asked_and_what_was_done(bench, trained):
    request = bench.request("trained")
    assert trained["HyperParameters"] == request["HyperParameters"]
    assert trained["RoleArn"] == bench.role
    assert trained["ResourceConfig"] == request["ResourceConfig"]
    assert trained["StoppingCondition"] == request["StoppingCondition"]
    assert trained["AlgorithmSpecification"]["TrainingImage"] == bench.image
    assert [c["ChannelName"] for c in trained["InputDataConfig"]] == ["train", "validation"]
    assert trained["TrainingJobArn"] == f"arn:aws:sagemaker:{bench.region}:{bench.account}:training-job/trained"
    assert trained["SecondaryStatus"] == "Completed"
    assert trained["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{bench.bucket}/output/trained/output/model.tar.gz"
    assert trained["CreationTime"] <= trained["TrainingStartTime"] <= trained["TrainingEndTime"] <= trained["LastModifiedTime"]
    assert trained["TrainingTimeInSeconds"] >= 1 and trained["BillableTimeInSeconds"] >= 1
    assert "FailureReason" not in trained


def test_secondary_states_follow_one_another_without_a_gap(trained):
    steps = trained["SecondaryStatusTransitions"]
    assert [s["Status"] for s in steps] == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    for before, after in zip(steps, steps[1:]):
        assert before["StartTime"] <= before["EndTime"] == after["StartTime"]
    assert all(s["StatusMessage"] for s in steps)


def test_final_metrics_are_those_of_the_last_evaluation_line(bench, trained):
    (lines,) = bench.log_lines(GROUP, "trained/").values()
    rounds = [line for line in lines if re.search(r"\[\d+\]#011", line)]
    assert len(rounds) == 20
    last = dict(re.findall(r"(train|validation)-(?:auc|logloss):(\S+)", rounds[-1])) and {
        f"{c}:{m}": float(v) for c, m, v in re.findall(r"(train|validation)-(auc|logloss):([0-9.e+-]+)", rounds[-1])}
    assert {m["MetricName"]: round(m["Value"], 5) for m in trained["FinalMetricDataList"]} == last
    assert last["validation:auc"] > 0.98


def test_the_artifact_is_one_archive_with_the_model(bench, trained):
    assert bench.keys(f"s3://{bench.bucket}/output/trained/") == [f"output/trained/output/{what}.tar.gz" for what in ("model", "output")]
    files = members(bench.get(trained["ModelArtifacts"]["S3ModelArtifacts"]))
    assert list(files) == ["xgboost-model"]


def test_the_same_seed_gives_the_same_bytes(bench):
    hyper = {"seed": "11", "subsample": "0.7", "colsample_bytree": "0.6"}
    models = [members(bench.get(bench.train(hyper=hyper)["ModelArtifacts"]["S3ModelArtifacts"])) for _ in range(2)]
    assert models[0] == models[1]
    other = bench.train(hyper={**hyper, "seed": "12"})
    assert members(bench.get(other["ModelArtifacts"]["S3ModelArtifacts"])) != models[0]


def test_an_uncompressed_model_is_a_folder(bench):
    job = bench.train(OutputDataConfig={"S3OutputPath": f"s3://{bench.bucket}/plain/", "CompressionType": "NONE"})
    name = job["TrainingJobName"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{bench.bucket}/plain/{name}/output/model/"
    assert bench.keys(f"s3://{bench.bucket}/plain/") == [f"plain/{name}/output/data/feature_importance.json", f"plain/{name}/output/model/xgboost-model"]


def test_waiter_and_states_of_a_running_job(bench):
    request = bench.long()
    name = request["TrainingJobName"]
    bench.sagemaker.create_training_job(**request)
    bench.reached(name, "Training")
    assert bench.sagemaker.stop_training_job(TrainingJobName=name)["ResponseMetadata"]["HTTPStatusCode"] == 200
    bench.sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name, WaiterConfig=FAST)
    job = bench.sagemaker.describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert [s["Status"] for s in job["SecondaryStatusTransitions"]][-2:] == ["Stopping", "Stopped"]
    with refused("ValidationException", "The request was rejected because the training job is in status Stopped"):
        bench.sagemaker.stop_training_job(TrainingJobName=name)


def test_the_waiter_fails_for_a_failed_and_for_a_missing_job(bench):
    job = bench.train(hyper={"num_class": "x"})
    waiter = bench.sagemaker.get_waiter("training_job_completed_or_stopped")
    for name in (job["TrainingJobName"], "never-made"):
        with pytest.raises(botocore.exceptions.WaiterError):
            waiter.wait(TrainingJobName=name, WaiterConfig=FAST)


def test_a_job_that_outlives_its_time_is_stopped(bench):
    request = bench.long(StoppingCondition={"MaxRuntimeInSeconds": 1})
    bench.sagemaker.create_training_job(**request)
    job = bench.finished(request["TrainingJobName"])
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert job["TrainingEndTime"] - job["TrainingStartTime"] >= datetime.timedelta(seconds=1)


@pytest.mark.parametrize("hyper, reason", [
    ({"eta": "2"}, r"ClientError.*eta"),
    ({"objective": "binary:guess"}, r"ClientError.*objective"),
    ({"num_rounds_typo": "1"}, r"ClientError.*num_rounds_typo"),
    ({"num_round": "0"}, r"ClientError.*num_round"),
], ids=["out of bounds", "unknown value", "unknown name", "too few rounds"])
def test_a_bad_hyperparameter_fails_the_job_and_is_named(bench, hyper, reason):
    job = bench.train(hyper=hyper)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert re.search(reason, job["FailureReason"]), job["FailureReason"]
    assert job["SecondaryStatusTransitions"][-1]["Status"] == "Failed"


@pytest.mark.parametrize("body, reason", [
    (b"1,2.5,3\n0,abc,4\n", r"ClientError.*(abc|line 2)"),
    (b"1,2.5,3\nnan,1,4\n", r"ClientError.*(label|NaN|nan)"),
    (b"1,2.5,3\n,1,4\n", r"ClientError.*label"),
    (b"1,2.5,3\n0,1\n", r"ClientError"),
    (b"", r"ClientError"),
], ids=["text", "NaN label", "no label", "ragged", "empty object"])
def test_bad_csv_fails_the_job_and_tells_why(bench, body, reason):
    uri = bench.put(f"{unique('bad')}/data.csv", body)
    job = bench.train(InputDataConfig=[channel("train", uri)])
    assert job["TrainingJobStatus"] == "Failed"
    assert re.search(reason, job["FailureReason"], re.S), job["FailureReason"]
    assert bench.keys(f"s3://{bench.bucket}/output/{job['TrainingJobName']}/output/model") == []


def test_delete_waits_for_the_end_and_frees_the_name(bench):
    request = bench.long()
    name = request["TrainingJobName"]
    bench.sagemaker.create_training_job(**request)
    with refused("ResourceInUse", "status InProgress"):
        bench.sagemaker.delete_training_job(TrainingJobName=name)
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    bench.finished(name)
    bench.sagemaker.delete_training_job(TrainingJobName=name)
    with refused("ValidationException", "Requested resource not found"):
        bench.sagemaker.describe_training_job(TrainingJobName=name)
    again = bench.train(name)
    assert again["TrainingJobStatus"] == "Completed"


def test_update_changes_a_running_job_only(bench, trained):
    request = bench.long()
    name = request["TrainingJobName"]
    arn = bench.sagemaker.create_training_job(**request)["TrainingJobArn"]
    out = bench.sagemaker.update_training_job(TrainingJobName=name, ProfilerConfig={"DisableProfiler": True})
    assert out["TrainingJobArn"] == arn
    assert bench.sagemaker.describe_training_job(TrainingJobName=name)["ProfilerConfig"]["DisableProfiler"] is True
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    with refused("ValidationException", "in status Completed"):
        bench.sagemaker.update_training_job(TrainingJobName="trained", ProfilerConfig={"DisableProfiler": True})
    with refused("ValidationException", "not found"):
        bench.sagemaker.update_training_job(TrainingJobName="never-made", ProfilerConfig={"DisableProfiler": True})


def test_metrics_of_the_callers_own_definition(bench):
    job = bench.train(AlgorithmSpecification={
        "TrainingImage": bench.image, "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": r"validation-logloss:([0-9.]+)"}]})
    found = {m["MetricName"]: m["Value"] for m in job["FinalMetricDataList"]}
    assert found["loss"] == found["validation:logloss"]


# --- channels ---------------------------------------------------------------

@pytest.fixture(scope="module")
def parts(bench):
    """The training set as four objects below one prefix, and beside it what must not be read."""
    rows = bench.get(bench.train_uri + "part-0.csv").splitlines(keepends=True)
    for i in range(4):
        bench.put(f"parts/train/{i}.csv", b"".join(rows[i::4]))
    bench.put("parts/other.csv", b"not,a,number\n")
    return f"s3://{bench.bucket}/parts/"


@pytest.fixture(scope="module")
def whole(bench, parts):
    """The model that the four parts give, whatever the way that they are named in."""
    job = bench.train(InputDataConfig=[channel("train", parts + "train/")])
    return members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))


@pytest.mark.parametrize("source", [
    {"S3DataDistributionType": "FullyReplicated"},
    {"S3DataDistributionType": "ShardedByS3Key"},
], ids=["replicated", "sharded over one host"])
def test_a_prefix_with_many_objects_is_one_data_set(bench, parts, whole, source):
    job = bench.train(InputDataConfig=[channel("train", parts + "train/", **source)])
    assert members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"])) == whole


def test_a_manifest_names_the_objects(bench, parts, whole):
    manifest = bench.put("parts.manifest", json.dumps(
        [{"prefix": parts + "train/"}, "0.csv", "1.csv", "2.csv", "3.csv"]).encode())
    job = bench.train(InputDataConfig=[channel("train", manifest, S3DataType="ManifestFile")])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"])) == whole


def test_fast_file_mode_reads_the_same(bench, parts, whole):
    spec = {"TrainingImage": bench.image, "TrainingInputMode": "FastFile"}
    job = bench.train(InputDataConfig=[channel("train", parts + "train/")], AlgorithmSpecification=spec)
    assert members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"])) == whole


def test_shuffled_objects_give_a_model_by_the_seed(bench, parts):
    def model(seed):
        job = bench.train(InputDataConfig=[{**channel("train", parts + "train/"), "ShuffleConfig": {"Seed": seed}}])
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        return members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))
    assert model(5) == model(5)


def test_libsvm_gives_the_model_that_csv_gives(bench):
    rows = bench.get(bench.train_uri + "part-0.csv").decode().splitlines()
    lines = []
    for row in rows:
        label, *values = row.split(",")
        lines.append(" ".join([label, *(f"{i}:{v}" for i, v in enumerate(values))]))
    uri = bench.put("svm/train.libsvm", ("\n".join(lines) + "\n").encode())
    by_svm, by_csv = (bench.train(InputDataConfig=[c]) for c in (
        channel("train", uri, "text/libsvm"), channel("train", bench.train_uri)))
    assert by_svm["TrainingJobStatus"] == "Completed", by_svm.get("FailureReason")
    a, b = ({m["MetricName"]: m["Value"] for m in j["FinalMetricDataList"]} for j in (by_svm, by_csv))
    assert a == b


def test_weights_in_the_second_column_count_as_rows(bench):
    """A row of weight 3 trains the same trees as three rows of weight 1."""
    rng = numpy.random.default_rng(3)
    x, weight = rng.integers(0, 20, (300, 4)), rng.integers(1, 4, 300)
    y = (x[:, 0] + x[:, 1] > 19).astype(int)
    weighted = bench.put("weights/weighted.csv", csv(y, weight, x))
    repeated = bench.put("weights/repeated.csv", csv(numpy.repeat(y, weight), numpy.repeat(x, weight, axis=0)))
    hyper = {"num_round": "5", "eval_metric": "logloss", "base_score": "0.5", "max_bin": "64"}
    a = bench.train(hyper={**hyper, "csv_weights": "1"}, InputDataConfig=[channel("train", weighted, "text/csv")])
    b = bench.train(hyper=hyper, InputDataConfig=[channel("train", repeated, "text/csv")])
    (va,), (vb,) = ([m["Value"] for m in j["FinalMetricDataList"]] for j in (a, b))
    assert va == pytest.approx(vb, abs=1e-4)


# --- refused ----------------------------------------------------------------

def changed(request, path, value):
    """The request with the member at a path like A.B.0.C set to value, or left out if None."""
    request = json.loads(json.dumps(request))
    at = request
    *way, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return request


REFUSED = {
    "unknown image": ("AlgorithmSpecification.TrainingImage", "012345678901.dkr.ecr.us-east-1.amazonaws.com/nothing:1",
                      "(?i)image"),
    "unknown tag": ("AlgorithmSpecification.TrainingImage", "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:9.9-9",
                    r"9\.9-9"),
    "missing bucket": ("InputDataConfig.0.DataSource.S3DataSource.S3Uri", "s3://no-such-bucket-here/data/",
                       r'No S3 objects found under S3 URL "s3://no-such-bucket-here/data/" given in input data source'),
    "empty channel": ("InputDataConfig.0.DataSource.S3DataSource.S3Uri", "s3://{bucket}/nothing/below/",
                      r"No S3 objects found under S3 URL"),
    "not a URI": ("InputDataConfig.0.DataSource.S3DataSource.S3Uri", "http://somewhere/data", r"failed to satisfy constraint|S3Uri"),
    "dead role": ("RoleArn", "arn:aws:iam::123456789012:role/nobody", r"Could not assume role arn:aws:iam::123456789012:role/nobody"),
    "role that is no ARN": ("RoleArn", "just-a-role-name-of-some-length", r"Member must satisfy regular expression pattern"),
    "missing output bucket": ("OutputDataConfig.S3OutputPath", "s3://no-such-bucket-here/out", r"no-such-bucket-here"),
    "two channels of one name": ("InputDataConfig.1.ChannelName", "train", r"(?i)channel"),
    "bad name": ("TrainingJobName", "under_score", r"1 validation error detected: Value 'under_score' at 'trainingJobName' "
                 r"failed to satisfy constraint: Member must satisfy regular expression pattern"),
    "long name": ("TrainingJobName", "a" * 64, r"Member must have length less than or equal to 63"),
    "unknown instance type": ("ResourceConfig.InstanceType", "ml.m5.gigantic", r"Member must satisfy enum value set"),
    "spot without wait": ("EnableManagedSpotTraining", True, r"MaxWaitTimeInSeconds"),
    "image and algorithm": ("AlgorithmSpecification.AlgorithmName", "my-algorithm", r"AlgorithmName|TrainingImage"),
    "no algorithm": ("AlgorithmSpecification", None, r"AlgorithmSpecification"),
    "no resources": ("ResourceConfig", None, r"ResourceConfig"),
    "bad metric regex": ("AlgorithmSpecification.MetricDefinitions", [{"Name": "m", "Regex": "("}], r"(?i)regular expression|regex"),
    "records of files": ("InputDataConfig.0.RecordWrapperType", "RecordIO", r"only for input mode Pipe"),
    "an algorithm resource": ("AlgorithmSpecification", {"AlgorithmName": "mine", "TrainingInputMode": "File"}, r"not supported by Sagebrush yet"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_create_refuses_and_leaves_nothing(bench, case):
    path, value, message = REFUSED[case]
    if isinstance(value, str):
        value = value.replace("{bucket}", bench.bucket)
    request = changed(bench.request(), path, value)
    before = names(bench)
    with refused("ValidationException", message):
        bench.sagemaker.create_training_job(**request)
    assert names(bench) == before
    assert bench.keys(f"s3://{bench.bucket}/output/{request['TrainingJobName']}/") == []
    if re.fullmatch("[a-zA-Z0-9-]{1,63}", request["TrainingJobName"]):
        with refused("ValidationException", "Requested resource not found"):
            bench.sagemaker.describe_training_job(TrainingJobName=request["TrainingJobName"])


def names(bench):
    return {j["TrainingJobName"] for page in bench.sagemaker.get_paginator("list_training_jobs").paginate()
            for j in page["TrainingJobSummaries"]}


def test_a_role_that_sagemaker_may_not_assume_is_refused(bench):
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = bench.iam.create_role(RoleName=unique("Lambda"), AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    with refused("ValidationException", "Could not assume role"):
        bench.sagemaker.create_training_job(**bench.request(RoleArn=role))


def test_several_errors_are_told_at_once(bench):
    request = changed(changed(bench.request("under_score"), "ResourceConfig.InstanceType", "ml.none"), "RoleArn", "nope" * 8)
    with refused("ValidationException", r"^3 validation errors detected: .*; .*; ") as caught:
        bench.sagemaker.create_training_job(**request)
    for path in ("trainingJobName", "resourceConfig.instanceType", "roleArn"):
        assert f"at '{path}' failed to satisfy constraint" in str(caught.value)


def test_a_taken_name_is_in_use(bench, trained):
    with refused("ResourceInUse", r"Training job names must be unique within an AWS account and region, and a training job "
                 r"with this name already exists \(arn:aws:sagemaker:.*:training-job/trained\)"):
        bench.sagemaker.create_training_job(**bench.request("trained"))


@pytest.mark.parametrize("operation", ["describe", "stop", "delete"])
def test_a_missing_job_is_not_found(bench, operation):
    with refused("ValidationException", "Requested resource not found"):
        getattr(bench.sagemaker, operation + "_training_job")(TrainingJobName="never-made")


# --- list -------------------------------------------------------------------

@pytest.fixture(scope="module")
def listed(bench):
    """Five jobs, two of which fail, with a word of their own in their names; oldest first."""
    jobs = []
    for i, end in enumerate(["ok", "bad", "ok", "bad", "ok"]):
        jobs.append(bench.train(f"lst-{'ecadb'[i]}-{end}", hyper={"num_round": "1"} if end == "ok" else {"eta": "7"}))
        time.sleep(0.01)  # creation times have milliseconds
    return jobs


def summaries(bench, **query):
    return bench.sagemaker.list_training_jobs(NameContains="lst-", **query)["TrainingJobSummaries"]


def test_list_sorts(bench, listed):
    by_age = [j["TrainingJobName"] for j in listed]
    assert [j["TrainingJobName"] for j in summaries(bench, SortBy="CreationTime", SortOrder="Ascending")] == by_age
    assert [j["TrainingJobName"] for j in summaries(bench, SortBy="CreationTime", SortOrder="Descending")] == by_age[::-1]
    assert [j["TrainingJobName"] for j in summaries(bench, SortBy="Name", SortOrder="Ascending")] == sorted(by_age)
    status = [j["TrainingJobStatus"] for j in summaries(bench, SortBy="Status", SortOrder="Ascending")]
    assert status == ["Completed"] * 3 + ["Failed"] * 2


def test_list_filters(bench, listed):
    assert {j["TrainingJobName"] for j in summaries(bench, StatusEquals="Failed")} == {"lst-c-bad", "lst-d-bad"}
    assert {j["TrainingJobName"] for j in bench.sagemaker.list_training_jobs(NameContains="-bad")["TrainingJobSummaries"]
            } == {"lst-c-bad", "lst-d-bad"}
    assert summaries(bench, StatusEquals="Stopping") == []
    future = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    past = future - datetime.timedelta(hours=2)
    for word in ("CreationTime", "LastModifiedTime"):
        assert len(summaries(bench, **{word + "After": past, word + "Before": future})) == 5
        assert summaries(bench, **{word + "After": future}) == []
        assert summaries(bench, **{word + "Before": past}) == []


def test_a_summary_has_what_describe_has(bench, listed):
    for summary in summaries(bench):
        job = bench.sagemaker.describe_training_job(TrainingJobName=summary["TrainingJobName"])
        assert set(summary) == {"TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime",
                                "TrainingJobStatus", "SecondaryStatus"} & set(job)
        assert all(job[k] == v for k, v in summary.items())


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize("order", [("Name", "Ascending"), ("Status", "Descending"), ("CreationTime", "Ascending")])
def test_pages_are_whole(bench, listed, size, order):
    pages = list(bench.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains="lst-", SortBy=order[0], SortOrder=order[1], PaginationConfig={"PageSize": size}))
    assert all(len(p["TrainingJobSummaries"]) <= size for p in pages)
    found = [j["TrainingJobName"] for p in pages for j in p["TrainingJobSummaries"]]
    assert found == [j["TrainingJobName"] for j in summaries(bench, SortBy=order[0], SortOrder=order[1])]
    assert len(found) == len(set(found)) == 5


@pytest.mark.parametrize("query, message", [
    ({"NextToken": "not-a-token"}, "(?i)token"),
    ({"MaxResults": 101}, "Member must have value less than or equal to 100"),
    ({"StatusEquals": "Sleeping"}, "Member must satisfy enum value set"),
    ({"SortBy": "Colour"}, "Member must satisfy enum value set"),
], ids=["token", "page size", "status", "sort"])
def test_list_refuses(bench, query, message):
    with refused("ValidationException", message):
        bench.sagemaker.list_training_jobs(**query)


def test_a_token_of_another_question_is_refused(bench, listed):
    token = bench.sagemaker.list_training_jobs(NameContains="lst-", MaxResults=2, SortBy="Name")["NextToken"]
    with refused("ValidationException", "(?i)token"):
        bench.sagemaker.list_training_jobs(NameContains="lst-", MaxResults=2, SortBy="Status", NextToken=token)


def test_many_jobs_at_once_all_complete(bench):
    requests = [bench.request(hyper={"num_round": "3"}) for _ in range(20)]
    for request in requests:
        bench.sagemaker.create_training_job(**request)
    for request in requests:
        assert bench.finished(request["TrainingJobName"])["TrainingJobStatus"] == "Completed"
    poll(lambda: not [c for c in commands(bench) if "algo train" in c], 20, "the trainers to be gone")


def commands(bench):
    """The command lines of this home's tasks."""
    found = []
    for pid in bench.server.tasks():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                found.append(f.read().replace(b"\0", b" ").decode())
        except OSError:
            pass
    return found
