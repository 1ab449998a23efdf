"""Keys and what hangs on them: states, tags, descriptions, policies, aliases, lists."""

import datetime
import json

import pytest

from support import DAY, FOREIGN_CIPHERTEXT, NO_SUCH_KEY, everything, new_key, refused


def test_create_and_describe(alone, kms):
    meta = new_key(kms, Description="for tests", Tags=[{"TagKey": "team", "TagValue": "blue"}])
    assert meta["Arn"] == alone.arn("key/" + meta["KeyId"])
    assert meta["AWSAccountId"] == alone.account
    assert abs(meta["CreationDate"] - alone.now()) < datetime.timedelta(minutes=1)
    want = {
        "Enabled": True,
        "Description": "for tests",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }
    assert {k: meta[k] for k in want} == want
    assert len(meta["CurrentKeyMaterialId"]) == 64
    assert "DeletionDate" not in meta
    for name in (meta["KeyId"], meta["Arn"]):
        assert kms.describe_key(KeyId=name)["KeyMetadata"] == meta


def test_a_key_lives_in_its_region(alone, kms):
    meta = new_key(kms)
    elsewhere = alone.client(region="us-east-1")
    with refused("NotFoundException", "Invalid arn eu-central-1"):
        elsewhere.describe_key(KeyId=meta["Arn"])
    missing = alone.arn("key/" + meta["KeyId"], region="us-east-1")
    with refused("NotFoundException", f"Key '{missing}' does not exist"):
        elsewhere.describe_key(KeyId=meta["KeyId"])
    assert elsewhere.list_keys()["Keys"] == []
    assert new_key(elsewhere)["Arn"].startswith("arn:aws:kms:us-east-1:")


def test_description(kms, key):
    kms.update_key_description(KeyId=key, Description="Schlüssel für alles")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "Schlüssel für alles"


def test_tags(kms, key):
    def tags():
        found, _ = everything(kms, "list_resource_tags", "Tags", KeyId=key)
        return {t["TagKey"]: t["TagValue"] for t in found}

    assert tags() == {}
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": f"t{n}", "TagValue": str(n)} for n in range(7)])
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "t0", "TagValue": "changed"}, {"TagKey": "empty", "TagValue": ""}])
    assert tags() == {"t0": "changed", **{f"t{n}": str(n) for n in range(1, 7)}, "empty": ""}
    paged, pages = everything(kms, "list_resource_tags", "Tags", KeyId=key, PageSize=3)
    assert pages == [3, 3, 2]
    assert len({t["TagKey"] for t in paged}) == 8
    kms.untag_resource(KeyId=key, TagKeys=["t0", "t1", "empty", "not there"])
    assert sorted(tags()) == ["t2", "t3", "t4", "t5", "t6"]


def test_tag_limits(kms, key):
    with refused("TagException", "Duplicate tag keys"):
        kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}])
    with refused("TagException", "Tags beginning with aws: are reserved"):
        kms.tag_resource(KeyId=key, Tags=[{"TagKey": "aws:mine", "TagValue": ""}])
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": f"t{n}", "TagValue": ""} for n in range(50)])
    with refused("TagException", "Too many tags"):
        kms.tag_resource(KeyId=key, Tags=[{"TagKey": "one more", "TagValue": ""}])


def test_policy(alone, kms, key):
    default = kms.get_key_policy(KeyId=key, PolicyName="default")
    assert default["PolicyName"] == "default"
    assert json.loads(default["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{alone.account}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
    changed = json.loads(default["Policy"])
    changed["Id"] = "mine"
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(changed))
    assert json.loads(kms.get_key_policy(KeyId=key)["Policy"]) == changed
    assert kms.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]
    with refused("NotFoundException", "No such policy exists"):
        kms.get_key_policy(KeyId=key, PolicyName="other")
    for broken in ("{", "[]", '{"Version":"2012-10-17"}'):
        with refused("MalformedPolicyDocumentException"):
            kms.put_key_policy(KeyId=key, PolicyName="default", Policy=broken)
    assert json.loads(kms.get_key_policy(KeyId=key)["Policy"]) == changed


def test_list_keys(kms):
    arns = {new_key(kms)["Arn"] for _ in range(7)}
    listed, pages = everything(kms, "list_keys", "Keys", PageSize=2)
    assert pages == [2, 2, 2, 1]
    assert len(listed) == 7
    assert {k["KeyArn"] for k in listed} == arns
    assert all(k["KeyArn"].endswith("key/" + k["KeyId"]) for k in listed)
    assert kms.list_keys()["Truncated"] is False


def test_aliases(alone, kms):
    one, two = new_key(kms), new_key(kms)
    for n in range(5):
        kms.create_alias(AliasName=f"alias/one/{n}", TargetKeyId=one["KeyId"])
    kms.create_alias(AliasName="alias/two", TargetKeyId=two["Arn"])
    listed, pages = everything(kms, "list_aliases", "Aliases", PageSize=2)
    assert pages == [2, 2, 2]
    assert {a["AliasName"] for a in listed} == {f"alias/one/{n}" for n in range(5)} | {"alias/two"}
    assert all(a["AliasArn"] == alone.arn(a["AliasName"]) for a in listed)
    assert all(a["CreationDate"] and a["LastUpdatedDate"] for a in listed)
    of_one, pages = everything(kms, "list_aliases", "Aliases", KeyId=one["Arn"], PageSize=2)
    assert pages == [2, 2, 1]
    assert {a["TargetKeyId"] for a in of_one} == {one["KeyId"]}
    for name in ("alias/two", alone.arn("alias/two")):
        assert kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"] == two["Arn"]


def test_alias_errors(alone, kms, key):
    kms.create_alias(AliasName="alias/taken", TargetKeyId=key)
    taken = alone.arn("alias/taken")
    with refused("AlreadyExistsException", f"An alias with the name {taken} already exists"):
        kms.create_alias(AliasName="alias/taken", TargetKeyId=new_key(kms)["KeyId"])
    with refused("InvalidAliasNameException"):
        kms.create_alias(AliasName="alias/aws/mine", TargetKeyId=key)
    for call in (kms.delete_alias, lambda AliasName: kms.update_alias(AliasName=AliasName, TargetKeyId=key)):
        with refused("NotFoundException", f"Alias {alone.arn('alias/none')} is not found."):
            call(AliasName="alias/none")
    with refused("NotFoundException", f"Key '{alone.arn('key/' + NO_SUCH_KEY)}' does not exist"):
        kms.create_alias(AliasName="alias/free", TargetKeyId=NO_SUCH_KEY)
    for n in range(49):
        kms.create_alias(AliasName=f"alias/n{n}", TargetKeyId=key)
    with refused("LimitExceededException"):
        kms.create_alias(AliasName="alias/n49", TargetKeyId=key)


def test_aws_managed_key(alone, kms):
    assert kms.list_aliases()["Aliases"] == []
    meta = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (meta["KeyManager"], meta["KeyState"]) == ("AWS", "Enabled")
    assert kms.describe_key(KeyId=alone.arn("alias/aws/s3"))["KeyMetadata"]["Arn"] == meta["Arn"]
    (alias,) = kms.list_aliases()["Aliases"]
    assert (alias["AliasName"], alias["TargetKeyId"]) == ("alias/aws/s3", meta["KeyId"])
    blob = kms.encrypt(KeyId="alias/aws/ebs", Plaintext=b"x")
    assert blob["KeyId"] != meta["Arn"]
    assert kms.decrypt(CiphertextBlob=blob["CiphertextBlob"])["KeyId"] == blob["KeyId"]
    with refused("NotFoundException", f"Alias {alone.arn('alias/aws/nothing')} is not found."):
        kms.describe_key(KeyId="alias/aws/nothing")
    for call in (kms.schedule_key_deletion, kms.disable_key):
        with refused("AccessDeniedException", modelled=False):
            call(KeyId=meta["Arn"])


def test_disable_and_enable(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    meta = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (meta["KeyState"], meta["Enabled"]) == ("Disabled", False)
    for call in uses(kms, key, blob):
        with refused("DisabledException", f"{key} is disabled."):
            call()
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def uses(kms, key, blob):
    return [
        lambda: kms.encrypt(KeyId=key, Plaintext=b"x"),
        lambda: kms.decrypt(CiphertextBlob=blob),
        lambda: kms.generate_data_key(KeyId=key, KeySpec="AES_256"),
        lambda: kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256"),
        lambda: kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key),
    ]


def test_deletion_can_be_cancelled(alone, kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    scheduled = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert scheduled["KeyId"] == key
    assert (scheduled["KeyState"], scheduled["PendingWindowInDays"]) == ("PendingDeletion", 7)
    assert abs(scheduled["DeletionDate"] - alone.now() - 7 * DAY) < datetime.timedelta(minutes=1)
    meta = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (meta["KeyState"], meta["Enabled"]) == ("PendingDeletion", False)
    assert meta["DeletionDate"] == scheduled["DeletionDate"]
    changes = [
        lambda: kms.enable_key(KeyId=key),
        lambda: kms.disable_key(KeyId=key),
        lambda: kms.update_key_description(KeyId=key, Description="x"),
        lambda: kms.schedule_key_deletion(KeyId=key),
    ]
    for call in uses(kms, key, blob) + changes:
        with refused("KMSInvalidStateException", f"{key} is pending deletion."):
            call()
    alone.advance(7 * DAY - datetime.timedelta(hours=1))
    assert kms.cancel_key_deletion(KeyId=key)["KeyId"] == key
    meta = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert meta["KeyState"] == "Disabled"
    assert "DeletionDate" not in meta
    with refused("KMSInvalidStateException", f"{key} is not pending deletion."):
        kms.cancel_key_deletion(KeyId=key)
    alone.advance(8 * DAY)
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


@pytest.mark.parametrize(("window", "params"), [(7, {"PendingWindowInDays": 7}), (30, {})])
def test_deletion_happens(alone, kms, key, window, params):
    kms.create_alias(AliasName="alias/doomed", TargetKeyId=key)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert kms.schedule_key_deletion(KeyId=key, **params)["PendingWindowInDays"] == window
    alone.advance((window - 1) * DAY)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    alone.advance(2 * DAY)
    for call in (kms.describe_key, kms.cancel_key_deletion, kms.get_key_rotation_status):
        with refused("NotFoundException", f"Key '{key}' does not exist"):
            call(KeyId=key)
    with refused("NotFoundException", f"Alias {alone.arn('alias/doomed')} is not found."):
        kms.describe_key(KeyId="alias/doomed")
    with refused("AccessDeniedException", FOREIGN_CIPHERTEXT, modelled=False):
        kms.decrypt(CiphertextBlob=blob)
    assert kms.list_keys()["Keys"] == []
    kms.create_alias(AliasName="alias/doomed", TargetKeyId=new_key(kms)["KeyId"])  # the name is free again
