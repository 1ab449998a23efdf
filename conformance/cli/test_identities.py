"""Who may, told with the AWS CLI: users, groups and roles are made, denied, told why, allowed, and stopped again. The access keys and sessions
that it makes are verified by the trusting server, too."""

import base64
import json
import os
import subprocess
import time

import pytest

from awscli_command import Refused
from support import allow, totp, trust


def refused(code, call):
    with pytest.raises(Refused) as e:
        call()
    assert f"({code})" in e.value.stderr, e.value.stderr
    return e.value.stderr


def test_the_story_of_who_may(aws, tmp_path):
    account = aws.caller.account
    key = aws.kms("create-key", "--description", "who may")["KeyMetadata"]["Arn"]

    # A user in a group, and a role that the user may assume.
    user = aws.iam("create-user", "--user-name", "ann", "--path", "/team/", "--tags", "Key=team,Value=red")["User"]
    assert user["Arn"] == f"arn:aws:iam::{account}:user/team/ann"
    aws.iam("create-group", "--group-name", "operators")
    aws.iam("add-user-to-group", "--group-name", "operators", "--user-name", "ann")
    policy = aws.iam("create-policy", "--policy-name", "describe", "--policy-document", allow("kms:Describe*"))["Policy"]["Arn"]
    aws.iam("attach-group-policy", "--group-name", "operators", "--policy-arn", policy)
    access_key = aws.iam("create-access-key", "--user-name", "ann")["AccessKey"]
    ann = aws.signed_in(access_key)
    assert ann.sts("get-caller-identity")["Arn"] == user["Arn"]
    role = aws.iam("create-role", "--role-name", "decrypter", "--assume-role-policy-document", trust({"AWS": user["Arn"]}))["Role"]["Arn"]

    # What the group allows, and what nobody does: the answer says why.
    assert ann.kms("describe-key", "--key-id", key)["KeyMetadata"]["Arn"] == key
    why = refused("AccessDeniedException", lambda: ann.kms("encrypt", "--key-id", key, "--plaintext", "kept"))
    assert f"User: {user['Arn']} is not authorized to perform: kms:Encrypt on resource: {key}" in why
    assert "because no identity-based policy allows the kms:Encrypt action" in why
    answer = aws.iam("simulate-principal-policy", "--policy-source-arn", user["Arn"], "--action-names", "kms:Encrypt", "kms:DescribeKey", "--resource-arns", key)
    assert {r["EvalActionName"]: r["EvalDecision"] for r in answer["EvaluationResults"]} == {"kms:Encrypt": "implicitDeny", "kms:DescribeKey": "allowed"}
    explained = subprocess.run(
        [os.environ["KEYTURN_PROGRAM"], "explain", key, "--principal", user["Arn"], "--action", "kms:Encrypt", "--endpoint", aws.caller.endpoint,
         "--region", os.environ["AWS_REGION"]],
        env={**os.environ, "AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": "anything"}, capture_output=True, text=True, timeout=60,
    )
    assert "no identity-based policy allows" in explained.stdout, explained

    # A role gives what it gives, and no more.
    session = ann.sts("assume-role", "--role-arn", role, "--role-session-name", "story")
    assert session["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{account}:assumed-role/decrypter/story"
    assumed = ann.signed_in(session["Credentials"])
    refused("AccessDeniedException", lambda: assumed.kms("encrypt", "--key-id", key, "--plaintext", "kept"))
    aws.iam("put-role-policy", "--role-name", "decrypter", "--policy-name", "inline", "--policy-document", allow("kms:Encrypt", key))
    sealed = assumed.kms("encrypt", "--key-id", key, "--plaintext", "kept")
    blob = tmp_path / "blob"
    blob.write_bytes(base64.b64decode(sealed["CiphertextBlob"]))
    refused("AccessDeniedException", lambda: assumed.kms("decrypt", "--ciphertext-blob", f"fileb://{blob}"))

    # A grant allows it, until it is retired.
    grant = aws.kms("create-grant", "--key-id", key, "--grantee-principal", role, "--retiring-principal", user["Arn"], "--operations", "Decrypt")
    opened = assumed.kms("decrypt", "--ciphertext-blob", f"fileb://{blob}", "--grant-tokens", grant["GrantToken"])
    assert base64.b64decode(opened["Plaintext"]) == b"kept"
    ann.kms("retire-grant", "--key-id", key, "--grant-id", grant["GrantId"])
    refused("AccessDeniedException", lambda: assumed.kms("decrypt", "--ciphertext-blob", f"fileb://{blob}"))

    # Each of these takes effect with the very next call.
    aws.iam("detach-group-policy", "--group-name", "operators", "--policy-arn", policy)
    refused("AccessDeniedException", lambda: ann.kms("describe-key", "--key-id", key))
    refused("DeleteConflict", lambda: aws.iam("delete-user", "--user-name", "ann"))
    aws.iam("update-access-key", "--user-name", "ann", "--access-key-id", access_key["AccessKeyId"], "--status", "Inactive")
    refused("UnrecognizedClientException", lambda: ann.kms("describe-key", "--key-id", key))
    aws.iam("delete-role-policy", "--role-name", "decrypter", "--policy-name", "inline")
    aws.iam("delete-role", "--role-name", "decrypter")
    refused("UnrecognizedClientException", lambda: assumed.kms("encrypt", "--key-id", key, "--plaintext", "kept"))

    # What was made can be cleaned up.
    aws.iam("delete-access-key", "--user-name", "ann", "--access-key-id", access_key["AccessKeyId"])
    aws.iam("remove-user-from-group", "--group-name", "operators", "--user-name", "ann")
    aws.iam("delete-user", "--user-name", "ann")
    aws.iam("delete-group", "--group-name", "operators")
    aws.iam("delete-policy", "--policy-arn", policy)
    assert aws.iam("list-users")["Users"] == []


def test_a_second_factor_for_deletion(aws, tmp_path):
    """A key policy that denies deletion without a second factor, as guides have it."""
    account = aws.caller.account
    aws.iam("create-user", "--user-name", "ben")
    aws.iam("attach-user-policy", "--user-name", "ben", "--policy-arn", "arn:aws:iam::aws:policy/AdministratorAccess")
    ben = aws.signed_in(aws.iam("create-access-key", "--user-name", "ben")["AccessKey"])
    policy = json.dumps({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Deny", "Principal": "*", "Action": "kms:ScheduleKeyDeletion", "Resource": "*",
             "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}},
        ],
    })
    key = aws.kms("create-key", "--policy", policy)["KeyMetadata"]["Arn"]
    why = refused("AccessDeniedException", lambda: ben.kms("schedule-key-deletion", "--key-id", key))
    assert "with an explicit deny in a resource-based policy" in why

    seed = tmp_path / "seed"
    serial = ben.iam("create-virtual-mfa-device", "--virtual-mfa-device-name", "bens-phone", "--outfile", str(seed),
                     "--bootstrap-method", "Base32StringSeed")["VirtualMFADevice"]["SerialNumber"]
    assert serial == f"arn:aws:iam::{account}:mfa/bens-phone"
    secret, step = seed.read_text().strip(), int(time.time()) // 30
    ben.iam("enable-mfa-device", "--user-name", "ben", "--serial-number", serial,
            "--authentication-code1", totp(secret, step - 1), "--authentication-code2", totp(secret, step))
    plain = ben.signed_in(ben.sts("get-session-token")["Credentials"])
    refused("AccessDeniedException", lambda: plain.kms("schedule-key-deletion", "--key-id", key))
    code = totp(secret, step + 1)
    session = ben.sts("get-session-token", "--serial-number", serial, "--token-code", code)
    refused("AccessDenied", lambda: ben.sts("get-session-token", "--serial-number", serial, "--token-code", code))
    careful = ben.signed_in(session["Credentials"])
    assert careful.kms("schedule-key-deletion", "--key-id", key)["KeyState"] == "PendingDeletion"
    assert careful.iam("list-mfa-devices")["MFADevices"][0]["SerialNumber"] == serial
