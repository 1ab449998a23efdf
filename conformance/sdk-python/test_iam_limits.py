"""Limits and defaults that the IAM API Reference, the STS API Reference and "IAM and AWS STS quotas" (IAM User Guide) give."""

import json

import pytest

from support import allow, refused_as, trust, trusting

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
ANYBODY = trust({"AWS": "*"})


@pytest.fixture(scope="module")
def account():
    caller = trusting()
    iam = caller.client("iam", parameter_validation=False)
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="g")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=ANYBODY)
    iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")
    return caller, iam


def tags(n):
    return [{"Key": f"k{i}", "Value": ""} for i in range(n)]


def sized(characters, filler="a"):
    """A policy that has so many characters, white space not counted."""
    base = len(allow("kms:*", Sid="").replace(" ", ""))
    return allow("kms:*", Sid=filler * (characters - base))


# What is taken: operation, parameters.
TAKEN = [
    ("create_user", {"UserName": "u" * 64}),
    ("create_user", {"UserName": "a+=,.@_-1", "Path": "/" + "x" * 510 + "/"}),
    ("create_user", {"UserName": "tags", "Tags": tags(50)}),
    ("create_user", {"UserName": "tag", "Tags": [{"Key": "k" * 128, "Value": "v" * 256}]}),
    ("create_user", {"UserName": "tag2", "Tags": [{"Key": "ä _.:/=+-@", "Value": ""}]}),
    ("create_group", {"GroupName": "g" * 128}),
    ("create_role", {"RoleName": "r" * 64, "AssumeRolePolicyDocument": ANYBODY, "Description": "d" * 1000, "MaxSessionDuration": 43200}),
    ("create_policy", {"PolicyName": "p" * 128, "PolicyDocument": allow("*"), "Description": "d" * 1000}),
    ("create_policy", {"PolicyName": "long", "PolicyDocument": sized(6144)}),
    ("create_policy", {"PolicyName": "spaced", "PolicyDocument": sized(6144) + " " * 5000}),
    ("put_user_policy", {"UserName": "ann", "PolicyName": "p", "PolicyDocument": sized(2048)}),
    ("put_group_policy", {"GroupName": "g", "PolicyName": "p", "PolicyDocument": sized(5120)}),
    ("put_role_policy", {"RoleName": "r", "PolicyName": "p", "PolicyDocument": sized(10240)}),
    ("list_users", {"MaxItems": 1000}),
    ("list_users", {"MaxItems": 1, "PathPrefix": "/"}),
    ("create_open_id_connect_provider", {"Url": "https://a.test", "ThumbprintList": ["0" * 40] * 5}),
    ("update_access_key", None),
]

# What is refused: operation, parameters, code.
REFUSED = [
    ("create_user", {"UserName": "u" * 65}, "ValidationError"),
    ("create_user", {"UserName": ""}, "ValidationError"),
    ("create_user", {"UserName": "a/b"}, "ValidationError"),
    ("create_user", {"UserName": "v", "Path": "/" + "x" * 511 + "/"}, "ValidationError"),
    ("create_user", {"UserName": "v", "Path": "/x"}, "ValidationError"),
    ("create_user", {"UserName": "v", "Tags": tags(51)}, "ValidationError"),
    ("create_user", {"UserName": "v", "Tags": [{"Key": "k" * 129, "Value": ""}]}, "ValidationError"),
    ("create_user", {"UserName": "v", "Tags": [{"Key": "k", "Value": "v" * 257}]}, "ValidationError"),
    ("create_user", {"UserName": "v", "Tags": [{"Key": "aws:k", "Value": ""}]}, "InvalidInput"),
    ("create_user", {"UserName": "v", "PermissionsBoundary": "arn:aws:iam::aws:policy/NoSuchPolicy"}, "NoSuchEntity"),
    ("create_user", {"UserName": "v", "PermissionsBoundary": "too-short"}, "ValidationError"),
    ("create_group", {"GroupName": "g" * 129}, "ValidationError"),
    ("create_role", {"RoleName": "v" * 65, "AssumeRolePolicyDocument": ANYBODY}, "ValidationError"),
    ("create_role", {"RoleName": "v", "AssumeRolePolicyDocument": ANYBODY, "Description": "d" * 1001}, "ValidationError"),
    ("create_role", {"RoleName": "v", "AssumeRolePolicyDocument": ANYBODY, "MaxSessionDuration": 3599}, "ValidationError"),
    ("create_role", {"RoleName": "v", "AssumeRolePolicyDocument": ANYBODY, "MaxSessionDuration": 43201}, "ValidationError"),
    ("create_role", {"RoleName": "v", "AssumeRolePolicyDocument": trust({"AWS": "*"}, Sid="a" * 2048)}, "LimitExceeded"),
    ("create_policy", {"PolicyName": "v" * 129, "PolicyDocument": allow("*")}, "ValidationError"),
    ("create_policy", {"PolicyName": "v", "PolicyDocument": sized(6145)}, "LimitExceeded"),
    ("create_policy", {"PolicyName": "v", "PolicyDocument": allow("*") + "x" * 131072}, "ValidationError"),
    ("put_user_policy", {"UserName": "ann", "PolicyName": "q", "PolicyDocument": allow("kms:*")}, "LimitExceeded"),
    ("put_user_policy", {"UserName": "ann", "PolicyName": "p", "PolicyDocument": sized(2049)}, "LimitExceeded"),
    ("put_group_policy", {"GroupName": "g", "PolicyName": "p", "PolicyDocument": sized(5121)}, "LimitExceeded"),
    ("put_role_policy", {"RoleName": "r", "PolicyName": "p", "PolicyDocument": sized(10241)}, "LimitExceeded"),
    ("list_users", {"MaxItems": 0}, "ValidationError"),
    ("list_users", {"MaxItems": 1001}, "ValidationError"),
    ("create_open_id_connect_provider", {"Url": "http://a.test"}, "ValidationError"),
    ("create_open_id_connect_provider", {"Url": "https://b.test", "ThumbprintList": ["0" * 40] * 6}, "InvalidInput"),
    ("create_open_id_connect_provider", {"Url": "https://b.test", "ThumbprintList": ["0" * 39]}, "ValidationError"),
    ("create_open_id_connect_provider", {"Url": "https://b.test", "ClientIDList": ["x" * 256]}, "ValidationError"),
    ("create_open_id_connect_provider", {"Url": "https://b.test", "ClientIDList": [f"c{n}" for n in range(101)]}, "LimitExceeded"),
    ("create_account_alias", {"AccountAlias": "ab"}, "ValidationError"),
    ("create_account_alias", {"AccountAlias": "Upper"}, "ValidationError"),
    ("create_account_alias", {"AccountAlias": "a" * 64}, "ValidationError"),
    ("update_access_key", {"UserName": "ann", "AccessKeyId": "short", "Status": "Active"}, "ValidationError"),
    ("update_access_key", {"UserName": "ann", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Status": "Sleeping"}, "ValidationError"),
    (
        "enable_mfa_device",
        {"UserName": "ann", "SerialNumber": "arn:aws:iam::1:mfa/x", "AuthenticationCode1": "12345", "AuthenticationCode2": "123456"},
        "ValidationError",
    ),
    ("untag_user", {"UserName": "ann", "TagKeys": ["k"] * 51}, "ValidationError"),
    ("attach_user_policy", {"UserName": "ann", "PolicyArn": "arn:aws:iam::aws:policy/NoSuchPolicy"}, "NoSuchEntity"),
    ("simulate_custom_policy", {"PolicyInputList": [allow("*")], "ActionNames": ["no-colon"]}, "InvalidInput"),
]


def test_what_is_taken(account):
    _, iam = account
    for operation, params in TAKEN:
        if params is None:
            params = {"UserName": "ann", "AccessKeyId": iam.create_access_key(UserName="ann")["AccessKey"]["AccessKeyId"], "Status": "Inactive"}
        getattr(iam, operation)(**params)


def test_what_is_refused(account):
    """After test_what_is_taken, which has used up what inline policies may take."""
    _, iam = account
    wrong = []
    for operation, params, code in REFUSED:
        try:
            with refused_as(iam, code):
                getattr(iam, operation)(**params)
        except (AssertionError, pytest.fail.Exception) as e:
            wrong.append(f"{operation} {str(params)[:120]}: {str(e)[:300]}")
    assert not wrong


def test_how_many(account):
    caller, iam = account
    quotas = iam.get_account_summary()["SummaryMap"]
    iam.create_user(UserName="many")
    for n in range(10):
        iam.create_group(GroupName=f"m{n}")
        iam.add_user_to_group(GroupName=f"m{n}", UserName="many")
        arn = iam.create_policy(PolicyName=f"m{n}", PolicyDocument=allow("*"))["Policy"]["Arn"]
        iam.attach_user_policy(UserName="many", PolicyArn=arn)
        assert quotas["GroupsPerUserQuota"] == quotas["AttachedPoliciesPerUserQuota"] == 10
    for n in range(2):
        iam.create_access_key(UserName="many")
    assert quotas["AccessKeysPerUserQuota"] == 2 and quotas["VersionsPerPolicyQuota"] == 5 and quotas["RolesQuota"] == 1000
    iam.tag_user(UserName="many", Tags=tags(50))
    for operation, params in [
        ("add_user_to_group", {"GroupName": "g", "UserName": "many"}),
        ("attach_user_policy", {"UserName": "many", "PolicyArn": ADMINISTRATOR}),
        ("create_access_key", {"UserName": "many"}),
        ("tag_user", {"UserName": "many", "Tags": [{"Key": "one more", "Value": ""}]}),
    ]:
        with refused_as(iam, "LimitExceeded"):
            getattr(iam, operation)(**params)


def test_defaults(account):
    _, iam = account
    role = iam.create_role(RoleName="defaults", AssumeRolePolicyDocument=ANYBODY)["Role"]
    assert role["Path"] == "/" and "Tags" not in role and "PermissionsBoundary" not in role
    assert iam.get_role(RoleName="defaults")["Role"]["MaxSessionDuration"] == 3600
    for n in range(110):
        iam.create_user(UserName=f"n{n}")
    page = iam.list_users()
    assert len(page["Users"]) == 100 and page["IsTruncated"] and page["Marker"]
    assert [u["UserName"] for u in page["Users"]] == sorted(u["UserName"] for u in page["Users"])
    assert "Tags" not in page["Users"][0]
    policy = json.loads(ANYBODY)
    assert iam.get_role(RoleName="defaults")["Role"]["AssumeRolePolicyDocument"] == policy
