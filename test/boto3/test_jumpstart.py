# SPDX-License-Identifier: Apache-2.0
"""The buckets of JumpStart's catalogue: everyone reads them, nobody writes to them, and no list has them."""

import json
import urllib.request

import boto3
import botocore
import botocore.config
import pytest

from support.refusal import refused
from support.work import unique

BUCKET = "jumpstart-cache-prod-us-east-1"
MODELS = ["catboost-classification-model", "catboost-regression-model", "lightgbm-classification-model", "lightgbm-regression-model"]


@pytest.fixture(scope="module")
def s3(bench):
    return bench.s3


def test_it_is_read_as_any_bucket(bench, s3):
    assert s3.head_bucket(Bucket=BUCKET)["ResponseMetadata"]["HTTPStatusCode"] == 200
    got = s3.get_object(Bucket=BUCKET, Key="models_manifest.json")
    manifest = json.load(got["Body"])
    assert [m["model_id"] for m in manifest] == MODELS
    assert s3.head_object(Bucket=BUCKET, Key="models_manifest.json")["ETag"] == got["ETag"], "the SDKs ask whether the manifest has changed"
    keys = bench.keys(f"s3://{BUCKET}/")
    assert {m["spec_key"] for m in manifest} < set(keys)
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix="community_models/", Delimiter="/")
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == [f"community_models/{m}/" for m in MODELS]
    part = s3.get_object(Bucket=BUCKET, Key="models_manifest.json", Range="bytes=0-0")
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206 and part["Body"].read() == b"["
    with refused("NoSuchKey", status=404):
        s3.get_object(Bucket=BUCKET, Key="nothing")
    with refused("NoSuchBucket", status=404):
        s3.list_objects_v2(Bucket="jumpstart-cache-prod-nowhere")
    assert BUCKET not in {b["Name"] for b in s3.list_buckets()["Buckets"]}


def test_what_it_holds_can_be_copied(bench, s3):
    other = "jumpstart-cache-prod-ap-south-1"  # which nobody has named yet
    key = unique("copied")
    s3.copy_object(Bucket=bench.bucket, Key=key, CopySource={"Bucket": other, "Key": "models_manifest.json"})
    assert s3.get_object(Bucket=bench.bucket, Key=key)["Body"].read() == s3.get_object(Bucket=other, Key="models_manifest.json")["Body"].read()


def test_each_region_has_its_own(bench, server, s3):
    spec = json.load(s3.get_object(Bucket="jumpstart-cache-prod-eu-west-1", Key=f"community_models/{MODELS[2]}/specs_v1.0.0.json")["Body"])
    assert "eu-west-1" in spec["training_instance_type_variants"]["regional_aliases"]
    elsewhere = server.session().client("s3", endpoint_url=server.url, region_name="eu-west-1")
    assert elsewhere.get_object(Bucket="jumpstart-cache-prod-eu-west-1", Key="proprietary-sdk-manifest.json")["Body"].read() == b"[]\n"


def test_strangers_read_it(server):
    with urllib.request.urlopen(f"{server.url}/{BUCKET}/models_manifest.json", timeout=10) as answer:
        assert len(json.load(answer)) == len(MODELS)
    nobody = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1", config=botocore.config.Config(signature_version=botocore.UNSIGNED))
    assert nobody.list_objects_v2(Bucket=BUCKET, MaxKeys=2)["KeyCount"] == 2
    with refused("AccessDenied", status=403):
        nobody.put_object(Bucket=BUCKET, Key="x", Body=b"x")


@pytest.mark.parametrize("call, code, status", [
    (lambda s3: s3.put_object(Bucket=BUCKET, Key="x", Body=b"x"), "AccessDenied", 403),
    (lambda s3: s3.put_object(Bucket=BUCKET, Key="models_manifest.json", Body=b"x"), "AccessDenied", 403),
    (lambda s3: s3.delete_object(Bucket=BUCKET, Key="models_manifest.json"), "AccessDenied", 403),
    (lambda s3: s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "models_manifest.json"}]}), "AccessDenied", 403),
    (lambda s3: s3.create_multipart_upload(Bucket=BUCKET, Key="x"), "AccessDenied", 403),
    (lambda s3: s3.copy_object(Bucket=BUCKET, Key="x", CopySource={"Bucket": BUCKET, "Key": "models_manifest.json"}), "AccessDenied", 403),
    (lambda s3: s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}), "AccessDenied", 403),
    (lambda s3: s3.delete_bucket(Bucket=BUCKET), "AccessDenied", 403),
    (lambda s3: s3.create_bucket(Bucket=BUCKET), "BucketAlreadyExists", 409),
])
def test_nobody_writes_to_it(s3, call, code, status):
    with refused(code, status=status):
        call(s3)


def test_a_job_cannot_write_to_it(bench):
    with refused("ValidationException", "can only be read"):
        bench.train(OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/output"})
