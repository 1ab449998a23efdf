"""STS: sessions of roles and users, and who they are."""

import datetime
import json
import os
import time

import boto3
import botocore
import pytest
from botocore.config import Config

import issuer
from support import allow, new_key, refused_as, totp, trust

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


@pytest.fixture
def user(alone):
    """A user who may do everything that IAM can allow."""
    iam = alone.client("iam")
    iam.create_user(UserName="ann")
    iam.attach_user_policy(UserName="ann", PolicyArn=ADMINISTRATOR)
    return alone.signed_in(iam.create_access_key(UserName="ann")["AccessKey"])


def new_role(alone, policy=None, **params):
    iam = alone.client("iam")
    params.setdefault("AssumeRolePolicyDocument", trust({"AWS": alone.iam_arn("root")}))
    role = iam.create_role(RoleName="worker", Path="/r/", **params)["Role"]
    if policy:
        iam.put_role_policy(RoleName="worker", PolicyName="p", PolicyDocument=policy)
    return role


def lasts(credentials, seconds):
    left = credentials["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    return abs(left - datetime.timedelta(seconds=seconds)) < datetime.timedelta(seconds=60)


def test_assume_role(alone, user):
    role = new_role(alone, allow("kms:*"), MaxSessionDuration=7200)
    answer = user.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="job", DurationSeconds=7200)
    credentials = answer["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA") and lasts(credentials, 7200)
    arn = f"arn:aws:sts::{alone.account}:assumed-role/worker/job"
    assert answer["AssumedRoleUser"] == {"AssumedRoleId": f"{role['RoleId']}:job", "Arn": arn}
    session = alone.signed_in(credentials)
    who = session.client("sts").get_caller_identity()
    assert (who["Arn"], who["UserId"], who["Account"]) == (arn, f"{role['RoleId']}:job", alone.account)
    key = new_key(session.client())["KeyId"]
    blob = session.client().encrypt(KeyId=key, Plaintext=b"kept")["CiphertextBlob"]
    assert session.client().decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"


def test_session_policies_and_tags(alone, user):
    trusted = trust({"AWS": alone.iam_arn("root")}, ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"])
    role = new_role(alone, allow("kms:*"), AssumeRolePolicyDocument=trusted)
    answer = user.client("sts").assume_role(
        RoleArn=role["Arn"], RoleSessionName="job", Policy=allow("kms:CreateKey"), PolicyArns=[{"arn": ADMINISTRATOR}],
        Tags=[{"Key": "team", "Value": "red"}], TransitiveTagKeys=["team"], SourceIdentity="ann",
    )
    assert answer["SourceIdentity"] == "ann" and 0 < answer["PackedPolicySize"] < 100
    session = alone.signed_in(answer["Credentials"]).client("sts").assume_role
    limited = alone.signed_in(user.client("sts").assume_role(
        RoleArn=role["Arn"], RoleSessionName="job", Policy=allow("kms:CreateKey"))["Credentials"])
    key = new_key(limited.client())["KeyId"]
    with pytest.raises(botocore.exceptions.ClientError, match="because no session policy allows the kms:DescribeKey action"):
        limited.client().describe_key(KeyId=key)
    with refused_as(alone.client("sts"), "AccessDenied"):
        session(RoleArn=alone.iam_arn("role/other"), RoleSessionName="job")


def test_refused_sessions(alone, user):
    role = new_role(alone)["Arn"]
    sts = user.client("sts", parameter_validation=False)
    for code, params in [
        ("AccessDenied", {"RoleArn": role.replace("worker", "nobody")}),
        ("ValidationError", {"DurationSeconds": 3601}),
        ("ValidationError", {"DurationSeconds": 899}),
        ("ValidationError", {"RoleSessionName": "no spaces"}),
        ("ValidationError", {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [], "Id": "x" * 2048})}),
        ("ValidationError", {"PolicyArns": [{"arn": ADMINISTRATOR}] * 11}),
        ("MalformedPolicyDocument", {"Policy": "{}x"}),
        ("AccessDenied", {"SerialNumber": alone.iam_arn("mfa/none"), "TokenCode": "123456"}),
    ]:
        with refused_as(sts, code):
            sts.assume_role(**{"RoleArn": role, "RoleSessionName": "job", **params})
    with refused_as(sts, "AccessDenied"):
        alone.client("sts").assume_role(RoleArn=role, RoleSessionName="root")


def test_session_token(alone, user):
    sts = user.client("sts")
    credentials = sts.get_session_token()["Credentials"]
    assert lasts(credentials, 43200)
    session = alone.signed_in(credentials)
    assert session.client("sts").get_caller_identity()["Arn"] == alone.iam_arn("user/ann")
    assert lasts(sts.get_session_token(DurationSeconds=900)["Credentials"], 900)
    assert lasts(alone.client("sts").get_session_token()["Credentials"], 3600)  # the root user's last an hour
    with refused_as(sts, "AccessDenied"):
        session.client("sts").get_session_token()
    with refused_as(sts, "ValidationError"):
        user.client("sts", parameter_validation=False).get_session_token(DurationSeconds=899)
    with refused_as(sts, "AccessDenied"):  # sessions without a second factor may not call IAM
        session.client("iam").list_users()


def test_a_second_factor(alone, user):
    device = user.client("iam").create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]
    serial, seed, step = device["SerialNumber"], device["Base32StringSeed"], int(time.time()) // 30
    user.client("iam").enable_mfa_device(
        UserName="ann", SerialNumber=serial, AuthenticationCode1=totp(seed, step - 2), AuthenticationCode2=totp(seed, step - 1))
    role = new_role(alone, AssumeRolePolicyDocument=trust(
        {"AWS": alone.iam_arn("user/ann")}, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}))["Arn"]
    sts = user.client("sts")
    with refused_as(sts, "AccessDenied"):
        sts.assume_role(RoleArn=role, RoleSessionName="job")
    careful = sts.get_session_token(SerialNumber=serial, TokenCode=totp(seed, step))["Credentials"]
    sts.assume_role(RoleArn=role, RoleSessionName="job", SerialNumber=serial, TokenCode=totp(seed, step + 1))
    session = alone.signed_in(careful)
    session.client("sts").assume_role(RoleArn=role, RoleSessionName="job")
    assert session.client("iam").list_mfa_devices()["MFADevices"][0]["SerialNumber"] == serial


def test_access_key_info(alone, user):
    sts = user.client("sts")
    assert sts.get_access_key_info(AccessKeyId=user.credentials.access_key)["Account"] == alone.account
    session = sts.get_session_token()["Credentials"]["AccessKeyId"]
    assert sts.get_access_key_info(AccessKeyId=session)["Account"] == alone.account
    with refused_as(sts, "ValidationError"):
        sts.get_access_key_info(AccessKeyId="x" * 20)


def unsigned(alone):
    """A client without credentials, as pods have."""
    return alone.client("sts", signature_version=botocore.UNSIGNED)


def test_web_identity(alone):
    token = issuer.token(os.environ["KEYTURN_ISSUER"])
    iam = alone.client("iam")
    provider = iam.create_open_id_connect_provider(Url=f"https://{issuer.HOST}", ClientIDList=["sts.amazonaws.com"])["OpenIDConnectProviderArn"]
    role = new_role(alone, allow("kms:CreateKey"), AssumeRolePolicyDocument=trust(
        {"Federated": provider}, "sts:AssumeRoleWithWebIdentity", Condition={"StringEquals": {f"{issuer.HOST}:sub": "pod"}}))["Arn"]
    sts = unsigned(alone)
    answer = sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="pod-1", WebIdentityToken=token, DurationSeconds=900)
    assert answer["Provider"] == provider and answer["SubjectFromWebIdentityToken"] == "pod" and answer["Audience"] == "sts.amazonaws.com"
    assert lasts(answer["Credentials"], 900)
    new_key(alone.signed_in(answer["Credentials"]).client())

    other = {"RoleArn": role, "RoleSessionName": "pod-1"}
    with refused_as(sts, "AccessDenied"):
        sts.assume_role_with_web_identity(**other, WebIdentityToken=issuer.token(os.environ["KEYTURN_ISSUER"], sub="other"))
    with refused_as(sts, "InvalidIdentityToken"):
        sts.assume_role_with_web_identity(**other, WebIdentityToken=token[:-8] + "AAAAAAAA")
    with refused_as(sts, "ExpiredTokenException"):
        sts.assume_role_with_web_identity(**other, WebIdentityToken=issuer.token(os.environ["KEYTURN_ISSUER"], iat=1, exp=2))


def test_providers_of_boto3(alone, tmp_path, monkeypatch):
    """Profiles with role_arn, and a pod's environment, which boto3 resolves by itself."""
    iam = alone.client("iam")
    iam.create_user(UserName="ann")
    iam.attach_user_policy(UserName="ann", PolicyArn=ADMINISTRATOR)
    access_key = iam.create_access_key(UserName="ann")["AccessKey"]
    role = new_role(alone)["Arn"]
    config = tmp_path / "config"
    config.write_text(
        f"[profile ann]\naws_access_key_id = {access_key['AccessKeyId']}\naws_secret_access_key = {access_key['SecretAccessKey']}\n"
        f"[profile worker]\nrole_arn = {role}\nsource_profile = ann\nrole_session_name = cli\nregion = eu-central-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_ENDPOINT_URL", alone.endpoint)
    who = boto3.session.Session(profile_name="worker").client("sts", config=Config(retries={"total_max_attempts": 1}))
    assert who.get_caller_identity()["Arn"] == f"arn:aws:sts::{alone.account}:assumed-role/worker/cli"

    provider = iam.create_open_id_connect_provider(Url=f"https://{issuer.HOST}", ClientIDList=["sts.amazonaws.com"])["OpenIDConnectProviderArn"]
    iam.update_assume_role_policy(RoleName="worker", PolicyDocument=trust({"Federated": provider}, "sts:AssumeRoleWithWebIdentity"))
    token = tmp_path / "token"
    token.write_text(issuer.token(os.environ["KEYTURN_ISSUER"]))
    monkeypatch.setenv("AWS_ROLE_ARN", role)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "pod")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    who = boto3.session.Session(region_name="eu-central-1").client("sts")
    assert who.get_caller_identity()["Arn"] == f"arn:aws:sts::{alone.account}:assumed-role/worker/pod"
