# SPDX-License-Identifier: Apache-2.0
"""Drives the S3 door with boto3. Reads a JSON object of settings from stdin."""

import hashlib
import io
import json
import os
import sys
import tempfile

import boto3
import urllib3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

urllib3.disable_warnings()  # the door's certificate is its own
S = json.load(sys.stdin)
BUCKET = "sagemaker-us-east-1-123456789012"
failures = []


def client(key=None, secret=None, token=None, **config):
    config.setdefault("retries", {"max_attempts": 0})
    return boto3.client(
        "s3", endpoint_url=S["url"], region_name="us-east-1",
        aws_access_key_id=key or S["key"], aws_secret_access_key=secret or S["secret"],
        aws_session_token=token, config=Config(**config))


def elsewhere(region, url=None, key=None, secret=None, token=None, **config):
    """A client of another region; without url one that asks AWS's own hosts, by the door as its proxy."""
    config.setdefault("retries", {"max_attempts": 0})
    if url is None:
        config["proxies"] = {"http": S["url"]}
    return boto3.Session(region_name=region).client(
        "s3", endpoint_url=url, use_ssl=url is not None, verify=False, aws_access_key_id=key or S["key"],
        aws_secret_access_key=secret or S["secret"], aws_session_token=token, config=Config(**config))


def check(name, got, want):
    if got != want:
        failures.append(f"{name}: got {got!r}, want {want!r}")


def refused(name, code, status, call, *args, **kw):
    try:
        call(*args, **kw)
        failures.append(f"{name}: was not refused")
    except ClientError as e:
        check(name, (e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]), (code, status))


def fetch(url, method="GET", data=None, headers=None):
    r = http.request(method, url, body=data, headers=headers or {}, retries=False)
    return r.status, r.data


http = urllib3.PoolManager()
s3 = client()


def buckets():
    refused("head of a missing bucket", "404", 404, s3.head_bucket, Bucket=BUCKET)
    refused("list of a missing bucket", "NoSuchBucket", 404, s3.list_objects_v2, Bucket=BUCKET)
    refused("get from a missing bucket", "NoSuchBucket", 404, s3.get_object, Bucket=BUCKET, Key="k")
    s3.create_bucket(Bucket=BUCKET)
    refused("second create", "BucketAlreadyOwnedByYou", 409, s3.create_bucket, Bucket=BUCKET)
    s3.head_bucket(Bucket=BUCKET, ExpectedBucketOwner=S["account"])
    refused("head with another owner", "403", 403, s3.head_bucket, Bucket=BUCKET, ExpectedBucketOwner="999999999999")
    s3.put_object(Bucket=BUCKET, Key="owned", Body=b"x", ExpectedBucketOwner=S["account"])
    refused("put with another owner", "AccessDenied", 403, s3.put_object, Bucket=BUCKET, Key="owned", Body=b"x",
            ExpectedBucketOwner="999999999999")
    s3.delete_object(Bucket=BUCKET, Key="owned")
    check("location", s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"], None)
    s3.create_bucket(Bucket="second")
    listing = s3.list_buckets()
    check("buckets", [b["Name"] for b in listing["Buckets"]], S["folders"] + [BUCKET, "second"])
    check("owner of buckets", listing["Owner"]["ID"], S["account"])
    for folder in S["folders"]:
        s3.head_bucket(Bucket=folder, ExpectedBucketOwner=S["account"])
    check("creation date", boto3.resource("s3", endpoint_url=S["url"], region_name="us-east-1",
          aws_access_key_id=S["key"], aws_secret_access_key=S["secret"]).Bucket(BUCKET).creation_date is None, False)
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "team", "Value": "ml"}]})
    check("bucket tags", s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"], [{"Key": "team", "Value": "ml"}])
    s3.delete_bucket(Bucket="second")
    refused("head of a deleted bucket", "404", 404, s3.head_bucket, Bucket="second")


def objects():
    body = os.urandom(100_000)
    put = s3.put_object(Bucket=BUCKET, Key="dir/obj ä+%2F.bin", Body=body, ContentType="text/csv",
                        Metadata={"one": "1"}, ServerSideEncryption="aws:kms")
    check("etag", put["ETag"], '"%s"' % hashlib.md5(body).hexdigest())
    got = s3.get_object(Bucket=BUCKET, Key="dir/obj ä+%2F.bin")
    check("body", got["Body"].read() == body, True)
    check("headers", (got["ContentType"], got["Metadata"], got["ETag"], got["ContentLength"]),
          ("text/csv", {"one": "1"}, put["ETag"], len(body)))
    check("crc32", got["ChecksumCRC32"], put["ChecksumCRC32"])
    head = s3.head_object(Bucket=BUCKET, Key="dir/obj ä+%2F.bin")
    check("head", (head["ContentLength"], head["ETag"], head["ContentType"]), (len(body), put["ETag"], "text/csv"))
    part = s3.get_object(Bucket=BUCKET, Key="dir/obj ä+%2F.bin", Range="bytes=10-19")
    check("range", (part["Body"].read(), part["ContentRange"], part["ResponseMetadata"]["HTTPStatusCode"]),
          (body[10:20], f"bytes 10-19/{len(body)}", 206))
    check("suffix range", s3.get_object(Bucket=BUCKET, Key="dir/obj ä+%2F.bin", Range="bytes=-5")["Body"].read(), body[-5:])
    refused("range past the end", "InvalidRange", 416, s3.get_object, Bucket=BUCKET, Key="dir/obj ä+%2F.bin", Range="bytes=100000-")
    refused("not modified", "304", 304, s3.get_object, Bucket=BUCKET, Key="dir/obj ä+%2F.bin", IfNoneMatch=put["ETag"])
    refused("put if absent", "PreconditionFailed", 412, s3.put_object, Bucket=BUCKET, Key="dir/obj ä+%2F.bin", Body=b"", IfNoneMatch="*")
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "dir/obj ä+%2F.bin"})
    check("copy", s3.get_object(Bucket=BUCKET, Key="copy")["Body"].read() == body, True)
    for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"):
        if algorithm in ("CRC32C", "CRC64NVME"):
            continue  # these need an optional library of boto3's
        put = s3.put_object(Bucket=BUCKET, Key="sum", Body=b"abc", ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket=BUCKET, Key="sum", ChecksumMode="ENABLED")
        check("checksum " + algorithm, got["Checksum" + algorithm], put["Checksum" + algorithm])
        got["Body"].read()
    refused("wrong checksum", "BadDigest", 400, s3.put_object, Bucket=BUCKET, Key="sum", Body=b"abc", ChecksumCRC32="AAAAAA==")
    s3.put_object(Bucket=BUCKET, Key="empty", Body=b"")
    check("empty", s3.get_object(Bucket=BUCKET, Key="empty")["Body"].read(), b"")
    s3.put_object(Bucket=BUCKET, Key="tagged", Body=b"x", Tagging="a=1&b=two")
    check("tags of put", {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=BUCKET, Key="tagged")["TagSet"]}, {"a": "1", "b": "two"})
    s3.put_object_tagging(Bucket=BUCKET, Key="tagged", Tagging={"TagSet": [{"Key": "c", "Value": "3"}]})
    check("tags", s3.get_object_tagging(Bucket=BUCKET, Key="tagged")["TagSet"], [{"Key": "c", "Value": "3"}])
    refused("get of a missing key", "NoSuchKey", 404, s3.get_object, Bucket=BUCKET, Key="no")
    refused("head of a missing key", "404", 404, s3.head_object, Bucket=BUCKET, Key="no")
    s3.delete_object(Bucket=BUCKET, Key="no")
    gone = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": k} for k in ("copy", "sum", "empty", "tagged", "no", "dir/obj ä+%2F.bin")]})
    check("deleted", len(gone["Deleted"]), 6)
    check("nothing left", s3.list_objects_v2(Bucket=BUCKET)["KeyCount"], 0)


def multipart():
    data = os.urandom(20 << 20)
    with tempfile.NamedTemporaryFile() as f:
        f.write(data)
        f.flush()
        s3.upload_file(f.name, BUCKET, "big/model.tar.gz", Config=TransferConfig(multipart_threshold=8 << 20))
    head = s3.head_object(Bucket=BUCKET, Key="big/model.tar.gz")
    check("multipart", (head["ContentLength"], head["ETag"].endswith('-3"')), (len(data), True))
    out = io.BytesIO()
    s3.download_fileobj(BUCKET, "big/model.tar.gz", out)
    check("multipart body", out.getvalue() == data, True)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="big/left")
    s3.upload_part(Bucket=BUCKET, Key="big/left", UploadId=upload["UploadId"], PartNumber=1, Body=b"x")
    check("uploads", [u["Key"] for u in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]], ["big/left"])
    s3.abort_multipart_upload(Bucket=BUCKET, Key="big/left", UploadId=upload["UploadId"])
    check("no uploads", s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads"), None)
    chunked = client(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    chunked.put_object(Bucket=BUCKET, Key="big/plain", Body=data[:9 << 20])
    check("without checksums", chunked.get_object(Bucket=BUCKET, Key="big/plain")["Body"].read() == data[:9 << 20], True)
    check("inside", S["root"] and os.path.getsize(os.path.join(S["root"], BUCKET, "big/model.tar.gz")), len(data))


def listing():
    names = ["a-b", "a/b", "a/c/d", "a0", "b c+d", "e/ü", "e/ü 2", "z"]
    for n in names:
        s3.put_object(Bucket=BUCKET, Key="list/" + n, Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": 2})
    check("keys", [o["Key"] for p in pages for o in p.get("Contents", [])], ["list/" + n for n in sorted(names, key=str.encode)])
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 3}))
    check("prefixes", [c["Prefix"] for p in pages for c in p.get("CommonPrefixes", [])], ["list/a/", "list/e/"])
    check("beside prefixes", [o["Key"] for p in pages for o in p.get("Contents", [])], ["list/a-b", "list/a0", "list/b c+d", "list/z"])
    check("start after", [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET, Prefix="list/", StartAfter="list/b c+d")["Contents"]],
          ["list/e/ü", "list/e/ü 2", "list/z"])
    check("list v1", len(s3.list_objects(Bucket=BUCKET, Prefix="list/", MaxKeys=3)["Contents"]), 3)
    check("inside sees", S["inside"] is not None, True)


def presigned():
    for version in (None, "s3", "s3v4"):
        for key, secret, token in ((S["key"], S["secret"], None), (S["sessionKey"], S["sessionSecret"], S["sessionToken"])):
            c = client(key, secret, token, **({"signature_version": version} if version else {}))
            name = f"presigned {version} {'session' if token else 'user'}"
            at = {"Bucket": BUCKET, "Key": "pre/signed ü+&.txt"}
            url = c.generate_presigned_url("put_object", Params=at, ExpiresIn=60)
            if version != "s3v4":
                check(name + " form", "AWSAccessKeyId=" in url, True)
            check(name + " put", fetch(url, "PUT", b"hello")[0], 200)
            url = c.generate_presigned_url("get_object", Params=at, ExpiresIn=60)
            check(name + " get", fetch(url), (200, b"hello"))
            check(name + " other method", fetch(url, "DELETE")[0], 403)
            check(name + " other key", fetch(url.replace("pre/", "pro/"))[0], 403)
            check(name + " other signature", fetch(url.replace("Signature=", "Signature=AA"))[0], 403)
            url = c.generate_presigned_url("get_object", Params=at | {"ResponseContentType": "text/x", "ResponseContentDisposition": 'attachment; filename="a b"'}, ExpiresIn=60)
            f = http.request("GET", url)
            check(name + " response headers", (f.headers["Content-Type"], f.headers["Content-Disposition"]), ("text/x", 'attachment; filename="a b"'))
            typed = c.generate_presigned_url("put_object", Params=at | {"ContentType": "text/csv", "Metadata": {"m": "1"}}, ExpiresIn=60)
            check(name + " typed put", fetch(typed, "PUT", b"hello", {"Content-Type": "text/csv", "x-amz-meta-m": "1"})[0], 200)
            head = s3.head_object(**at)
            check(name + " type", (head["ContentType"], head["Metadata"]), ("text/csv", {"m": "1"}))
            old = c.generate_presigned_url("get_object", Params=at, ExpiresIn=-5)
            if version != "s3v4":
                status, body = fetch(old)
                check(name + " expired", (status, b"<Code>AccessDenied</Code>" in body), (403, True))
            check(name + " list", fetch(c.generate_presigned_url("list_objects_v2", Params={"Bucket": BUCKET, "Prefix": "pre/"}))[0], 200)
    url = client(signature_version="s3").generate_presigned_url("get_object", Params=at)
    status, body = fetch(url.replace(S["key"], "AKIANOBODY"))
    check("presigned by nobody", (status, b"InvalidAccessKeyId" in body), (403, True))


def regions():
    data = os.urandom(20 << 20)
    small = {"request_checksum_calculation": "when_required"}
    signed = {"s3": {"payload_signing_enabled": True}}
    for region, url, more in (
            ("us-west-2", S["url"], {}), ("eu-central-1", S["tls"], {}), ("ap-south-1", S["url"], small), ("sa-east-1", S["tls"], signed),
            ("us-west-1", None, {}), ("us-east-1", None, {}), ("ca-central-1", None, {"s3": {"addressing_style": "path"}})):
        name = f"{region} {'AWS host' if url is None else url.split(':')[0]} "
        c = elsewhere(region, url, **more)
        b = f"sagemaker-{region}-{'aws' if url is None else 'own'}.dots"
        refused(name + "head of a missing bucket", "404", 404, c.head_bucket, Bucket=b)
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region, "Tags": [{"Key": "a", "Value": "b: c"}]}}
        c.create_bucket(Bucket=b, **place)
        refused(name + "second create", "BucketAlreadyOwnedByYou", 409, c.create_bucket, Bucket=b, **place)
        if place:
            check(name + "bucket tags", c.get_bucket_tagging(Bucket=b)["TagSet"], [{"Key": "a", "Value": "b: c"}])
        where = (c.get_bucket_location(Bucket=b)["LocationConstraint"], s3.get_bucket_location(Bucket=b)["LocationConstraint"])
        check(name + "location", where, (None, None) if region == "us-east-1" else (region, region))
        check(name + "region of head", c.head_bucket(Bucket=b)["BucketRegion"], region)
        key = "dir/obj ä+%2F~&?.bin"
        put = c.put_object(Bucket=b, Key=key, Body=data[:100_000], ContentType="text/csv", Metadata={"one": "1  2"}, Tagging="a=1&b=two")
        got = c.get_object(Bucket=b, Key=key)
        check(name + "body", got["Body"].read() == data[:100_000], True)
        check(name + "headers", (got["ContentType"], got["Metadata"], got["ETag"], got.get("ContentEncoding")),
              ("text/csv", {"one": "1  2"}, '"%s"' % hashlib.md5(data[:100_000]).hexdigest(), None))
        check(name + "checksum", got.get("ChecksumCRC32"), put.get("ChecksumCRC32"))
        if more is not small:
            check(name + "checksum is kept", "ChecksumCRC32" in got, True)
        check(name + "head", c.head_object(Bucket=b, Key=key)["ContentLength"], 100_000)
        c.put_object(Bucket=b, Key="empty", Body=b"", ContentEncoding="gzip")
        got = c.get_object(Bucket=b, Key="empty")
        check(name + "empty", (got["ContentLength"], got["ContentEncoding"]), (0, "gzip"))
        for algorithm in ("SHA1", "SHA256"):
            put = c.put_object(Bucket=b, Key="sum", Body=b"abc", ChecksumAlgorithm=algorithm)
            got = c.head_object(Bucket=b, Key="sum", ChecksumMode="ENABLED")
            check(name + "checksum " + algorithm, got["Checksum" + algorithm], put["Checksum" + algorithm])
        refused(name + "wrong checksum", "BadDigest", 400, c.put_object, Bucket=b, Key="bad", Body=b"abc", ChecksumCRC32="AAAAAA==")
        c.copy_object(Bucket=b, Key="copy", CopySource={"Bucket": b, "Key": key})
        size = len(data) if url == S["url"] else 9 << 20
        c.upload_fileobj(io.BytesIO(data[:size]), b, "big/model.tar.gz")
        head, out = c.head_object(Bucket=b, Key="big/model.tar.gz"), io.BytesIO()
        check(name + "multipart", (head["ContentLength"], head["ETag"].endswith('-3"' if size > 16 << 20 else '-2"')), (size, True))
        c.download_fileobj(b, "big/model.tar.gz", out)
        check(name + "multipart body", out.getvalue() == data[:size], True)
        pages = list(c.get_paginator("list_objects_v2").paginate(Bucket=b, Delimiter="/", PaginationConfig={"PageSize": 2}))
        check(name + "list", [o["Key"] for p in pages for o in p.get("Contents", [])], ["copy", "empty", "sum"])
        check(name + "prefixes", [o["Prefix"] for p in pages for o in p.get("CommonPrefixes", [])], ["big/", "dir/"])
        check(name + "buckets", b in [x["Name"] for x in c.list_buckets()["Buckets"]], True)
        refused(name + "no key", "NoSuchKey", 404, c.get_object, Bucket=b, Key="no")
        for k in ({}, {"key": S["sessionKey"], "secret": S["sessionSecret"], "token": S["sessionToken"]}):
            for version in ("s3", "s3v4"):
                n, p = f"{name}presigned {version} {'session ' if k else ''}", elsewhere(region, url, **k, **more, signature_version=version)
                ask = asker(url)
                at = {"Bucket": b, "Key": "pre/signed ü+&.txt"}
                typed = p.generate_presigned_url("put_object", Params=at | {"ContentType": "text/csv", "Metadata": {"m": "1"}})
                check(n + "put", ask(typed, "PUT", b"hello", {"Content-Type": "text/csv", "x-amz-meta-m": "1"})[0], 200)
                link = p.generate_presigned_url("get_object", Params=at | {"ResponseContentType": "text/x"})
                check(n + "get", ask(link), (200, b"hello"))
                check(n + "other method", ask(link, "DELETE")[0], 403)
                check(n + "other key", ask(link.replace("pre/", "pro/"))[0], 403)
                check(n + "type", c.head_object(**at)["ContentType"], "text/csv")
                check(n + "list", ask(p.generate_presigned_url("list_objects_v2", Params={"Bucket": b, "Prefix": "pre/"}))[0], 200)
        for k in ({}, {"key": S["sessionKey"], "secret": S["sessionSecret"], "token": S["sessionToken"]}):
            form = elsewhere(region, url, **k, signature_version="s3v4").generate_presigned_post(b, "form/f.txt", Fields={"x-amz-meta-a": "ü"}, Conditions=[
                ["content-length-range", 1, 1 << 17], {"x-amz-meta-a": "ü"}])
            post = lambda fields, text: asker(url)(form["url"], "POST", fields=fields | {"file": ("f.txt", text)})
            check(name + "form", post(form["fields"], b"x" * 100_000), (204, b""))
            got = c.get_object(Bucket=b, Key="form/f.txt")
            check(name + "object of form", (got["Body"].read() == b"x" * 100_000, len(got["Metadata"])), (True, 1))
            check(name + "form that is too large", post(form["fields"], b"x" * (1 << 18))[0], 400)
            for field, code in (("x-amz-signature", b"SignatureDoesNotMatch"), ("policy", b"SignatureDoesNotMatch")):
                status, answer = post(form["fields"] | {field: form["fields"][field].translate(str.maketrans("ab", "ba"))}, b"x")
                check(name + "form with another " + field, (status, code in answer), (403, True))
            c.delete_object(Bucket=b, Key="form/f.txt")
        refused(name + "wrong secret", "SignatureDoesNotMatch", 403, elsewhere(region, url, secret="wrong").list_objects_v2, Bucket=b)
        refused(name + "unknown key", "InvalidAccessKeyId", 403, elsewhere(region, url, key="AKIANOBODY").list_objects_v2, Bucket=b)
        refused(name + "wrong token", "InvalidToken", 400, elsewhere(region, url, S["sessionKey"], S["sessionSecret"], "x").list_objects_v2, Bucket=b)
        refused(name + "session that is over", "ExpiredToken", 400,
                elsewhere(region, url, S["oldKey"], S["sessionSecret"], S["sessionToken"]).list_objects_v2, Bucket=b)
        check(name + "root key", elsewhere(region, url, S["rootKey"], S["rootSecret"]).head_object(Bucket=b, Key="copy")["ContentLength"], 100_000)
        gone = c.delete_objects(Bucket=b, Delete={"Objects": [{"Key": k} for k in (key, "copy", "sum", "empty", "big/model.tar.gz", at["Key"])]})
        check(name + "deleted", len(gone["Deleted"]), 6)
        c.delete_bucket(Bucket=b)
    # A constraint is heeded whatever the region of the caller; one that is no region is not.
    s3.create_bucket(Bucket="constrained", CreateBucketConfiguration={"LocationConstraint": "EU"})
    check("EU", s3.get_bucket_location(Bucket="constrained")["LocationConstraint"], "eu-west-1")
    refused("no region", "InvalidLocationConstraint", 400, elsewhere("us-west-2", S["url"]).create_bucket, Bucket="not-made",
            CreateBucketConfiguration={"LocationConstraint": "moon"})
    s3.delete_bucket(Bucket="constrained")
    s3.create_bucket(Bucket="constrained")
    check("location is gone with its bucket", s3.get_bucket_location(Bucket="constrained")["LocationConstraint"], None)


def asker(url):
    """fetch for clients of url, by the door as proxy where that is None."""
    via = urllib3.ProxyManager(S["url"]) if url is None else urllib3.PoolManager(cert_reqs="CERT_NONE")

    def ask(link, method="GET", data=None, headers=None, fields=None):
        if fields:
            r = via.request(method, link, fields=fields, retries=False)
        else:
            r = via.request(method, link, body=data, headers=headers or {}, retries=False)
        return r.status, r.data
    return ask


def forms():
    form = client(signature_version="s3v4").generate_presigned_post(BUCKET, "form/obj", Conditions=[["content-length-range", 1, 100]])
    answer = http.request("POST", form["url"], fields=form["fields"] | {"file": ("f.txt", b"from a form")})
    check("form", (answer.status, s3.get_object(Bucket=BUCKET, Key="form/obj")["Body"].read()), (204, b"from a form"))
    answer = http.request("POST", form["url"], fields=form["fields"] | {"file": ("f.txt", b"x" * 101)})
    check("form that is too large", answer.status, 400)


def versions():
    v = "versioned"
    s3.create_bucket(Bucket=v)
    s3.put_bucket_versioning(Bucket=v, VersioningConfiguration={"Status": "Enabled"})
    one = s3.put_object(Bucket=v, Key="k", Body=b"one")["VersionId"]
    two = s3.put_object(Bucket=v, Key="k", Body=b"two")["VersionId"]
    check("old version", s3.get_object(Bucket=v, Key="k", VersionId=one)["Body"].read(), b"one")
    check("new version", s3.get_object(Bucket=v, Key="k")["Body"].read(), b"two")
    marker = s3.delete_object(Bucket=v, Key="k")
    check("delete marker", marker["DeleteMarker"], True)
    refused("deleted", "NoSuchKey", 404, s3.get_object, Bucket=v, Key="k")
    check("not listed", s3.list_objects_v2(Bucket=v)["KeyCount"], 0)
    found = s3.list_object_versions(Bucket=v)
    check("versions", [x["VersionId"] for x in found["Versions"]], [two, one])
    check("markers", len(found["DeleteMarkers"]), 1)


def strangers():
    refused("wrong secret", "SignatureDoesNotMatch", 403, client(secret="wrong").list_objects_v2, Bucket=BUCKET)
    refused("unknown key", "InvalidAccessKeyId", 403, client("AKIANOBODY").list_objects_v2, Bucket=BUCKET)
    refused("the owner is no key", "SignatureDoesNotMatch", 403, client(S["account"]).list_objects_v2, Bucket=BUCKET)
    refused("wrong token", "InvalidToken", 400, client(S["sessionKey"], S["sessionSecret"], "wrong").list_objects_v2, Bucket=BUCKET)
    refused("no token", "InvalidToken", 400, client(S["sessionKey"], S["sessionSecret"]).list_objects_v2, Bucket=BUCKET)
    refused("token of a user", "InvalidToken", 400, client(token="x").list_objects_v2, Bucket=BUCKET)
    refused("session that is over", "ExpiredToken", 400,
            client(S["oldKey"], S["sessionSecret"], S["sessionToken"]).list_objects_v2, Bucket=BUCKET)
    session = client(S["sessionKey"], S["sessionSecret"], S["sessionToken"])
    session.create_bucket(Bucket="of-a-session")
    session.put_object(Bucket="of-a-session", Key="k", Body=b"x", ExpectedBucketOwner=S["account"])
    check("root key", client(S["rootKey"], S["rootSecret"]).get_object(Bucket="of-a-session", Key="k")["Body"].read(), b"x")
    check("nobody", fetch(S["url"] + "/" + BUCKET)[0], 403)


def shared():
    """What the program wrote without the door, and what someone put into the folder."""
    got = s3.get_object(Bucket=S["inside"]["bucket"], Key=S["inside"]["key"])
    check("inside object", (got["Body"].read().decode(), got["ETag"]), (S["inside"]["value"], '"%s"' % S["inside"]["etag"]))
    b, found = S["folders"][0], s3.list_objects_v2(Bucket=S["folders"][0])["Contents"]
    check("found file", [o["Key"] for o in found], ["out/model.bin"])
    tag = s3.head_object(Bucket=b, Key="out/model.bin")["ETag"]
    check("found etag", (len(tag) > 10, tag, s3.get_object(Bucket=b, Key="out/model.bin", IfMatch=tag)["ETag"]), (True, found[0]["ETag"], tag))
    with open(os.path.join(S["root"], b, "out/model.bin"), "a") as f:
        f.write("more")
    check("found etag changes", s3.head_object(Bucket=b, Key="out/model.bin")["ETag"] != tag, True)


for step in (buckets, objects, multipart, listing, presigned, regions, forms, versions, strangers, shared):
    try:
        step()
    except Exception as e:  # the steps after it still tell something
        import traceback
        failures.append(f"{step.__name__}: {type(e).__name__}: {e}\n" + traceback.format_exc(limit=-2))

print("\n".join(failures))
sys.exit(1 if failures else 0)
