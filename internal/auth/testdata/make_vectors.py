# SPDX-License-Identifier: Apache-2.0
"""Writes vectors.json: requests signed by botocore's own signers.

Run:  python3 -m venv venv && venv/bin/pip install botocore==1.44.5
      venv/bin/python make_vectors.py > vectors.json

Made with botocore 1.44.5. Times, keys and hosts are fixed, so the same
botocore writes the same file.
"""

import base64
import datetime
import json
import sys
import time
from urllib.parse import urlsplit

import botocore
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 11, 20, 21, 0, 0, tzinfo=datetime.timezone.utc)
botocore.auth.get_current_datetime = lambda remove_tzinfo=True: (
    NOW.replace(tzinfo=None) if remove_tzinfo else NOW
)
time.time = lambda: NOW.timestamp()

KEY = Credentials("AKIDEXAMPLE234567ABC", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SESSION = Credentials(
    "ASIAEXAMPLE234567ABC", "s3ss10nSecret/+abcdefghijklmnopqrstuvwxy", "IQoJb3JpZ2lu+token/with=signs=="
)

A = botocore.auth
JSON = {"Content-Type": "application/x-amz-json-1.1"}
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
LOCAL = "http://127.0.0.1:8080"
RUN = "https://runtime.sagemaker.us-east-1.amazonaws.com"

vectors = []


def add(name, signer, method, url, service, headers=None, body=b"", cred=KEY, region="us-east-1", context=None, **kw):
    r = AWSRequest(method=method, url=url, data=body, headers=headers or {})
    r.context.update(context or {})
    if signer is A.HmacV1QueryAuth:
        s = signer(cred, **kw)
    else:
        s = signer(cred, service, region, **kw)
    s.add_auth(r)
    p = r.prepare()
    u = urlsplit(p.url)
    host = u.netloc
    if (u.scheme, u.port) in (("http", 80), ("https", 443)):
        host = u.hostname
    if signer is A.HmacV1QueryAuth:
        p.headers.clear()  # only the URL travels; the signer's notes stay behind
    vectors.append({
        "name": name,
        "service": service,
        "region": region,
        "key": cred.access_key,
        "method": method,
        "target": p.url.split(u.netloc, 1)[1] or "/",
        "host": host,
        "headers": [[k, v if isinstance(v, str) else v.decode("latin-1")] for k, v in p.headers.items()],
        "body": base64.b64encode(body).decode(),
    })


V4, S3, Q, S3Q = A.SigV4Auth, A.S3SigV4Auth, A.SigV4QueryAuth, A.S3SigV4QueryAuth

for cred, who in ((KEY, "a user"), (SESSION, "a session")):
    add(f"a control-plane call by {who}", V4, "POST", LOCAL + "/", "sagemaker",
        JSON | {"X-Amz-Target": "SageMaker.ListModels"}, b'{"MaxResults":10}', cred)
    add(f"a presigned STS call by {who}", Q, "GET",
        "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15", "sts", cred=cred, expires=60)
    add(f"an object put by {who}", S3, "PUT", LOCAL + "/bucket/data/train.csv", "s3",
        {"x-amz-checksum-crc32": "i9aeUg==", "Content-Type": "text/csv"}, b"1,2,3\n", cred)
    add(f"a presigned object by {who}", S3Q, "GET", LOCAL + "/bucket/a%20b/model.tar.gz", "s3", cred=cred, expires=3600)
    add(f"a version 2 presigned object by {who}", A.HmacV1QueryAuth, "GET", LOCAL + "/bucket/a%20b/model.tar.gz", "s3",
        cred=cred, expires=3600)

add("a form call", V4, "POST", "https://sts.amazonaws.com/", "sts", FORM, b"Action=GetCallerIdentity&Version=2011-06-15")
add("a body of every byte", V4, "POST", RUN + "/endpoints/demo/invocations", "sagemaker",
    {"Content-Type": "application/octet-stream", "X-Amzn-SageMaker-Custom-Attributes": "a=1,b=2"}, bytes(range(256)) * 64)
add("a region that is far", V4, "POST", LOCAL + "/", "logs", JSON | {"X-Amz-Target": "Logs_20140328.GetLogEvents"}, b"{}",
    region="ap-southeast-2")
add("an unsigned payload", V4, "POST", RUN + "/endpoints/demo/invocations", "sagemaker", body=b"any",
    context={"payload_signing_enabled": False})
add("a Date header in place of X-Amz-Date", V4, "GET", LOCAL + "/", "sagemaker", {"Date": "x"})
add("headers with blanks in and around them", V4, "GET", LOCAL + "/", "sagemaker",
    {"X-Amz-One": "  a   b  ", "X-Amz-Two": "a\tb", "X-Amz-Quoted": '"a   b"', "X-Amz-Empty": ""})
add("a head request without a path", V4, "HEAD", LOCAL, "sagemaker")

for path in ("/", "//", "/a//b", "/a/./b", "/a/../b", "/a/b/", "/endpoints/arn%3Aaws%3Asagemaker%3Aus-east-1%3A1%3Aendpoint%2Fx/invocations",
             "/endpoints/arn:aws:x/invocations", "/a%20b", "/a%2Fb", "/%E1%88%B4", "/a%25b", "/~user/-._", "/a+b", "/a=b&c;d,e@f!g$h'i(j)k*l",
             "/%25%32%35", "/.hidden/..x"):
    add("a path " + path, V4, "GET", LOCAL + path, "sagemaker")
for path in ("/b/a//b", "/b//a", "/b/a/./b", "/b/a/../b", "/b/a%20b", "/b/a%2Bb", "/b/%E1%88%B4/x", "/b/a%25b", "/b/~a/-._",
             "/b/a%3Db%26c%3Bd%2Ce%40f%21g%24h%27i%28j%29k%2A", "/b/"):
    add("an object path " + path, S3, "GET", LOCAL + path, "s3")
for query in ("a=1&b=2", "b=2&a=1", "a=2&a=1&a=10", "a", "a=&b", "a-b=1&a=1", "A=1&a=1", "a=%20&b=%2B", "a=%E1%88%B4", "a=b%3Dc",
              "p=%2Fx%2F&list-type=2&encoding-type=url", "a%20b=1", "uploads", "x=~-._"):
    add("a query " + query, V4, "GET", LOCAL + "/x?" + query, "sagemaker")
    add("an object query " + query, S3, "GET", LOCAL + "/b?" + query, "s3")
    add("a presigned query " + query, S3Q, "GET", LOCAL + "/b/k?" + query, "s3", expires=600)

add("a virtual-host bucket", S3, "GET", "https://my.bucket.s3.us-east-1.amazonaws.com/key?versionId=1", "s3")
add("a host with the default port", V4, "GET", "https://sts.us-east-1.amazonaws.com:443/", "sts")
add("an unsigned streaming upload", S3, "PUT", "https://b.s3.us-east-1.amazonaws.com/k", "s3",
    {"X-Amz-Trailer": "x-amz-checksum-crc32", "Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": "11",
     "Transfer-Encoding": "chunked"},
    b"b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n",
    context={"checksum": {"request_algorithm": {"algorithm": "crc32", "in": "trailer", "name": "x-amz-checksum-crc32"}}})
add("a version 2 presigned upload part", A.HmacV1QueryAuth, "PUT", LOCAL + "/b/k?partNumber=2&uploadId=abc%2Bd", "s3", expires=60)
add("a version 2 presigned download name", A.HmacV1QueryAuth, "GET",
    LOCAL + "/b/k?response-content-disposition=attachment%3B%20filename%3Dx.csv", "s3", expires=60)

head = {
    "made_by": "botocore " + botocore.__version__,
    "now": NOW.strftime("%Y%m%dT%H%M%SZ"),
    "keys": [{"id": c.access_key, "secret": c.secret_key, "token": c.token or ""} for c in (KEY, SESSION)],
}
# One vector a line, so that a change shows as one.
sys.stdout.write(json.dumps(head)[:-1] + ', "vectors": [\n')
sys.stdout.write(",\n".join(json.dumps(v) for v in vectors) + "\n]}\n")
