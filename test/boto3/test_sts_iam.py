# SPDX-License-Identifier: Apache-2.0
"""Who is calling, sessions of roles, roles and policies."""

import datetime
import json
import re

import botocore.config
import pytest

from support.refusal import refused
from support.work import TRUST, unique


@pytest.fixture(scope="module")
def iam(bench):
    return bench.iam


def assumable(bench):
    """A role that the account itself may assume."""
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                                                     "Principal": {"AWS": f"arn:aws:iam::{bench.account}:root"}}]}
    return bench.iam.create_role(RoleName=unique("Assumable"), AssumeRolePolicyDocument=json.dumps(trust))["Role"]


def test_the_caller_is_the_root_of_the_account(bench):
    got = bench.sts.get_caller_identity()
    assert (got["Account"], got["Arn"]) == (bench.account, f"arn:aws:iam::{bench.account}:root")


def test_a_session_of_a_role_signs_for_every_service(bench):
    role = assumable(bench)
    got = bench.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="tester", DurationSeconds=900)
    keys = got["Credentials"]
    left = keys["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(minutes=14) < left <= datetime.timedelta(minutes=15)
    assert keys["AccessKeyId"].startswith("ASIA")
    assert got["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{bench.account}:assumed-role/{role['RoleName']}/tester"
    session = {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"],
               "aws_session_token": keys["SessionToken"]}

    def client(service, **other):
        import boto3
        return boto3.client(service, region_name=bench.region, endpoint_url=bench.server.url, **{**session, **other})
    assert client("sts").get_caller_identity()["Arn"] == got["AssumedRoleUser"]["Arn"]
    client("sagemaker").list_models()
    assert bench.bucket in {b["Name"] for b in client("s3").list_buckets()["Buckets"]}
    with refused("UnrecognizedClientException", "security token"):
        client("sagemaker", aws_session_token="another").list_models()
    with refused("InvalidSignatureException"):
        client("sagemaker", aws_secret_access_key="another").list_models()


def test_sessions_that_are_refused(bench):
    role = assumable(bench)
    with refused("AccessDenied", "is not authorized to perform: sts:AssumeRole", 403):
        bench.sts.assume_role(RoleArn=f"arn:aws:iam::{bench.account}:role/nobody", RoleSessionName="tester")
    with refused("ValidationError", "MaxSessionDuration"):
        bench.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="tester", DurationSeconds=7200)
    with refused("ValidationError", "roleSessionName"):
        bench.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="not a name!")


def test_get_session_token(bench):
    keys = bench.sts.get_session_token(DurationSeconds=900)["Credentials"]
    import boto3
    sts = boto3.client("sts", region_name=bench.region, endpoint_url=bench.server.url, aws_access_key_id=keys["AccessKeyId"],
                       aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
    assert sts.get_caller_identity()["Account"] == bench.account
    with refused("AccessDenied", status=403):
        sts.get_session_token()


def test_whose_key_is_this(bench):
    key = bench.server.credentials["accessKeyId"]
    assert bench.sts.get_access_key_info(AccessKeyId=key)["Account"] == bench.account
    with refused("ValidationError"):
        bench.sts.get_access_key_info(AccessKeyId="not-a-key-with-this-form!")


# --- roles ------------------------------------------------------------------

def test_the_life_of_a_role(iam, bench):
    name = unique("Role")
    made = iam.create_role(RoleName=name, Path="/team/", AssumeRolePolicyDocument=TRUST, Description="to test",
                           MaxSessionDuration=7200, Tags=[{"Key": "a", "Value": "1"}])["Role"]
    assert made["Arn"] == f"arn:aws:iam::{bench.account}:role/team/{name}" and made["RoleId"].startswith("AROA")
    got = iam.get_role(RoleName=name)["Role"]
    assert got["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert (got["Description"], got["MaxSessionDuration"], got["Tags"]) == ("to test", 7200, [{"Key": "a", "Value": "1"}])
    with refused("EntityAlreadyExists", status=409):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    iam.update_role(RoleName=name, Description="tested", MaxSessionDuration=3600)
    assert iam.get_role(RoleName=name)["Role"]["Description"] == "tested"
    other = TRUST.replace("sagemaker.amazonaws.com", "lambda.amazonaws.com")
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=other)
    assert iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == json.loads(other)
    iam.tag_role(RoleName=name, Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_role(RoleName=name, TagKeys=["a"])
    assert iam.list_role_tags(RoleName=name)["Tags"] == [{"Key": "b", "Value": "2"}]
    iam.delete_role(RoleName=name)
    with refused("NoSuchEntity", name, 404):
        iam.get_role(RoleName=name)


def test_roles_for_a_first_job_exist(iam):
    names = {r["RoleName"]: r for page in iam.get_paginator("list_roles").paginate() for r in page["Roles"]}
    assert names["AmazonSageMaker-ExecutionRole"]["Path"] == "/service-role/"
    assert "SageMakerRole" in names


def test_roles_are_listed_in_pages(iam):
    made = [unique("Paged") for _ in range(3)]
    for name in made:
        iam.create_role(RoleName=name, Path="/paged/", AssumeRolePolicyDocument=TRUST)
    pages = list(iam.get_paginator("list_roles").paginate(PathPrefix="/paged/", PaginationConfig={"PageSize": 2}))
    assert [len(p["Roles"]) for p in pages] == [2, 1]
    assert {r["RoleName"] for p in pages for r in p["Roles"]} == set(made)


def test_inline_policies(iam):
    name, document = unique("Inline"), json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(RoleName=name, PolicyName="read", PolicyDocument=document)
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["read"]
    assert iam.get_role_policy(RoleName=name, PolicyName="read")["PolicyDocument"] == json.loads(document)
    with refused("DeleteConflict", status=409):
        iam.delete_role(RoleName=name)
    iam.delete_role_policy(RoleName=name, PolicyName="read")
    with refused("NoSuchEntity", status=404):
        iam.get_role_policy(RoleName=name, PolicyName="read")
    iam.delete_role(RoleName=name)


def test_managed_policies(iam, bench):
    name, document = unique("Managed"), json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}]})
    arn = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
    assert arn == f"arn:aws:iam::{bench.account}:policy/{name}"
    with refused("EntityAlreadyExists", status=409):
        iam.create_policy(PolicyName=name, PolicyDocument=document)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == json.loads(document)
    assert [v["VersionId"] for v in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == ["v1"]
    assert arn in {p["Arn"] for page in iam.get_paginator("list_policies").paginate(Scope="Local") for p in page["Policies"]}
    role = unique("Attached")
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
    full = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    for policy in (arn, full):
        iam.attach_role_policy(RoleName=role, PolicyArn=policy)
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert {p["PolicyArn"] for p in attached} == {arn, full}
    for what, kwargs in ((iam.delete_policy, {"PolicyArn": arn}), (iam.delete_role, {"RoleName": role})):
        with refused("DeleteConflict", status=409):
            what(**kwargs)
    for policy in (arn, full):
        iam.detach_role_policy(RoleName=role, PolicyArn=policy)
    iam.delete_policy(PolicyArn=arn)
    with refused("NoSuchEntity", status=404):
        iam.get_policy(PolicyArn=arn)


def test_policies_are_simulated(iam):
    """What the SageMaker SDK v3 asks before it takes a role."""
    role = unique("Simulated")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.put_role_policy(RoleName=role, PolicyName="read", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}, {"Effect": "Deny", "Action": "s3:GetObjectAcl", "Resource": "*"}]}))
    actions = ["s3:GetObject", "s3:GetObjectAcl", "s3:PutObject"]
    pages = iam.get_paginator("simulate_principal_policy").paginate(PolicySourceArn=arn, ActionNames=actions,
                                                                    PaginationConfig={"PageSize": 2})
    decided = {r["EvalActionName"]: r["EvalDecision"] for p in pages for r in p["EvaluationResults"]}
    assert decided == dict(zip(actions, ["allowed", "explicitDeny", "implicitDeny"]))
    with refused("NoSuchEntity", status=404):
        iam.simulate_principal_policy(PolicySourceArn=arn + "x", ActionNames=actions)
    with refused("InvalidInput", "Invalid Action name"):
        iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["everything"])


def test_users_and_their_keys(iam, bench):
    name = unique("User")
    user = iam.create_user(UserName=name)["User"]
    assert user["Arn"] == f"arn:aws:iam::{bench.account}:user/{name}"
    assert iam.get_user(UserName=name)["User"]["UserId"] == user["UserId"]
    assert name in {u["UserName"] for page in iam.get_paginator("list_users").paginate() for u in page["Users"]}
    key = iam.create_access_key(UserName=name)["AccessKey"]
    assert [k["AccessKeyId"] for k in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]] == [key["AccessKeyId"]]
    import boto3
    sts = boto3.client("sts", region_name=bench.region, endpoint_url=bench.server.url,
                       aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    assert sts.get_caller_identity()["Arn"] == user["Arn"]
    iam.update_access_key(UserName=name, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with refused("InvalidClientTokenId", status=403):
        sts.get_caller_identity()
    with refused("DeleteConflict", status=409):
        iam.delete_user(UserName=name)
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)
    with refused("NoSuchEntity", status=404):
        iam.get_user(UserName=name)
    with refused("EntityAlreadyExists", status=409):
        iam.create_user(UserName=iam.create_user(UserName=unique("User"))["User"]["UserName"])


ALLOW = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
NOBODY = {"RoleName": "nobody"}
POLICY = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
NO_POLICY = {"PolicyArn": "arn:aws:iam::123456789012:policy/nothing"}


@pytest.mark.parametrize("operation, members", [
    ("delete_role", NOBODY), ("update_role", NOBODY), ("update_assume_role_policy", {**NOBODY, "PolicyDocument": TRUST}),
    ("tag_role", {**NOBODY, "Tags": [{"Key": "a", "Value": "b"}]}), ("untag_role", {**NOBODY, "TagKeys": ["a"]}),
    ("list_role_tags", NOBODY), ("put_role_policy", {**NOBODY, "PolicyName": "p", "PolicyDocument": ALLOW}),
    ("delete_role_policy", {**NOBODY, "PolicyName": "p"}), ("list_role_policies", NOBODY),
    ("attach_role_policy", {**NOBODY, "PolicyArn": POLICY}), ("detach_role_policy", {**NOBODY, "PolicyArn": POLICY}),
    ("list_attached_role_policies", NOBODY), ("get_policy_version", {**NO_POLICY, "VersionId": "v1"}),
    ("list_policy_versions", NO_POLICY), ("delete_policy", NO_POLICY), ("delete_user", {"UserName": "nobody"}),
    ("create_access_key", {"UserName": "nobody"}), ("list_access_keys", {"UserName": "nobody"}),
    ("delete_access_key", {"UserName": "nobody", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE"}),
    ("update_access_key", {"UserName": "nobody", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Status": "Active"}),
])
def test_what_does_not_exist_is_no_such_entity(iam, operation, members):
    with refused("NoSuchEntity", status=404):
        getattr(iam, operation)(**members)


@pytest.mark.parametrize("document", ["{", "{}", '{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps"}]}'])
def test_a_policy_that_is_none_is_malformed(iam, document):
    name = unique("Malformed")
    with refused("MalformedPolicyDocument"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    with refused("NoSuchEntity", status=404):
        iam.get_role(RoleName=name)


@pytest.mark.parametrize("operation, members, where", [
    ("list_roles", {"MaxItems": 1001}, "maxItems"), ("list_policies", {"Scope": "Everywhere"}, "scope"),
    ("list_users", {"PathPrefix": "no-slash"}, "pathPrefix"), ("create_user", {"UserName": "what?"}, "userName"),
    ("create_policy", {"PolicyName": "what?", "PolicyDocument": "{}"}, "policyName"),
])
def test_constraints_are_validation_errors(bench, operation, members, where):
    lax = bench.server.client("iam", botocore.config.Config(parameter_validation=False))
    with refused("ValidationError", f"1 validation error detected: Value .* at '{where}' failed to satisfy constraint"):
        getattr(lax, operation)(**members)


def test_ids_have_the_form_of_the_service(iam):
    role = iam.get_role(RoleName="SageMakerRole")["Role"]
    assert re.fullmatch("AROA[A-Z0-9]{17}", role["RoleId"])
