# SPDX-License-Identifier: Apache-2.0
"""The S3 door on the same port, as boto3 uses it."""

import io
import os
import urllib.error
import urllib.request

import boto3.s3.transfer
import botocore.config
import pytest

from support.refusal import refused
from support.work import FAST, unique


@pytest.fixture(scope="module")
def s3(bench):
    return bench.s3


@pytest.fixture(scope="module")
def bucket(s3):
    name = unique("s3-door")
    s3.create_bucket(Bucket=name)
    return name


def test_buckets_come_and_go(s3):
    name = unique("passing")
    s3.create_bucket(Bucket=name)
    s3.get_waiter("bucket_exists").wait(Bucket=name, WaiterConfig=FAST)
    assert s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert name in {b["Name"] for b in s3.list_buckets()["Buckets"]}
    s3.put_object(Bucket=name, Key="a", Body=b"1")
    with refused("BucketNotEmpty", status=409):
        s3.delete_bucket(Bucket=name)
    s3.delete_object(Bucket=name, Key="a")
    s3.delete_bucket(Bucket=name)
    s3.get_waiter("bucket_not_exists").wait(Bucket=name, WaiterConfig=FAST)
    with refused("404", status=404):
        s3.head_bucket(Bucket=name)


@pytest.mark.parametrize("call, code, status", [
    (lambda s3, b: s3.get_object(Bucket=b, Key="nothing"), "NoSuchKey", 404),
    (lambda s3, b: s3.head_object(Bucket=b, Key="nothing"), "404", 404),
    (lambda s3, b: s3.list_objects_v2(Bucket="no-such-bucket-here"), "NoSuchBucket", 404),
    (lambda s3, b: s3.put_object(Bucket="no-such-bucket-here", Key="k", Body=b""), "NoSuchBucket", 404),
    (lambda s3, b: s3.create_bucket(Bucket=b), "BucketAlreadyOwnedByYou", 409),
    (lambda s3, b: s3.abort_multipart_upload(Bucket=b, Key="k", UploadId="00000000-0000-0000-0000-000000000000"), "NoSuchUpload", 404),
], ids=["missing object", "missing head", "missing bucket", "put into missing bucket", "taken bucket", "missing upload"])
def test_refused(s3, bucket, call, code, status):
    with refused(code, status=status):
        call(s3, bucket)


@pytest.mark.parametrize("key", ["plain.txt", "a/b/c d+e%20f.csv", "ünïcode/ключ.txt", "dots/..hidden/x", "q?a=b&c#d"])
def test_an_object_comes_back_as_it_went(s3, bucket, key):
    body = os.urandom(10_000)
    put = s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/csv", Metadata={"colour": "green"})
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == body
    assert (got["ContentType"], got["Metadata"], got["ETag"]) == ("text/csv", {"colour": "green"}, put["ETag"])
    head = s3.head_object(Bucket=bucket, Key=key)
    assert (head["ContentLength"], head["ETag"]) == (len(body), put["ETag"])
    assert key in {o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    s3.delete_object(Bucket=bucket, Key=key)
    with refused("NoSuchKey", status=404):
        s3.get_object(Bucket=bucket, Key=key)


def test_ranges(s3, bucket):
    s3.put_object(Bucket=bucket, Key="range", Body=b"0123456789")
    for asked, want in {"bytes=2-4": b"234", "bytes=7-": b"789", "bytes=-3": b"789", "bytes=0-99": b"0123456789"}.items():
        got = s3.get_object(Bucket=bucket, Key="range", Range=asked)
        assert got["Body"].read() == want and got["ContentRange"].endswith("/10")
    with refused("InvalidRange", status=416):
        s3.get_object(Bucket=bucket, Key="range", Range="bytes=20-30")


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="etag", Body=b"x")["ETag"]
    with refused("304", status=304):
        s3.get_object(Bucket=bucket, Key="etag", IfNoneMatch=etag)
    with refused("PreconditionFailed", status=412):
        s3.get_object(Bucket=bucket, Key="etag", IfMatch='"00000000000000000000000000000000"')


def test_listing_by_prefix_delimiter_and_page(s3, bucket):
    keys = [f"tree/{a}/{b}" for a in "xyz" for b in range(5)]
    for k in keys:
        s3.put_object(Bucket=bucket, Key=k, Body=b"")
    folders = s3.list_objects_v2(Bucket=bucket, Prefix="tree/", Delimiter="/")
    assert [p["Prefix"] for p in folders["CommonPrefixes"]] == ["tree/x/", "tree/y/", "tree/z/"] and "Contents" not in folders
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="tree/", PaginationConfig={"PageSize": 4}))
    assert [len(p["Contents"]) for p in pages] == [4, 4, 4, 3]
    assert [o["Key"] for p in pages for o in p["Contents"]] == keys
    after = s3.list_objects_v2(Bucket=bucket, Prefix="tree/", StartAfter="tree/y/4")["Contents"]
    assert [o["Key"] for o in after] == keys[10:]
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in keys]})
    assert {d["Key"] for d in deleted["Deleted"]} == set(keys)
    assert s3.list_objects_v2(Bucket=bucket, Prefix="tree/")["KeyCount"] == 0


def test_a_large_upload_goes_in_parts(s3, bucket, tmp_path):
    body = os.urandom(20 << 20)
    (tmp_path / "large").write_bytes(body)
    s3.upload_file(str(tmp_path / "large"), bucket, "large",
                   Config=boto3.s3.transfer.TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20))
    assert s3.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-3"')
    s3.download_file(bucket, "large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == body
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_an_abandoned_upload_leaves_nothing(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="abandoned")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="abandoned", UploadId=upload, PartNumber=1, Body=b"x" * (5 << 20))
    assert [p["Size"] for p in s3.list_parts(Bucket=bucket, Key="abandoned", UploadId=upload)["Parts"]] == [5 << 20]
    s3.abort_multipart_upload(Bucket=bucket, Key="abandoned", UploadId=upload)
    with refused("NoSuchKey", status=404):
        s3.get_object(Bucket=bucket, Key="abandoned")


def test_copy(s3, bucket):
    s3.put_object(Bucket=bucket, Key="from", Body=b"copied", Metadata={"a": "b"})
    s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "from"})
    got = s3.get_object(Bucket=bucket, Key="to")
    assert (got["Body"].read(), got["Metadata"]) == (b"copied", {"a": "b"})


def test_object_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="tagged", Body=b"", Tagging="team=blue")
    assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == [{"Key": "team", "Value": "blue"}]
    s3.put_object_tagging(Bucket=bucket, Key="tagged", Tagging={"TagSet": [{"Key": "team", "Value": "red"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == [{"Key": "team", "Value": "red"}]
    s3.delete_object_tagging(Bucket=bucket, Key="tagged")
    assert s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == []


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_urls(bench, bucket, version):
    signer = bench.server.client("s3", botocore.config.Config(signature_version=version))
    put = signer.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "by-url"}, ExpiresIn=60)
    with urllib.request.urlopen(urllib.request.Request(put, b"by url", method="PUT",
                                                       headers={"Content-Type": ""})) as answer:
        assert answer.status == 200
    get = signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "by-url"}, ExpiresIn=60)
    with urllib.request.urlopen(get) as answer:
        assert answer.read() == b"by url"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(get.replace("by-url", "another"))
    with caught.value as answer:
        assert answer.code == 403 and b"SignatureDoesNotMatch" in answer.read()


def test_a_presigned_url_expires(bench, bucket):
    signer = bench.server.client("s3", botocore.config.Config(signature_version="s3v4"))
    bench.s3.put_object(Bucket=bucket, Key="short", Body=b"x")
    url = signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "short"}, ExpiresIn=-10)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url)
    with caught.value as answer:
        assert answer.code in (400, 403)


def test_who_owns_the_bucket(bench, bucket):
    bench.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=bench.account)
    with refused("403", status=403):
        bench.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner="999999999999")


def test_a_wrong_key_is_refused(bench, bucket):
    stranger = bench.server.session().client("s3", endpoint_url=bench.server.url, aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
                                             aws_secret_access_key="x")
    with refused("InvalidAccessKeyId", status=403):
        stranger.list_objects_v2(Bucket=bucket)
    forger = bench.server.session().client("s3", endpoint_url=bench.server.url, aws_secret_access_key="x" * 40,
                                           aws_access_key_id=bench.server.credentials["accessKeyId"])
    with refused("SignatureDoesNotMatch", status=403):
        forger.put_object(Bucket=bucket, Key="forged", Body=io.BytesIO(b"x"))
    with refused("NoSuchKey", status=404):
        bench.s3.get_object(Bucket=bucket, Key="forged")


def test_what_a_job_wrote_is_read_by_s3(bench, trained):
    uri = trained["ModelArtifacts"]["S3ModelArtifacts"]
    assert bench.get(uri)[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("checksum", ["CRC32", "SHA256"])
def test_checksums(s3, bucket, checksum):
    put = s3.put_object(Bucket=bucket, Key="sum", Body=b"checked", ChecksumAlgorithm=checksum)
    got = s3.get_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"checked"
    assert got[f"Checksum{checksum}"] == put[f"Checksum{checksum}"]
