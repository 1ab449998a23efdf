"""IAM, every operation: success, what may be asked for and what comes back, and an error of its own with the status that boto3 has for it."""

import datetime
import json
import os
import time

import boto3
import pytest
from botocore import xform_name

from issuer import HOST
from support import allow, everything, refused_as, totp, trust, trusting

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
TAGS = [{"Key": "team", "Value": "red"}, {"Key": "Cost Center", "Value": "é=+-"}]
DOCUMENT = allow("kms:Decrypt", "arn:aws:kms:*:*:key/*", Condition={"StringLike": {"kms:EncryptionContext:a b": "é+%20/*"}})


@pytest.fixture
def iam(alone):
    return alone.client("iam")


def is_now(caller, moment):
    """The service's time, which tests turn."""
    return moment.tzinfo and abs(moment - caller.now()) < datetime.timedelta(minutes=1)


def test_both_servers(caller):
    """The strict server knows the account's root user by its own access key."""
    iam = caller.client("iam")
    assert iam.get_user()["User"]["Arn"] == caller.iam_arn("root")
    name = f"both-{time.time_ns()}"
    key = [iam.create_user(UserName=name), iam.create_access_key(UserName=name)["AccessKey"]][1]
    assert caller.signed_in(key).client("sts").get_caller_identity()["Arn"] == caller.iam_arn(f"user/{name}")
    with refused_as(iam, "AccessDenied") as caught:
        caller.signed_in(key).client("iam").get_user()
    assert caught.value.response["Error"]["Message"].endswith("because no identity-based policy allows the iam:GetUser action")
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)
    if caller.endpoint == os.environ["KEYTURN_STRICT"]:
        with refused_as(iam, "InvalidClientTokenId"):
            caller.signed_in(key).client("iam").get_user()


def test_users(alone, iam):
    user = iam.create_user(UserName="ann", Path="/a/b/", Tags=TAGS, PermissionsBoundary=ADMINISTRATOR)["User"]
    assert user["UserId"].startswith("AIDA") and is_now(alone, user["CreateDate"])
    assert {k: user[k] for k in ("UserName", "Path", "Arn", "Tags")} == {
        "UserName": "ann", "Path": "/a/b/", "Arn": alone.iam_arn("user/a/b/ann"), "Tags": TAGS,
    }
    assert user["PermissionsBoundary"] == {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": ADMINISTRATOR}
    assert iam.get_user(UserName="ann")["User"] == user
    with refused_as(iam, "EntityAlreadyExists"):
        iam.create_user(UserName="ANN")
    iam.delete_user_permissions_boundary(UserName="ann")
    assert "PermissionsBoundary" not in iam.get_user(UserName="ann")["User"]
    iam.put_user_permissions_boundary(UserName="ann", PermissionsBoundary=ADMINISTRATOR)
    iam.tag_user(UserName="ann", Tags=[{"Key": "TEAM", "Value": ""}])
    iam.untag_user(UserName="ann", TagKeys=["cost center"])
    assert iam.list_user_tags(UserName="ann")["Tags"] == [{"Key": "TEAM", "Value": ""}]
    iam.update_user(UserName="ann", NewUserName="Ann", NewPath="/c/")
    listed = iam.list_users(PathPrefix="/c/")["Users"]
    assert [(u["Arn"], u["UserId"]) for u in listed] == [(alone.iam_arn("user/c/Ann"), user["UserId"])]
    assert iam.list_users(PathPrefix="/a/")["Users"] == []
    iam.delete_user(UserName="Ann")


def test_groups(alone, iam):
    group = iam.create_group(GroupName="ops", Path="/g/")["Group"]
    assert group["GroupId"].startswith("AGPA") and group["Arn"] == alone.iam_arn("group/g/ops") and is_now(alone, group["CreateDate"])
    with refused_as(iam, "EntityAlreadyExists"):
        iam.create_group(GroupName="Ops")
    iam.create_user(UserName="ann")
    iam.add_user_to_group(GroupName="ops", UserName="ann")
    got = iam.get_group(GroupName="ops")
    assert got["Group"] == group and [u["UserName"] for u in got["Users"]] == ["ann"] and got["IsTruncated"] is False
    assert iam.list_groups_for_user(UserName="ann")["Groups"] == [group]
    iam.update_group(GroupName="ops", NewGroupName="operators", NewPath="/")
    assert [g["Arn"] for g in iam.list_groups()["Groups"]] == [alone.iam_arn("group/operators")]
    with refused_as(iam, "DeleteConflict"):
        iam.delete_group(GroupName="operators")
    with refused_as(iam, "DeleteConflict"):
        iam.delete_user(UserName="ann")
    iam.remove_user_from_group(GroupName="operators", UserName="ann")
    iam.delete_group(GroupName="operators")


def test_roles(alone, iam):
    service = {"Service": "ec2.amazonaws.com"}
    made = iam.create_role(
        RoleName="worker", Path="/r/", AssumeRolePolicyDocument=trust(service), Description="works", MaxSessionDuration=7200,
        PermissionsBoundary=ADMINISTRATOR, Tags=TAGS,
    )["Role"]
    assert made["RoleId"].startswith("AROA") and made["Arn"] == alone.iam_arn("role/r/worker") and made["MaxSessionDuration"] == 7200
    assert made["AssumeRolePolicyDocument"] == json.loads(trust(service))
    role = iam.get_role(RoleName="worker")["Role"]
    assert role.pop("RoleLastUsed", {}) == {} and role == made
    account = trust({"AWS": alone.iam_arn("root")})
    iam.update_assume_role_policy(RoleName="worker", PolicyDocument=account)
    iam.update_role(RoleName="worker", MaxSessionDuration=3600)
    assert iam.update_role_description(RoleName="worker", Description="rests")["Role"]["Description"] == "rests"
    iam.delete_role_permissions_boundary(RoleName="worker")
    listed = iam.list_roles(PathPrefix="/r/")["Roles"][0]
    assert listed["AssumeRolePolicyDocument"] == json.loads(account) and listed["MaxSessionDuration"] == 3600
    iam.put_role_permissions_boundary(RoleName="worker", PermissionsBoundary=ADMINISTRATOR)
    iam.tag_role(RoleName="worker", Tags=[{"Key": "stage", "Value": "test"}])
    iam.untag_role(RoleName="worker", TagKeys=["team"])
    assert {t["Key"] for t in iam.list_role_tags(RoleName="worker")["Tags"]} == {"Cost Center", "stage"}
    assert iam.list_instance_profiles_for_role(RoleName="worker")["InstanceProfiles"] == []
    for document in ("{", trust({"AWS": alone.iam_arn("user/nobody")}), allow("sts:AssumeRole")):
        with refused_as(iam, "MalformedPolicyDocument"):
            iam.update_assume_role_policy(RoleName="worker", PolicyDocument=document)
    iam.delete_role(RoleName="worker")


def test_policies(alone, iam):
    made = iam.create_policy(PolicyName="decrypt", Path="/p/", PolicyDocument=DOCUMENT, Description="opens", Tags=TAGS)["Policy"]
    arn = made["Arn"]
    assert made["PolicyId"].startswith("ANPA") and arn == alone.iam_arn("policy/p/decrypt") and made["DefaultVersionId"] == "v1"
    got = iam.get_policy(PolicyArn=arn)["Policy"]
    assert got == {**made, "Description": "opens"} and made["AttachmentCount"] == 0 and made["IsAttachable"] is True
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert version["Document"] == json.loads(DOCUMENT) and version["IsDefaultVersion"] is True
    assert iam.create_policy_version(PolicyArn=arn, PolicyDocument=allow("*"))["PolicyVersion"]["IsDefaultVersion"] is False
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [(v["VersionId"], v["IsDefaultVersion"]) for v in versions] == [("v2", True), ("v1", False)]
    with refused_as(iam, "DeleteConflict"):
        iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    with refused_as(iam, "DeleteConflict"):
        iam.delete_policy(PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "stage", "Value": "test"}])
    iam.untag_policy(PolicyArn=arn, TagKeys=["team", "Cost Center"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "stage", "Value": "test"}]
    assert [p["Arn"] for p in iam.list_policies(Scope="Local")["Policies"]] == [arn]
    assert ADMINISTRATOR in {p["Arn"] for p in iam.list_policies(Scope="AWS")["Policies"]}
    assert iam.get_policy_version(PolicyArn=ADMINISTRATOR, VersionId="v1")["PolicyVersion"]["Document"]["Statement"][0]["Effect"] == "Allow"
    iam.delete_policy(PolicyArn=arn)


@pytest.mark.parametrize("kind", ["user", "group", "role"])
def test_policies_of_principals(alone, iam, kind):
    """Inline and managed policies, which are the same operations on users, groups and roles."""
    title = kind.title()
    name = {f"{title}Name": "x"}
    getattr(iam, f"create_{kind}")(**name, **({"AssumeRolePolicyDocument": trust({"AWS": "*"})} if kind == "role" else {}))
    arn = iam.create_policy(PolicyName="managed", Path="/m/", PolicyDocument=DOCUMENT)["Policy"]["Arn"]

    def call(verb, what, **params):
        return getattr(iam, f"{verb}_{what}")(**name, **params)

    call("put", f"{kind}_policy", PolicyName="inline", PolicyDocument=DOCUMENT)
    got = call("get", f"{kind}_policy", PolicyName="inline")
    assert got["PolicyDocument"] == json.loads(DOCUMENT) and got["PolicyName"] == "inline" and got[f"{title}Name"] == "x"
    assert call("list", f"{kind}_policies")["PolicyNames"] == ["inline"]
    with refused_as(iam, "MalformedPolicyDocument"):
        call("put", f"{kind}_policy", PolicyName="inline", PolicyDocument=trust({"AWS": "*"}))
    call("attach", f"{kind}_policy", PolicyArn=arn)
    call("attach", f"{kind}_policy", PolicyArn=arn)
    assert call("list", f"attached_{kind}_policies")["AttachedPolicies"] == [{"PolicyName": "managed", "PolicyArn": arn}]
    assert call("list", f"attached_{kind}_policies", PathPrefix="/other/")["AttachedPolicies"] == []
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    used = iam.list_entities_for_policy(PolicyArn=arn)
    assert [p[f"{title}Name"] for p in used[f"Policy{title}s"]] == ["x"] and used["IsTruncated"] is False
    with refused_as(iam, "DeleteConflict"):
        iam.delete_policy(PolicyArn=arn)
    with refused_as(iam, "DeleteConflict"):
        call("delete", kind)
    call("detach", f"{kind}_policy", PolicyArn=arn)
    with refused_as(iam, "DeleteConflict"):
        call("delete", kind)
    call("delete", f"{kind}_policy", PolicyName="inline")
    call("delete", kind)
    iam.delete_policy(PolicyArn=arn)


def test_access_keys(alone, iam):
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    assert key["AccessKeyId"].startswith("AKIA") and len(key["SecretAccessKey"]) == 40 and key["Status"] == "Active"
    listed = iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]
    assert listed == [{k: key[k] for k in ("UserName", "AccessKeyId", "Status", "CreateDate")}]
    unused = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert unused["UserName"] == "ann" and unused["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    alone.signed_in(key).client("sts").get_caller_identity()
    iam.update_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert iam.list_access_keys(UserName="ann")["AccessKeyMetadata"][0]["Status"] == "Inactive"
    with refused_as(iam, "DeleteConflict"):
        iam.delete_user(UserName="ann")
    with refused_as(iam, "AccessDenied"):
        iam.get_access_key_last_used(AccessKeyId="AKIAIOSFODNN7EXAMPLE")
    iam.delete_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"])


def test_mfa_devices(alone, iam):
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone", Path="/d/", Tags=TAGS)["VirtualMFADevice"]
    serial = made["SerialNumber"]
    assert serial == alone.iam_arn("mfa/d/phone") and made["QRCodePNG"].startswith(b"\x89PNG") and made["Tags"] == TAGS
    with refused_as(iam, "EntityAlreadyExists"):
        iam.create_virtual_mfa_device(VirtualMFADeviceName="phone", Path="/d/")
    iam.create_user(UserName="ann", Path="/a/")
    seed, step = made["Base32StringSeed"], int(time.time()) // 30
    with refused_as(iam, "InvalidAuthenticationCode"):
        iam.enable_mfa_device(
            UserName="ann", SerialNumber=serial, AuthenticationCode1=totp(seed, step - 50), AuthenticationCode2=totp(seed, step - 60))
    iam.enable_mfa_device(
        UserName="ann", SerialNumber=serial, AuthenticationCode1=totp(seed, step - 2), AuthenticationCode2=totp(seed, step - 1))
    device = iam.list_mfa_devices(UserName="ann")["MFADevices"][0]
    assert device["SerialNumber"] == serial and device["UserName"] == "ann"
    assert iam.get_mfa_device(SerialNumber=serial, UserName="ann")["EnableDate"] == device["EnableDate"]
    assigned = iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
    assert [(d["SerialNumber"], d["User"]["Arn"]) for d in assigned] == [(serial, alone.iam_arn("user/a/ann"))]
    assert iam.list_virtual_mfa_devices(AssignmentStatus="Unassigned")["VirtualMFADevices"] == []
    iam.resync_mfa_device(
        UserName="ann", SerialNumber=serial, AuthenticationCode1=totp(seed, step), AuthenticationCode2=totp(seed, step + 1))
    iam.tag_mfa_device(SerialNumber=serial, Tags=[{"Key": "stage", "Value": "test"}])
    iam.untag_mfa_device(SerialNumber=serial, TagKeys=["team"])
    assert {t["Key"] for t in iam.list_mfa_device_tags(SerialNumber=serial)["Tags"]} == {"Cost Center", "stage"}
    for call in (lambda: iam.delete_virtual_mfa_device(SerialNumber=serial), lambda: iam.delete_user(UserName="ann")):
        with refused_as(iam, "DeleteConflict"):
            call()
    iam.deactivate_mfa_device(UserName="ann", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)


def test_openid_connect_providers(alone, iam):
    made = iam.create_open_id_connect_provider(Url=f"https://{HOST}", ClientIDList=["a"], ThumbprintList=["ab" * 20], Tags=TAGS)
    arn = made["OpenIDConnectProviderArn"]
    assert arn == alone.iam_arn(f"oidc-provider/{HOST}") and made["Tags"] == TAGS
    with refused_as(iam, "EntityAlreadyExists"):
        iam.create_open_id_connect_provider(Url=f"https://{HOST}")
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == [{"Arn": arn}]
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="b")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="a")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["cd" * 20])
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=[{"Key": "stage", "Value": "test"}])
    iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["team", "Cost Center"])
    got = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert got["Url"] == HOST and got["ClientIDList"] == ["b"] and got["ThumbprintList"] == ["cd" * 20] and is_now(alone, got["CreateDate"])
    assert iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"] == got["Tags"] == [{"Key": "stage", "Value": "test"}]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == []


def test_simulation(alone, iam):
    user = iam.create_user(UserName="ann")["User"]["Arn"]
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=allow("kms:Decrypt", Condition={"Bool": {"aws:SecureTransport": "true"}}))
    secure = [{"ContextKeyName": "aws:SecureTransport", "ContextKeyValues": ["true"], "ContextKeyType": "boolean"}]
    actions = {"ActionNames": ["kms:Decrypt", "kms:Encrypt"], "ContextEntries": secure}
    answer = iam.simulate_principal_policy(PolicySourceArn=user, **actions)
    assert [r["EvalDecision"] for r in answer["EvaluationResults"]] == ["allowed", "implicitDeny"]
    answer = iam.simulate_custom_policy(PolicyInputList=[allow("kms:Encrypt")], **actions)
    assert [r["EvalDecision"] for r in answer["EvaluationResults"]] == ["implicitDeny", "allowed"]
    assert iam.get_context_keys_for_principal_policy(PolicySourceArn=user)["ContextKeyNames"] == ["aws:SecureTransport"]
    assert iam.get_context_keys_for_custom_policy(PolicyInputList=[allow("*")])["ContextKeyNames"] == []
    for call in (
        lambda: iam.simulate_custom_policy(PolicyInputList=["{"], **actions),
        lambda: iam.get_context_keys_for_custom_policy(PolicyInputList=["{"]),
    ):
        with refused_as(iam, "InvalidInput"):
            call()


def test_account(alone, iam):
    alias = f"alias-{alone.account}"
    iam.create_account_alias(AccountAlias=alias)
    with refused_as(iam, "EntityAlreadyExists"):
        iam.create_account_alias(AccountAlias=alias)
    assert iam.list_account_aliases()["AccountAliases"] == [alias]
    iam.delete_account_alias(AccountAlias=alias)
    iam.create_user(UserName="ann")
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["Users"] == 1 and summary["UsersQuota"] == 5000 and summary["AccountMFAEnabled"] == 0
    assert iam.list_ssh_public_keys(UserName="ann")["SSHPublicKeys"] == []
    assert iam.list_signing_certificates(UserName="ann")["Certificates"] == []
    assert iam.list_service_specific_credentials(UserName="ann")["ServiceSpecificCredentials"] == []


# The operations that need something which is not there, with an error that each documents.
NOBODY = "nobody"
POLICY, PROVIDER, DEVICE = "policy/none", "oidc-provider/none.test", "mfa/none"
MISSING = {
    **dict.fromkeys(
        ["CreateAccessKey", "DeleteLoginProfile", "DeleteUser", "DeleteUserPermissionsBoundary", "GetLoginProfile", "GetUser", "ListAccessKeys",
         "ListAttachedUserPolicies", "ListGroupsForUser", "ListMFADevices", "ListSSHPublicKeys", "ListServiceSpecificCredentials",
         "ListSigningCertificates", "ListUserPolicies", "ListUserTags", "UpdateUser"],
        {"UserName": NOBODY},
    ),
    **dict.fromkeys(["AttachUserPolicy", "DetachUserPolicy"], {"UserName": NOBODY, "PolicyArn": ADMINISTRATOR}),
    **dict.fromkeys(["DeleteUserPolicy", "GetUserPolicy"], {"UserName": NOBODY, "PolicyName": "p"}),
    "PutUserPolicy": {"UserName": NOBODY, "PolicyName": "p", "PolicyDocument": allow("*")},
    "PutUserPermissionsBoundary": {"UserName": NOBODY, "PermissionsBoundary": ADMINISTRATOR},
    "TagUser": {"UserName": NOBODY, "Tags": TAGS},
    "UntagUser": {"UserName": NOBODY, "TagKeys": ["a"]},
    "UpdateAccessKey": {"UserName": NOBODY, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Status": "Active"},
    "DeleteAccessKey": {"UserName": NOBODY, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE"},
    **dict.fromkeys(["AddUserToGroup", "RemoveUserFromGroup"], {"GroupName": NOBODY, "UserName": NOBODY}),
    **dict.fromkeys(["DeleteGroup", "GetGroup", "ListAttachedGroupPolicies", "ListGroupPolicies", "UpdateGroup"], {"GroupName": NOBODY}),
    **dict.fromkeys(["AttachGroupPolicy", "DetachGroupPolicy"], {"GroupName": NOBODY, "PolicyArn": ADMINISTRATOR}),
    **dict.fromkeys(["DeleteGroupPolicy", "GetGroupPolicy"], {"GroupName": NOBODY, "PolicyName": "p"}),
    "PutGroupPolicy": {"GroupName": NOBODY, "PolicyName": "p", "PolicyDocument": allow("*")},
    **dict.fromkeys(
        ["DeleteRole", "DeleteRolePermissionsBoundary", "GetRole", "ListAttachedRolePolicies", "ListInstanceProfilesForRole", "ListRolePolicies",
         "ListRoleTags", "UpdateRole"],
        {"RoleName": NOBODY},
    ),
    **dict.fromkeys(["AttachRolePolicy", "DetachRolePolicy"], {"RoleName": NOBODY, "PolicyArn": ADMINISTRATOR}),
    **dict.fromkeys(["DeleteRolePolicy", "GetRolePolicy"], {"RoleName": NOBODY, "PolicyName": "p"}),
    "PutRolePolicy": {"RoleName": NOBODY, "PolicyName": "p", "PolicyDocument": allow("*")},
    "PutRolePermissionsBoundary": {"RoleName": NOBODY, "PermissionsBoundary": ADMINISTRATOR},
    "TagRole": {"RoleName": NOBODY, "Tags": TAGS},
    "UntagRole": {"RoleName": NOBODY, "TagKeys": ["a"]},
    "UpdateAssumeRolePolicy": {"RoleName": NOBODY, "PolicyDocument": trust({"AWS": "*"})},
    "UpdateRoleDescription": {"RoleName": NOBODY, "Description": "x"},
    **dict.fromkeys(["DeletePolicy", "GetPolicy", "ListEntitiesForPolicy", "ListPolicyTags", "ListPolicyVersions"], {"PolicyArn": POLICY}),
    **dict.fromkeys(["DeletePolicyVersion", "GetPolicyVersion", "SetDefaultPolicyVersion"], {"PolicyArn": POLICY, "VersionId": "v1"}),
    "CreatePolicyVersion": {"PolicyArn": POLICY, "PolicyDocument": allow("*")},
    "TagPolicy": {"PolicyArn": POLICY, "Tags": TAGS},
    "UntagPolicy": {"PolicyArn": POLICY, "TagKeys": ["a"]},
    **dict.fromkeys(["GetOpenIDConnectProvider", "ListOpenIDConnectProviderTags"], {"OpenIDConnectProviderArn": PROVIDER}),
    **dict.fromkeys(
        ["AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider"], {"OpenIDConnectProviderArn": PROVIDER, "ClientID": "a"}),
    "TagOpenIDConnectProvider": {"OpenIDConnectProviderArn": PROVIDER, "Tags": TAGS},
    "UntagOpenIDConnectProvider": {"OpenIDConnectProviderArn": PROVIDER, "TagKeys": ["a"]},
    "UpdateOpenIDConnectProviderThumbprint": {"OpenIDConnectProviderArn": PROVIDER, "ThumbprintList": ["ab" * 20]},
    **dict.fromkeys(["DeleteVirtualMFADevice", "GetMFADevice", "ListMFADeviceTags"], {"SerialNumber": DEVICE}),
    **dict.fromkeys(
        ["EnableMFADevice", "ResyncMFADevice"],
        {"UserName": NOBODY, "SerialNumber": DEVICE, "AuthenticationCode1": "123456", "AuthenticationCode2": "654321"},
    ),
    "DeactivateMFADevice": {"UserName": NOBODY, "SerialNumber": DEVICE},
    "TagMFADevice": {"SerialNumber": DEVICE, "Tags": TAGS},
    "UntagMFADevice": {"SerialNumber": DEVICE, "TagKeys": ["a"]},
    "DeleteAccountAlias": {"AccountAlias": "nobody-has-this"},
    **dict.fromkeys(["GetContextKeysForPrincipalPolicy"], {"PolicySourceArn": "user/nobody"}),
    "SimulatePrincipalPolicy": {"PolicySourceArn": "user/nobody", "ActionNames": ["kms:Decrypt"]},
}


def test_what_is_not_there(alone, iam):
    wrong = []
    for operation, params in MISSING.items():
        here = {k: alone.iam_arn(v) if v in (POLICY, PROVIDER, DEVICE, "user/nobody") else v for k, v in params.items()}
        if operation == "GetMFADevice":
            here["UserName"] = NOBODY
        try:
            with refused_as(iam, "NoSuchEntity"):
                getattr(iam, xform_name(operation))(**here)
        except (AssertionError, pytest.fail.Exception) as e:
            wrong.append(f"{operation}: {e}")
    assert not wrong


def test_what_is_malformed(alone):
    iam = alone.client("iam", parameter_validation=False)
    for code, operation, params in [
        ("MalformedPolicyDocument", "create_policy", {"PolicyName": "p", "PolicyDocument": "{"}),
        ("MalformedPolicyDocument", "create_policy", {"PolicyName": "p", "PolicyDocument": allow("nocolon")}),
        ("MalformedPolicyDocument", "create_role", {"RoleName": "r", "AssumeRolePolicyDocument": allow("sts:AssumeRole")}),
        ("ValidationError", "create_user", {"UserName": "no spaces"}),
        ("ValidationError", "create_user", {"UserName": "x", "Path": "noslash"}),
        ("ValidationError", "list_users", {"Marker": "nonsense"}),
        ("ValidationError", "list_users", {"MaxItems": 1001}),
        ("InvalidInput", "create_user", {"UserName": "x", "Tags": [{"Key": "a", "Value": ""}, {"Key": "A", "Value": ""}]}),
        ("InvalidInput", "delete_open_id_connect_provider", {"OpenIDConnectProviderArn": "arn:aws:iam::aws:policy/x"}),
        ("InvalidInput", "get_policy", {"PolicyArn": "arn:aws:iam::aws:role/nothing"}),
    ]:
        with refused_as(iam, code):
            getattr(iam, operation)(**params)


def test_an_operation_that_is_not_there(iam):
    with refused_as(iam, "InvalidAction"):
        iam.create_instance_profile(InstanceProfileName="x")


LONG = "/" + "p" * 500 + "/"
SHORTER = "/" + "p" * 250 + "/"


@pytest.fixture(scope="module")
def crowd():
    """An account with hundreds of users, and with some of everything else that lists list."""
    caller = trusting()
    iam = caller.client("iam")
    iam.create_user(UserName="one", Tags=[{"Key": f"k{n}", "Value": ""} for n in range(23)])
    iam.create_role(RoleName="one", AssumeRolePolicyDocument=trust({"AWS": "*"}), Tags=[{"Key": f"k{n}", "Value": ""} for n in range(23)])
    iam.create_group(GroupName="one")
    for n in range(230):
        iam.create_user(UserName=f"user-{n}", Path=LONG if n % 2 else "/")
    for n in range(10):
        iam.create_group(GroupName=f"group-{n}", Path=LONG)
        iam.create_role(RoleName=f"role-{n}", Path=LONG, AssumeRolePolicyDocument=trust({"AWS": "*"}))
        iam.add_user_to_group(GroupName=f"group-{n}", UserName="one")
        iam.add_user_to_group(GroupName="one", UserName=f"user-{n}")
        arn = iam.create_policy(PolicyName=f"policy-{n}", Path=SHORTER, PolicyDocument=allow("*"))["Policy"]["Arn"]
        for kind in ("user", "group", "role"):
            name = {f"{kind.title()}Name": "one"}
            getattr(iam, f"attach_{kind}_policy")(**name, PolicyArn=arn)
            getattr(iam, f"put_{kind}_policy")(**name, PolicyName=f"inline-{n}", PolicyDocument=allow("kms:*"))
            if n:
                holder = {f"{kind.title()}Name": f"{kind}-{n}"}
                getattr(iam, f"attach_{kind}_policy")(**holder, PolicyArn=ADMINISTRATOR)
        iam.create_virtual_mfa_device(VirtualMFADeviceName=f"device-{n}", Tags=[{"Key": f"k{m}", "Value": ""} for m in range(n)])
    iam.create_open_id_connect_provider(Url=f"https://{HOST}", Tags=[{"Key": f"k{n}", "Value": ""} for n in range(7)])
    for n in range(4):
        iam.create_policy_version(PolicyArn=caller.iam_arn(f"policy{SHORTER}policy-0"), PolicyDocument=allow("*"))
    for n in range(2):
        iam.create_access_key(UserName="one")
    iam.create_account_alias(AccountAlias=f"crowd-{caller.account}")
    return caller, iam


@pytest.mark.parametrize(
    ("operation", "result", "params", "count", "size"),
    [
        ("list_users", "Users", {}, 231, 7),
        ("list_users", "Users", {"PathPrefix": LONG}, 115, 7),
        ("list_users", "Users", {"PathPrefix": "/pp"}, 115, 100),
        ("list_groups", "Groups", {"PathPrefix": LONG}, 10, 3),
        ("list_roles", "Roles", {}, 11, 2),
        ("get_group", "Users", {"GroupName": "one"}, 10, 3),
        ("list_groups_for_user", "Groups", {"UserName": "one"}, 10, 5),
        ("list_policies", "Policies", {"Scope": "Local"}, 10, 3),
        ("list_policies", "Policies", {"OnlyAttached": True}, 11, 1),
        ("list_policy_versions", "Versions", {"PolicyArn": f"policy{SHORTER}policy-0"}, 5, 2),
        ("list_attached_user_policies", "AttachedPolicies", {"UserName": "one"}, 10, 3),
        ("list_attached_group_policies", "AttachedPolicies", {"GroupName": "one"}, 10, 3),
        ("list_attached_role_policies", "AttachedPolicies", {"RoleName": "one"}, 10, 3),
        ("list_user_policies", "PolicyNames", {"UserName": "one"}, 10, 1),
        ("list_group_policies", "PolicyNames", {"GroupName": "one"}, 10, 4),
        ("list_role_policies", "PolicyNames", {"RoleName": "one"}, 10, 10),
        ("list_user_tags", "Tags", {"UserName": "one"}, 23, 5),
        ("list_role_tags", "Tags", {"RoleName": "one"}, 23, 5),
        ("list_mfa_device_tags", "Tags", {"SerialNumber": "mfa/device-9"}, 9, 2),
        ("list_open_id_connect_provider_tags", "Tags", {"OpenIDConnectProviderArn": f"oidc-provider/{HOST}"}, 7, 2),
        ("list_policy_tags", "Tags", {"PolicyArn": f"policy{SHORTER}policy-0"}, 0, 2),
        ("list_access_keys", "AccessKeyMetadata", {"UserName": "one"}, 2, 1),
        ("list_account_aliases", "AccountAliases", {}, 1, 1),
        ("list_virtual_mfa_devices", "VirtualMFADevices", {}, 10, 3),
        ("list_virtual_mfa_devices", "VirtualMFADevices", {"AssignmentStatus": "Unassigned"}, 10, 3),
        ("list_mfa_devices", "MFADevices", {"UserName": "one"}, 0, 1),
        ("list_instance_profiles_for_role", "InstanceProfiles", {"RoleName": "one"}, 0, 1),
        ("list_ssh_public_keys", "SSHPublicKeys", {"UserName": "one"}, 0, 1),
        ("list_signing_certificates", "Certificates", {"UserName": "one"}, 0, 1),
    ],
)
def test_pages(crowd, operation, result, params, count, size):
    caller, iam = crowd
    arns = {"PolicyArn", "SerialNumber", "OpenIDConnectProviderArn"}
    params = {k: caller.iam_arn(v) if k in arns else v for k, v in params.items()}
    items, pages = everything(iam, operation, result, PageSize=size, **params)
    assert len(items) == count and max(pages) <= size
    # A page may be less than full where a list is filtered, but not the pages of the others.
    if not {"OnlyAttached", "PathPrefix"} & params.keys():
        assert all(n == size for n in pages[:-1]), pages
    assert items == everything(iam, operation, result, **params)[0]
    assert len({json.dumps(item, default=str, sort_keys=True) for item in items}) == count


def test_pages_of_whoever_has_a_policy(crowd):
    _, iam = crowd
    pages = list(iam.get_paginator("list_entities_for_policy").paginate(PolicyArn=ADMINISTRATOR, PaginationConfig={"PageSize": 2}))
    for kind in ("User", "Group", "Role"):
        names = [p[f"{kind}Name"] for page in pages for p in page[f"Policy{kind}s"]]
        assert sorted(names) == [f"{kind.lower()}-{n}" for n in range(1, 10)]
    only = iam.list_entities_for_policy(PolicyArn=ADMINISTRATOR, EntityFilter="Role", PathPrefix=LONG)
    assert len(only["PolicyRoles"]) == 9 and not only["PolicyUsers"] and not only["PolicyGroups"]


def test_pages_of_simulations(crowd):
    caller, iam = crowd
    actions = [f"kms:{verb}{n}" for verb in ("Get", "Put") for n in range(20)]
    pager = {"ActionNames": actions, "PaginationConfig": {"PageSize": 7}}
    for operation, params in [
        ("simulate_custom_policy", {"PolicyInputList": [allow("kms:Get*")]}),
        ("simulate_principal_policy", {"PolicySourceArn": caller.iam_arn("user/one")}),
    ]:
        pages = list(iam.get_paginator(operation).paginate(**params, **pager))
        assert [r["EvalActionName"] for page in pages for r in page["EvaluationResults"]] == actions
        assert len(pages) == 6


def test_waiters(alone, iam):
    soon = {"Delay": 1, "MaxAttempts": 2}
    iam.create_user(UserName="ann")
    iam.get_waiter("user_exists").wait(UserName="ann", WaiterConfig=soon)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": "*"}))
    iam.get_waiter("role_exists").wait(RoleName="r", WaiterConfig=soon)
    arn = iam.create_policy(PolicyName="p", PolicyDocument=allow("*"))["Policy"]["Arn"]
    iam.get_waiter("policy_exists").wait(PolicyArn=arn, WaiterConfig=soon)


def test_resources(alone):
    """The older interface of boto3, which reads some members by itself and pages through collections."""
    session = boto3.session.Session(alone.credentials.access_key, alone.credentials.secret_key, region_name="us-east-1")
    iam = session.resource("iam", endpoint_url=alone.endpoint)
    user = iam.create_user(UserName="ann", Path="/a/")
    policy = iam.create_policy(PolicyName="p", PolicyDocument=allow("kms:*"))
    user.attach_policy(PolicyArn=policy.arn)
    user.create_policy(PolicyName="inline", PolicyDocument=allow("kms:Decrypt"))
    user.add_group(GroupName=iam.create_group(GroupName="g").name)
    key = user.create_access_key_pair()
    user = iam.User("ann")
    assert user.path == "/a/" and user.arn == alone.iam_arn("user/a/ann") and user.create_date.tzinfo
    assert [p.arn for p in user.attached_policies.all()] == [policy.arn]
    assert user.Policy("inline").policy_document == json.loads(allow("kms:Decrypt"))
    assert [g.name for g in user.groups.all()] == ["g"] and [k.id for k in user.access_keys.all()] == [key.id]
    assert iam.Policy(policy.arn).default_version.document == json.loads(allow("kms:*"))
    assert [u.name for u in iam.users.page_size(1)] == ["ann"] and [u.name for u in policy.attached_users.all()] == ["ann"]
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": user.arn}))
    assert role.assume_role_policy_document["Statement"][0]["Principal"] == {"AWS": user.arn}
    role.AssumeRolePolicy().update(PolicyDocument=trust({"AWS": "*"}))
    user.detach_policy(PolicyArn=policy.arn)
    user.Policy("inline").delete()
    user.remove_group(GroupName="g")
    key.delete()
    user.delete()
    assert iam.AccountSummary().summary_map["Users"] == 0
