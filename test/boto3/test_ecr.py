# SPDX-License-Identifier: Apache-2.0
"""The registry: which images this server can run."""

import base64
import datetime

import pytest

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
