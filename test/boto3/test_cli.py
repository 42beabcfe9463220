# SPDX-License-Identifier: Apache-2.0
"""The AWS CLI and the boto3 example, unmodified, and the command line that runs them."""

import json
import os
import subprocess

import pytest

from support import example
from support.server import BINARY, ROOT
from support.work import csv, unique

AWS = ROOT / ".venv" / "boto3" / "bin" / "aws"


@pytest.fixture(scope="module")
def aws(server):
    """Runs the AWS CLI with nothing but variables set, and returns its JSON; code is the expected exit code."""
    def run(*args, code=0):
        done = subprocess.run([AWS, *map(str, args)], env=server.environment(), capture_output=True, text=True, timeout=120)
        assert done.returncode == code, f"{args}: exit code {done.returncode}: {done.stderr}"
        return done.stderr if code else json.loads(done.stdout) if done.stdout[:1] in "[{" and done.stdout else done.stdout
    return run


def test_the_whole_story_by_the_cli(server):
    output = example.run(server, "boto3", ["sh", "examples/aws_cli.sh"], AWS_PAGER="")
    assert '"Status": "Completed"' in output
    assert example.accuracy(output) > 0.9
    example.nothing_is_left(server)


def test_the_whole_story_by_boto3(server):
    output = example.run(server, "boto3", ["python", "examples/boto3_xgboost.py"])
    assert output.startswith("Completed {'train:auc': ")
    assert example.accuracy(output) > 0.9
    example.nothing_is_left(server)


def test_jobs_are_created_described_listed_and_waited_for(aws, bench, tmp_path):
    request = bench.request(hyper={"num_round": "2"})
    (tmp_path / "job.json").write_text(json.dumps(request))
    name = request["TrainingJobName"]
    arn = aws("sagemaker", "create-training-job", "--cli-input-json", f"file://{tmp_path}/job.json")["TrainingJobArn"]
    bench.finished(name)
    aws("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", name)
    assert aws("sagemaker", "describe-training-job", "--training-job-name", name)["TrainingJobArn"] == arn
    listed = aws("sagemaker", "list-training-jobs", "--name-contains", name, "--max-items", "1")["TrainingJobSummaries"]
    assert [j["TrainingJobName"] for j in listed] == [name]
    lines = aws("logs", "filter-log-events", "--log-group-name", "/aws/sagemaker/TrainingJobs", "--log-stream-name-prefix",
                name + "/", "--query", "events[].message")
    assert any("#011train-auc:" in line for line in lines)


def test_files_go_to_s3_and_back(aws, tmp_path):
    bucket = unique("by-cli")
    aws("s3", "mb", f"s3://{bucket}")
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "in" / "deep" / "big.bin").write_bytes(os.urandom(9 << 20))
    for path in (tmp_path / "in").rglob("*.*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))  # sync compares times, and S3's have whole seconds
    assert aws("s3", "sync", tmp_path / "in", f"s3://{bucket}/in").count("upload:") == 2
    assert aws("s3", "sync", tmp_path / "in", f"s3://{bucket}/in") == ""
    aws("s3", "cp", "--recursive", f"s3://{bucket}/in", tmp_path / "out")
    assert (tmp_path / "out" / "deep" / "big.bin").read_bytes() == (tmp_path / "in" / "deep" / "big.bin").read_bytes()
    assert "a.txt" in aws("s3", "ls", "--recursive", f"s3://{bucket}/")
    aws("s3", "rb", "--force", f"s3://{bucket}")


def test_an_endpoint_answers_the_cli(aws, bench, endpoint, tmp_path):
    (tmp_path / "rows.csv").write_bytes(csv(bench.held_out[:4]))
    told = aws("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", endpoint, "--content-type", "text/csv", "--accept",
               "application/json", "--body", f"fileb://{tmp_path}/rows.csv", tmp_path / "answer")
    assert told["InvokedProductionVariant"] == "AllTraffic"
    scores = [p["score"] for p in json.loads((tmp_path / "answer").read_text())["predictions"]]
    assert scores == bench.predict(endpoint, bench.held_out[:4]).tolist()


def test_errors_are_shown_as_the_service_words_them(aws):
    told = aws("sagemaker", "describe-model", "--model-name", "never-made", code=255)
    assert "An error occurred (ValidationException) when calling the DescribeModel operation: Could not find model" in told


def test_run_acts_under_a_role_and_reaches_no_other_aws(server):
    script = """
import boto3, urllib.request
sts = boto3.client("sts", endpoint_url="https://sts.us-west-2.amazonaws.com")  # named in the code, as the SDK does
print(sts.get_caller_identity()["Arn"])
"""
    output = example.run(server, "boto3", ["python", "-c", script])
    assert f"arn:aws:sts::{server.account}:assumed-role/AmazonSageMaker-ExecutionRole/" in output


def test_run_passes_the_exit_code_on(server):
    done = subprocess.run([BINARY, "run", "--home", server.home, "--", "sh", "-c", "exit 7"], capture_output=True, timeout=30)
    assert done.returncode == 7


def test_version_and_doctor(server):
    told = json.loads(subprocess.run([BINARY, "version", "--json"], capture_output=True, check=True).stdout)
    assert told["botocore"] == (ROOT / "model" / "botocore.version").read_text().strip()
    doctor = subprocess.run([BINARY, "doctor", "--json", "--home", server.home], capture_output=True, text=True)
    assert json.loads(doctor.stdout), doctor.stderr
