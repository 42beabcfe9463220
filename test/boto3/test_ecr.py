# SPDX-License-Identifier: Apache-2.0
"""The registry: which images this server can run, and those that users push."""

import base64
import contextlib
import datetime
import gzip
import hashlib
import io
import json
import tarfile
import time
import urllib.error
import urllib.request

import pytest

from support import work
from support.refusal import refused

REPOSITORY = "sagemaker-xgboost"


@pytest.fixture(scope="module")
def ecr(bench):
    return bench.ecr


def test_a_token_for_the_registry(ecr, server):
    (data,) = ecr.get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    assert user == "AWS" and password
    left = data["expiresAt"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(hours=11) < left <= datetime.timedelta(hours=12, minutes=1)
    assert data["proxyEndpoint"].startswith("http")
    with refused("InvalidParameterException", "registryIds"):
        ecr.get_authorization_token(registryIds=["not-an-account"])


def test_repositories_are_listed_in_pages(ecr):
    everything = [r for p in ecr.get_paginator("describe_repositories").paginate() for r in p["repositories"]]
    assert REPOSITORY in {r["repositoryName"] for r in everything}
    pages = list(ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 1}))
    assert [r for p in pages for r in p["repositories"]] == everything
    with refused("RepositoryNotFoundException", "nothing"):
        ecr.describe_repositories(repositoryNames=["nothing"])


def test_images_are_described_and_fetched_by_tag_and_digest(ecr, bench):
    images = [i for p in ecr.get_paginator("describe_images").paginate(repositoryName=REPOSITORY) for i in p["imageDetails"]]
    by_tag = {t: i["imageDigest"] for i in images for t in i.get("imageTags", [])}
    assert {"1.0-1-cpu-py3", "1.7-1", "3.0-5"} <= set(by_tag)
    got = ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=[
        {"imageTag": "1.7-1"}, {"imageDigest": by_tag["3.0-5"]}, {"imageTag": "9.9-9"}])
    assert [i["imageId"]["imageDigest"] for i in got["images"]] == [by_tag["1.7-1"], by_tag["3.0-5"]]
    assert [f["failureCode"] for f in got["failures"]] == ["ImageNotFound"]
    with refused("ImageNotFoundException", "9.9-9"):
        ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "9.9-9"}])


@pytest.mark.parametrize("operation, members", [
    ("describe_images", {}), ("batch_get_image", {"imageIds": [{"imageTag": "1"}]})])
def test_a_missing_repository(ecr, operation, members):
    with refused("RepositoryNotFoundException", "'nothing' does not exist"):
        getattr(ecr, operation)(repositoryName="nothing", **members)


def test_an_endpoint_tells_the_digest_that_the_registry_has(ecr, bench, endpoint):
    deployed = bench.sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"][0]["DeployedImages"][0]
    (image,) = ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "1.7-1"}],
                                   registryId=bench.image.partition(".")[0])["imageDetails"]
    assert deployed["ResolvedImage"].endswith("@" + image["imageDigest"])


MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Pusher:
    """As much of docker push as the tests need, by the distribution protocol."""

    def __init__(self, ecr, uri):
        (data,) = ecr.get_authorization_token()["authorizationData"]
        self.header = {"Authorization": "Basic " + data["authorizationToken"]}
        self.root = data["proxyEndpoint"].rstrip("/")
        self.base = f"{self.root}/v2/{uri.partition('/')[2]}"

    def send(self, method, url, body=None, signed=True, **headers):
        if url.startswith("/"):
            url = self.root + url
        request = urllib.request.Request(url, data=body, method=method, headers={**(self.header if signed else {}), **headers})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers, answer.read()

    def blob(self, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        started, _ = self.send("POST", self.base + "/blobs/uploads/")
        self.send("PUT", f"{started['Location']}&digest={digest}", content, **{"Content-Type": "application/octet-stream"})
        return {"digest": digest, "size": len(content)}

    def push(self, tag, files):
        """Pushes an image of one layer and gives its digest."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        plain = out.getvalue()
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/train"]}, "rootfs": {
            "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(plain).hexdigest()]}}).encode()
        self.layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **self.blob(gzip.compress(plain, mtime=0))}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [self.layer],
                               "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **self.blob(config)}}).encode()
        headers, _ = self.send("PUT", f"{self.base}/manifests/{tag}", manifest, **{"Content-Type": MANIFEST})
        return headers["Docker-Content-Digest"]


@contextlib.contextmanager
def answers(status, text):
    """The registry refuses in the protocol's form."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        yield
    assert caught.value.code == status
    assert text in json.load(caught.value)["errors"][0]["message"]


@pytest.fixture
def mine(ecr):
    """A repository of one's own."""
    name = work.unique("team/mine")
    repository = ecr.create_repository(repositoryName=name, tags=[{"Key": "for", "Value": "tests"}])["repository"]
    yield repository
    with contextlib.suppress(ecr.exceptions.RepositoryNotFoundException):
        ecr.delete_repository(repositoryName=name, force=True)


def test_a_repository_from_create_to_delete(ecr, server, mine):
    name, uri = mine["repositoryName"], mine["repositoryUri"]
    assert mine["repositoryArn"] == f"arn:aws:ecr:{server.region}:{server.account}:repository/{name}"
    assert mine["imageTagMutability"] == "MUTABLE" and uri.endswith("/" + name) and "amazonaws" not in uri
    assert ecr.describe_repositories(repositoryNames=[name])["repositories"] == [mine]
    assert ecr.describe_images(repositoryName=name)["imageDetails"] == []
    assert ecr.list_images(repositoryName=name)["imageIds"] == []
    with refused("RepositoryAlreadyExistsException", f"'{name}' already exists"):
        ecr.create_repository(repositoryName=name)
    with refused("InvalidParameterException", "repositoryName"):
        ecr.create_repository(repositoryName="Not/Allowed")

    digest = Pusher(ecr, uri).push("v1", {"train": b"#!"})
    (image,) = ecr.describe_images(repositoryName=name)["imageDetails"]
    assert (image["imageDigest"], image["imageTags"], image["imageManifestMediaType"]) == (digest, ["v1"], MANIFEST)
    assert abs(image["imagePushedAt"] - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=1)
    (got,) = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v1"}])["images"]
    assert "sha256:" + hashlib.sha256(got["imageManifest"].encode()).hexdigest() == digest

    with refused("RepositoryNotEmptyException", "still contains images"):
        ecr.delete_repository(repositoryName=name)
    ecr.delete_repository(repositoryName=name, force=True)
    with refused("RepositoryNotFoundException", f"'{name}' does not exist"):
        ecr.delete_repository(repositoryName=name)
    with refused("InvalidParameterException", "built in"):
        ecr.delete_repository(repositoryName=REPOSITORY)


def test_who_may_push_and_where(ecr, mine):
    pusher = Pusher(ecr, mine["repositoryUri"])
    assert pusher.send("GET", pusher.root + "/v2/")[1] == b"{}"
    with answers(401, "authentication required"):
        pusher.send("GET", pusher.root + "/v2/", signed=False)
    with answers(401, "authentication required"):
        pusher.send("GET", pusher.root + "/v2/", Authorization="Basic " + base64.b64encode(b"AWS:guess").decode())
    elsewhere = Pusher(ecr, mine["repositoryUri"] + "-else")
    with answers(404, "The repository with name"):
        elsewhere.push("v1", {})


def test_tags_move_stay_and_go(ecr, mine):
    name, pusher = mine["repositoryName"], Pusher(ecr, mine["repositoryUri"])
    first, second = pusher.push("v1", {"a": b"1"}), pusher.push("v2", {"a": b"2"})
    manifest = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v2"}])["images"][0]["imageManifest"]
    ecr.put_image(repositoryName=name, imageTag="stable", imageManifest=manifest)
    with refused("ImageAlreadyExistsException", "'stable' already exists"):
        ecr.put_image(repositoryName=name, imageTag="stable", imageManifest=manifest)
    assert ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")["imageTagMutability"] == "IMMUTABLE"
    with refused("ImageTagAlreadyExistsException", "'v1' already exists"):
        ecr.put_image(repositoryName=name, imageTag="v1", imageManifest=manifest)
    with answers(400, "cannot be overwritten"):
        pusher.push("v1", {"a": b"3"})

    ids = [i for p in ecr.get_paginator("list_images").paginate(repositoryName=name, PaginationConfig={"PageSize": 1}) for i in p["imageIds"]]
    assert {i["imageTag"]: i["imageDigest"] for i in ids} == {"v1": first, "v2": second, "stable": second}
    gone = ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": "stable"}, {"imageTag": "v1"}, {"imageTag": "none"}])
    assert gone["imageIds"] == [{"imageDigest": second, "imageTag": "stable"}, {"imageDigest": first, "imageTag": "v1"}]
    assert [f["failureCode"] for f in gone["failures"]] == ["ImageNotFound"]
    assert ecr.list_images(repositoryName=name)["imageIds"] == [{"imageDigest": second, "imageTag": "v2"}]


def test_layers_are_told_of_and_downloaded(ecr, mine):
    name, pusher = mine["repositoryName"], Pusher(ecr, mine["repositoryUri"])
    pusher.push("v1", {"a": b"1"})
    layer, missing = pusher.layer["digest"], "sha256:" + "0" * 64
    told = ecr.batch_check_layer_availability(repositoryName=name, layerDigests=[layer, missing])["layers"]
    assert [(t["layerAvailability"], t.get("layerSize")) for t in told] == [("AVAILABLE", pusher.layer["size"]), ("UNAVAILABLE", None)]
    url = ecr.get_download_url_for_layer(repositoryName=name, layerDigest=layer)["downloadUrl"]
    _, content = pusher.send("GET", url, signed=False)
    assert "sha256:" + hashlib.sha256(content).hexdigest() == layer
    with refused("LayersNotFoundException", missing):
        ecr.get_download_url_for_layer(repositoryName=name, layerDigest=missing)


def test_a_lifecycle_policy_is_applied_after_a_push(ecr, mine):
    name, pusher = mine["repositoryName"], Pusher(ecr, mine["repositoryUri"])
    with refused("LifecyclePolicyNotFoundException", name):
        ecr.get_lifecycle_policy(repositoryName=name)
    with refused("InvalidParameterException", "Lifecycle policy validation failure"):
        ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps({"rules": [], "filler": "x" * 100}))
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps({"rules": [
        {"rulePriority": 1, "selection": {"tagStatus": "tagged", "tagPrefixList": ["dev"], "countType": "imageCountMoreThan", "countNumber": 1},
         "action": {"type": "expire"}}]}))
    for tag in ("dev-1", "v1", "dev-2"):
        pusher.push(tag, {"a": tag.encode()})
    for _ in range(200):
        tags = sorted(i["imageTag"] for i in ecr.list_images(repositoryName=name)["imageIds"])
        if tags == ["dev-2", "v1"]:
            break
        time.sleep(0.05)
    assert tags == ["dev-2", "v1"]
    rules = json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"])["rules"]
    assert [r["rulePriority"] for r in rules] == sorted(r["rulePriority"] for r in rules) and rules
    ecr.delete_lifecycle_policy(repositoryName=name)
    with refused("LifecyclePolicyNotFoundException", name):
        ecr.delete_lifecycle_policy(repositoryName=name)


def test_policies_and_tags_of_a_repository_are_kept(ecr, server, mine):
    name, arn = mine["repositoryName"], mine["repositoryArn"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    with refused("RepositoryPolicyNotFoundException", name):
        ecr.get_repository_policy(repositoryName=name)
    ecr.set_repository_policy(repositoryName=name, policyText=policy)
    assert ecr.get_repository_policy(repositoryName=name)["policyText"] == policy
    assert ecr.delete_repository_policy(repositoryName=name)["policyText"] == policy
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "more", "Value": "yes"}])
    ecr.untag_resource(resourceArn=arn, tagKeys=["for"])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "more", "Value": "yes"}]
    assert ecr.describe_registry()["registryId"] == server.account


def test_what_names_no_repository_is_refused(ecr):
    gone, digest = {"repositoryName": "no-such-repository"}, "sha256:" + "0" * 64
    for call, more in [
        (ecr.batch_check_layer_availability, {"layerDigests": [digest]}),
        (ecr.batch_delete_image, {"imageIds": [{"imageTag": "1"}]}),
        (ecr.delete_repository_policy, {}),
        (ecr.list_images, {}),
        (ecr.put_image_tag_mutability, {"imageTagMutability": "IMMUTABLE"}),
        (ecr.set_repository_policy, {"policyText": '{"Version": "2012-10-17", "Statement": []}'}),
    ]:
        with refused("RepositoryNotFoundException", "no-such-repository"):
            call(**gone, **more)
    arn = "arn:aws:ecr:us-east-1:123456789012:repository/no-such-repository"
    with refused("RepositoryNotFoundException", "no-such-repository"):
        ecr.list_tags_for_resource(resourceArn=arn)
    with refused("RepositoryNotFoundException", "no-such-repository"):
        ecr.tag_resource(resourceArn=arn, tags=[{"Key": "a", "Value": "b"}])
    with refused("RepositoryNotFoundException", "no-such-repository"):
        ecr.untag_resource(resourceArn=arn, tagKeys=["a"])
