# SPDX-License-Identifier: Apache-2.0
"""Tags of SageMaker resources."""

import pytest

from support.refusal import refused
from support.work import unique


@pytest.fixture
def model(bench, trained):
    """A model's ARN, created with one tag."""
    return bench.sagemaker.create_model(
        ModelName=unique("tagged"), ExecutionRoleArn=bench.role, Tags=[{"Key": "team", "Value": "blue"}],
        PrimaryContainer={"Image": bench.image, "ModelDataUrl": trained["ModelArtifacts"]["S3ModelArtifacts"]})["ModelArn"]


def tags(bench, arn):
    return {t["Key"]: t["Value"] for page in bench.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
            for t in page["Tags"]}


def test_tags_come_change_and_go(bench, model):
    assert tags(bench, model) == {"team": "blue"}
    out = bench.sagemaker.add_tags(ResourceArn=model, Tags=[{"Key": "team", "Value": "red"}, {"Key": "cost", "Value": ""}])
    assert {t["Key"]: t["Value"] for t in out["Tags"]} == {"team": "red", "cost": ""}
    assert tags(bench, model) == {"team": "red", "cost": ""}
    bench.sagemaker.delete_tags(ResourceArn=model, TagKeys=["team", "never"])
    assert tags(bench, model) == {"cost": ""}


@pytest.mark.parametrize("kind", ["job", "endpoint", "config"])
def test_every_family_has_tags(bench, endpoint, kind):
    tag = [{"Key": "kind", "Value": kind}]
    if kind == "job":
        arn = bench.train(Tags=tag)["TrainingJobArn"]
    elif kind == "config":
        arn = bench.sagemaker.create_endpoint_config(EndpointConfigName=unique("tagged"), Tags=tag, ProductionVariants=[
            {"VariantName": "a", "ModelName": "served", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])["EndpointConfigArn"]
    else:
        arn = bench.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
        bench.sagemaker.add_tags(ResourceArn=arn, Tags=tag)
    assert tags(bench, arn) == {"kind": kind}


def test_fifty_tags_are_listed_in_pages(bench, model):
    bench.sagemaker.add_tags(ResourceArn=model, Tags=[{"Key": f"k{i:02}", "Value": str(i)} for i in range(49)])
    assert len(tags(bench, model)) == 50
    with refused("ValidationException", "(?i)tags"):
        bench.sagemaker.add_tags(ResourceArn=model, Tags=[{"Key": "one-more", "Value": ""}])
    pages = list(bench.sagemaker.get_paginator("list_tags").paginate(ResourceArn=model, PaginationConfig={"PageSize": 50}))
    assert sum(len(p["Tags"]) for p in pages) == 50


def test_tags_go_with_the_resource(bench, model):
    name = model.rpartition("/")[2]
    bench.sagemaker.delete_model(ModelName=name)
    with refused("ValidationException", "Could not find"):
        bench.sagemaker.list_tags(ResourceArn=model)
    again = bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, PrimaryContainer={"Image": bench.image})
    assert tags(bench, again["ModelArn"]) == {}


@pytest.mark.parametrize("tag", [{"Key": "aws:mine", "Value": ""}, {"Key": "k" * 129, "Value": ""}, {"Key": "a", "Value": "v" * 257},
                                 {"Key": "no!", "Value": ""}], ids=["reserved", "long key", "long value", "bad character"])
def test_bad_tags_are_refused(bench, model, tag):
    with refused("ValidationException"):
        bench.sagemaker.add_tags(ResourceArn=model, Tags=[tag])
    assert tags(bench, model) == {"team": "blue"}


def test_the_same_key_twice_is_refused_at_creation_too(bench):
    name = unique("twice")
    with refused("ValidationException", "(?i)duplicate"):
        bench.sagemaker.create_model(ModelName=name, ExecutionRoleArn=bench.role, PrimaryContainer={"Image": bench.image},
                                     Tags=[{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}])
    assert bench.sagemaker.list_models(NameContains=name)["Models"] == []


@pytest.mark.parametrize("operation, members", [
    ("list_tags", {}), ("add_tags", {"Tags": [{"Key": "a", "Value": "b"}]}), ("delete_tags", {"TagKeys": ["a"]})])
def test_tags_of_nothing(bench, operation, members):
    arn = f"arn:aws:sagemaker:{bench.region}:{bench.account}:"
    with refused("ValidationException", "Could not find model"):
        getattr(bench.sagemaker, operation)(ResourceArn=arn + "model/never-made", **members)
    with refused("ValidationException", "at 'resourceArn' failed to satisfy constraint"):
        getattr(bench.sagemaker, operation)(ResourceArn="arn:aws:s3:::bucket", **members)


def test_list_refuses_a_token_that_it_never_gave(bench, model):
    with refused("ValidationException", "(?i)token"):
        bench.sagemaker.list_tags(ResourceArn=model, NextToken="nonsense")
