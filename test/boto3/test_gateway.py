# SPDX-License-Identifier: Apache-2.0
"""The server as a process: health, metrics, credentials, TLS, one per home."""

import json
import os
import ssl
import stat
import subprocess
import urllib.error
import urllib.request

import boto3
import pytest

from support.server import BINARY, poll
from support.work import Workbench


def test_health_needs_no_signature(server):
    with urllib.request.urlopen(server.url + "/healthz") as answer:
        assert (answer.status, json.load(answer)) == (200, {"status": "ok"})


def test_metrics_are_for_this_machine(server):
    with urllib.request.urlopen(server.url + "/metrics") as answer:
        text = answer.read().decode()
    assert "sagebrush_op_requests_total{" in text and "sagebrush_op_seconds_bucket{" in text


def test_the_key_is_for_its_owner_alone(server):
    for path in (server.home / "credentials.json", server.home):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_it_listens_on_this_machine_alone(server):
    assert server.url.startswith("http://127.0.0.1:")


def test_a_second_server_of_a_home_is_refused(server):
    second = subprocess.run([BINARY, "serve", "--home", server.home, "--listen", "127.0.0.1:0"], capture_output=True,
                            text=True, timeout=30)
    assert second.returncode != 0
    assert str(server.home) in second.stderr or "another" in second.stderr, second.stderr
    with urllib.request.urlopen(server.url + "/healthz") as answer:
        assert answer.status == 200


def test_records_and_keys_outlive_the_server(other):
    server = other("restart")
    before = server.credentials
    bench = Workbench(server)
    job = bench.train(hyper={"num_round": "2"})
    name = bench.deploy(job["ModelArtifacts"]["S3ModelArtifacts"])
    want = bench.predict(name, bench.held_out[:3]).tolist()
    server.stop()
    assert server.tasks(), "the endpoint's task must run on"
    server.start()
    assert server.credentials == before
    again = server.client("sagemaker")
    got = again.describe_training_job(TrainingJobName=job["TrainingJobName"])
    assert {k: v for k, v in got.items() if k != "ResponseMetadata"} == {k: v for k, v in job.items() if k != "ResponseMetadata"}
    bench.runtime = server.client("sagemaker-runtime")
    poll(lambda: again.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService", 20, "the endpoint")
    assert bench.predict(name, bench.held_out[:3]).tolist() == want
    s3 = server.client("s3")
    assert s3.get_object(Bucket=bench.bucket, Key="cancer/train/part-0.csv")["Body"].read()


def test_account_and_region_of_the_first_start(other):
    server = other("elsewhere", "--region", "eu-central-1", "--account", "210987654321")
    assert (server.account, server.region) == ("210987654321", "eu-central-1")
    arn = server.client("sts").get_caller_identity()["Arn"]
    assert arn == "arn:aws:iam::210987654321:root"
    bench = Workbench(server)
    job = bench.train(hyper={"num_round": "1"})
    assert job["TrainingJobArn"].startswith("arn:aws:sagemaker:eu-central-1:210987654321:training-job/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    at = tmp_path_factory.mktemp("tls")
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                           "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout",
                           at / "key.pem", "-out", at / "cert.pem"], capture_output=True)
    if made.returncode:
        pytest.skip("openssl cannot make a certificate here: " + made.stderr.decode()[-200:])
    os.chmod(at / "key.pem", 0o600)
    return at


def test_tls_with_a_given_certificate(certificate, tmp_path):
    from support.server import Server
    server = Server(tmp_path / "home", "--tls-cert", certificate / "cert.pem", "--tls-key", certificate / "key.pem")
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    server.trust = context
    server.start()
    try:
        assert server.url.startswith("https://")
        c = server.credentials
        keys = {"aws_access_key_id": c["accessKeyId"], "aws_secret_access_key": c["secretAccessKey"], "region_name": c["region"]}
        sts = boto3.client("sts", endpoint_url=server.url, verify=str(certificate / "cert.pem"), **keys)
        assert sts.get_caller_identity()["Account"] == server.account
        s3 = boto3.client("s3", endpoint_url=server.url, verify=str(certificate / "cert.pem"), **keys)
        s3.create_bucket(Bucket="over-tls")
        s3.put_object(Bucket="over-tls", Key="k", Body=b"body with a checksum in the trailer" * 1000)  # aws-chunked
        assert s3.get_object(Bucket="over-tls", Key="k")["Body"].read() == b"body with a checksum in the trailer" * 1000
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(server.url + "/healthz")  # a certificate that nobody trusts
    finally:
        server.stop()


def test_environment_for_a_shell(server):
    printed = subprocess.run([BINARY, "env", "--home", server.home], capture_output=True, text=True, check=True).stdout
    assert f"export AWS_ENDPOINT_URL={server.url}\n" in printed
    as_json = json.loads(subprocess.run([BINARY, "env", "--home", server.home, "--json"], capture_output=True, check=True).stdout)
    assert as_json["AWS_ENDPOINT_URL"] == server.url
    assert as_json["AWS_ACCESS_KEY_ID"] == server.credentials["accessKeyId"]
