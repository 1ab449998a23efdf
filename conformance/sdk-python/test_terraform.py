"""What the AWS provider of Terraform calls to create, read, update and delete each resource, in its order and with its parameters."""

import time
import urllib.parse

import pytest

from issuer import HOST
from support import allow, refused_as, totp, trust

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
TAGS = [{"Key": "managed-by", "Value": "terraform"}]


@pytest.fixture
def iam(alone):
    return alone.client("iam")


def pages(iam, operation, result, **params):
    return [item for page in iam.get_paginator(operation).paginate(**params) for item in page[result]]


def raw_document(iam, operation, *path, **params):
    """A policy document as the provider gets it: percent-encoded, which boto3 decodes by itself."""
    texts = []
    event = f"before-parse.iam.{operation}"
    iam.meta.events.register(event, lambda response_dict, **_: texts.append(response_dict["body"].decode()))
    getattr(iam, path[0])(**params)
    document = texts[0].partition(f"<{path[1]}>")[2].partition("</")[0]
    assert not set(document) & set('{}" +<>')
    return urllib.parse.unquote_plus(document)


def test_user(alone, iam):
    """aws_iam_user, aws_iam_access_key, aws_iam_user_policy(_attachment), and force_destroy."""
    iam.create_user(UserName="ann", Path="/", Tags=TAGS)
    user = iam.get_user(UserName="ann")["User"]
    assert user["Tags"] == TAGS and "PermissionsBoundary" not in user
    iam.update_user(UserName="ann", NewUserName="bea", NewPath="/team/")
    with refused_as(iam, "NoSuchEntity"):
        iam.get_user(UserName="ann")
    iam.put_user_permissions_boundary(UserName="bea", PermissionsBoundary=ADMINISTRATOR)
    iam.untag_user(UserName="bea", TagKeys=["managed-by"])
    iam.tag_user(UserName="bea", Tags=[{"Key": "owner", "Value": "x"}])
    assert iam.get_user(UserName="bea")["User"]["Tags"] == [{"Key": "owner", "Value": "x"}]
    iam.delete_user_permissions_boundary(UserName="bea")

    key = iam.create_access_key(UserName="bea")["AccessKey"]
    iam.update_access_key(UserName="bea", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert [k["Status"] for k in pages(iam, "list_access_keys", "AccessKeyMetadata", UserName="bea")] == ["Inactive"]

    # force_destroy
    iam.create_group(GroupName="g")
    iam.add_user_to_group(GroupName="g", UserName="bea")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone", Path="/")["VirtualMFADevice"]
    enable(iam, "bea", device)
    for group in pages(iam, "list_groups_for_user", "Groups", UserName="bea"):
        iam.remove_user_from_group(GroupName=group["GroupName"], UserName="bea")
    for access_key in pages(iam, "list_access_keys", "AccessKeyMetadata", UserName="bea"):
        iam.delete_access_key(UserName="bea", AccessKeyId=access_key["AccessKeyId"])
    assert pages(iam, "list_ssh_public_keys", "SSHPublicKeys", UserName="bea") == []
    for found in pages(iam, "list_virtual_mfa_devices", "VirtualMFADevices", AssignmentStatus="Assigned"):
        if found["User"]["UserName"] == "bea":
            iam.deactivate_mfa_device(UserName="bea", SerialNumber=found["SerialNumber"])
            iam.delete_virtual_mfa_device(SerialNumber=found["SerialNumber"])
    assert pages(iam, "list_mfa_devices", "MFADevices", UserName="bea") == []
    with refused_as(iam, "NoSuchEntity"):
        iam.delete_login_profile(UserName="bea")
    assert pages(iam, "list_signing_certificates", "Certificates", UserName="bea") == []
    assert iam.list_service_specific_credentials(UserName="bea")["ServiceSpecificCredentials"] == []
    iam.delete_user(UserName="bea")


def enable(iam, user, device):
    seed, step = device["Base32StringSeed"], int(time.time()) // 30
    iam.enable_mfa_device(
        UserName=user, SerialNumber=device["SerialNumber"], AuthenticationCode1=totp(seed, step - 1), AuthenticationCode2=totp(seed, step))


def test_role(alone, iam):
    """aws_iam_role with inline and managed policies, aws_iam_role_policy_attachment, and force_detach_policies."""
    service = trust({"Service": "ec2.amazonaws.com"}, Sid="")
    iam.create_role(RoleName="r", Path="/", AssumeRolePolicyDocument=service, Description="", MaxSessionDuration=3600, Tags=TAGS)
    role = iam.get_role(RoleName="r")["Role"]
    assert role["Tags"] == TAGS and "Description" not in role and not role["Arn"].startswith("AROA")
    assert raw_document(iam, "GetRole", "get_role", "AssumeRolePolicyDocument", RoleName="r") == service
    assert role["RoleLastUsed"] == {}

    iam.put_role_policy(RoleName="r", PolicyName="inline", PolicyDocument=allow("kms:Decrypt"))
    arn = iam.create_policy(PolicyName="p", Path="/", Description="", PolicyDocument=allow("kms:*"))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    assert [p["PolicyArn"] for p in pages(iam, "list_attached_role_policies", "AttachedPolicies", RoleName="r")] == [arn]
    assert pages(iam, "list_role_policies", "PolicyNames", RoleName="r") == ["inline"]
    assert iam.get_role_policy(RoleName="r", PolicyName="inline")["PolicyDocument"]["Statement"]

    # A principal that is not there yet is tried again for as long as the message has these words.
    with refused_as(iam, "MalformedPolicyDocument") as caught:
        iam.update_assume_role_policy(RoleName="r", PolicyDocument=trust({"AWS": alone.iam_arn("user/later")}))
    assert "Invalid principal in policy" in caught.value.response["Error"]["Message"]
    iam.create_user(UserName="later")
    iam.update_assume_role_policy(RoleName="r", PolicyDocument=trust({"AWS": alone.iam_arn("user/later")}))
    iam.update_role_description(RoleName="r", Description="new")
    iam.update_role(RoleName="r", MaxSessionDuration=7200)
    iam.put_role_permissions_boundary(RoleName="r", PermissionsBoundary=ADMINISTRATOR)
    iam.delete_role_permissions_boundary(RoleName="r")
    role = iam.get_role(RoleName="r")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("new", 7200)

    with refused_as(iam, "DeleteConflict"):
        iam.delete_role(RoleName="r")
    assert iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"] == []
    for policy in pages(iam, "list_attached_role_policies", "AttachedPolicies", RoleName="r"):
        iam.detach_role_policy(RoleName="r", PolicyArn=policy["PolicyArn"])
        with refused_as(iam, "NoSuchEntity"):
            iam.detach_role_policy(RoleName="r", PolicyArn=policy["PolicyArn"])
    for name in pages(iam, "list_role_policies", "PolicyNames", RoleName="r"):
        iam.delete_role_policy(RoleName="r", PolicyName=name)
        with refused_as(iam, "NoSuchEntity"):
            iam.delete_role_policy(RoleName="r", PolicyName=name)
    iam.delete_role(RoleName="r")
    for call in (iam.get_role, iam.delete_role, iam.list_instance_profiles_for_role):
        with refused_as(iam, "NoSuchEntity"):
            call(RoleName="r")


def test_policy(iam):
    """aws_iam_policy: each change is a version, and the oldest goes when there are five."""
    arn = iam.create_policy(PolicyName="p", Path="/", Description="", PolicyDocument=allow("kms:V1"), Tags=TAGS)["Policy"]["Arn"]
    for n in range(2, 9):
        versions = pages(iam, "list_policy_versions", "Versions", PolicyArn=arn)
        if len(versions) >= 5:
            oldest = min((v for v in versions if not v["IsDefaultVersion"]), key=lambda v: v["CreateDate"])
            assert oldest["VersionId"] == f"v{n - 5}"
            with refused_as(iam, "LimitExceeded"):
                iam.create_policy_version(PolicyArn=arn, PolicyDocument=allow("kms:X"), SetAsDefault=False)
            iam.delete_policy_version(PolicyArn=arn, VersionId=oldest["VersionId"])
        document = allow(f"kms:V{n}", Sid=f"n{n}")
        made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=False)["PolicyVersion"]
        iam.set_default_policy_version(PolicyArn=arn, VersionId=made["VersionId"])
        policy = iam.get_policy(PolicyArn=arn)["Policy"]
        assert policy["DefaultVersionId"] == made["VersionId"] == f"v{n}" and policy["Tags"] == TAGS
    assert raw_document(iam, "GetPolicyVersion", "get_policy_version", "Document", PolicyArn=arn, VersionId="v8") == document
    for version in pages(iam, "list_policy_versions", "Versions", PolicyArn=arn):
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=arn)
    for call in (iam.delete_policy, iam.get_policy, iam.list_policy_versions):
        with refused_as(iam, "NoSuchEntity"):
            call(PolicyArn=arn)


def test_group(alone, iam):
    """aws_iam_group, aws_iam_group_membership, aws_iam_user_group_membership, aws_iam_group_policy and its attachment."""
    iam.create_group(GroupName="g", Path="/")
    iam.update_group(GroupName="g", NewGroupName="h", NewPath="/x/")
    assert iam.get_group(GroupName="h")["Group"]["Arn"] == alone.iam_arn("group/x/h")
    for name in ("ann", "bea"):
        iam.create_user(UserName=name)
        iam.add_user_to_group(GroupName="h", UserName=name)
    assert sorted(u["UserName"] for u in pages(iam, "get_group", "Users", GroupName="h")) == ["ann", "bea"]
    iam.put_group_policy(GroupName="h", PolicyName="inline", PolicyDocument=allow("kms:*"))
    iam.attach_group_policy(GroupName="h", PolicyArn=ADMINISTRATOR)
    assert iam.get_group_policy(GroupName="h", PolicyName="inline")["PolicyName"] == "inline"
    assert [p["PolicyArn"] for p in pages(iam, "list_attached_group_policies", "AttachedPolicies", GroupName="h")] == [ADMINISTRATOR]
    iam.detach_group_policy(GroupName="h", PolicyArn=ADMINISTRATOR)
    iam.delete_group_policy(GroupName="h", PolicyName="inline")
    for name in ("ann", "bea", "ann"):  # membership that is gone already is no error
        iam.remove_user_from_group(GroupName="h", UserName=name)
    iam.delete_group(GroupName="h")
    with refused_as(iam, "NoSuchEntity"):
        iam.remove_user_from_group(GroupName="h", UserName="ann")


def test_openid_connect_provider(iam):
    """aws_iam_openid_connect_provider, without thumbprints as AWS takes it now."""
    arn = iam.create_open_id_connect_provider(Url=f"https://{HOST}", ClientIDList=["a"], Tags=TAGS)["OpenIDConnectProviderArn"]
    got = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert got["Url"] == HOST and got["ThumbprintList"] == [] and got["Tags"] == TAGS
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["ab" * 20])
    with refused_as(iam, "InvalidInput"):
        iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=[])
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="b")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="a")
    assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ClientIDList"] == ["b"]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    with refused_as(iam, "NoSuchEntity"):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)


def test_virtual_mfa_device(alone, iam):
    """aws_iam_virtual_mfa_device, which is found by walking the list."""
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone", Path="/d/", Tags=TAGS)["VirtualMFADevice"]
    found = [d for d in pages(iam, "list_virtual_mfa_devices", "VirtualMFADevices") if d["SerialNumber"] == made["SerialNumber"]]
    assert len(found) == 1 and "User" not in found[0] and "EnableDate" not in found[0]
    assert iam.list_mfa_device_tags(SerialNumber=made["SerialNumber"])["Tags"] == TAGS
    iam.create_user(UserName="ann")
    enable(iam, "ann", made)
    found = pages(iam, "list_virtual_mfa_devices", "VirtualMFADevices")[0]
    assert found["User"]["UserName"] == "ann" and found["EnableDate"].tzinfo
    iam.deactivate_mfa_device(UserName="ann", SerialNumber=made["SerialNumber"])
    iam.delete_virtual_mfa_device(SerialNumber=made["SerialNumber"])
    with refused_as(iam, "NoSuchEntity"):
        iam.delete_virtual_mfa_device(SerialNumber=made["SerialNumber"])


def test_other_resources(alone, iam):
    """aws_iam_account_alias, aws_iam_policy_attachment, and the data sources."""
    alias = f"terraform-{alone.account}"
    iam.create_account_alias(AccountAlias=alias)
    assert pages(iam, "list_account_aliases", "AccountAliases") == [alias]
    iam.delete_account_alias(AccountAlias=alias)

    iam.create_user(UserName="ann", Path="/x/")
    iam.create_role(RoleName="r", Path="/x/", AssumeRolePolicyDocument=trust({"AWS": alone.iam_arn("user/x/ann")}))
    arn = iam.create_policy(PolicyName="p", Path="/x/", PolicyDocument=allow("kms:*"))["Policy"]["Arn"]
    iam.attach_user_policy(UserName="ann", PolicyArn=arn)
    iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    assert [u["UserName"] for u in pages(iam, "list_entities_for_policy", "PolicyUsers", PolicyArn=arn)] == ["ann"]
    assert [r["RoleName"] for r in pages(iam, "list_entities_for_policy", "PolicyRoles", PolicyArn=arn)] == ["r"]
    assert [p["Arn"] for p in pages(iam, "list_policies", "Policies", PathPrefix="/x/")] == [arn]
    assert [r["RoleName"] for r in pages(iam, "list_roles", "Roles", PathPrefix="/x/")] == ["r"]
    assert [u["UserName"] for u in pages(iam, "list_users", "Users", PathPrefix="/x/")] == ["ann"]
    answer = iam.simulate_principal_policy(
        PolicySourceArn=alone.iam_arn("user/x/ann"), ActionNames=["kms:Decrypt"], ResourceArns=[alone.arn("key/x")])
    assert answer["EvaluationResults"][0]["EvalDecision"] == "allowed"
    who = alone.client("sts").get_caller_identity()
    assert (who["Account"], who["Arn"]) == (alone.account, alone.iam_arn("root"))
