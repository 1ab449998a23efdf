"""The story that keyturn is for: a key's name stays, its material changes, and nothing encrypted before is ever lost."""

import datetime
import uuid

from support import DAY, everything, new_key, refused


def test_three_years_of_rotations(caller):
    kms = caller.client()
    meta = new_key(kms, Description="the story")
    key, first = meta["KeyId"], meta["CurrentKeyMaterialId"]
    before = caller.now()
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    after = caller.now()
    status = kms.get_key_rotation_status(KeyId=key)
    assert status["KeyRotationEnabled"] is True
    assert status["RotationPeriodInDays"] == 90
    slack = datetime.timedelta(seconds=1)  # times on the wire are rounded to milliseconds
    assert before + 90 * DAY - slack <= status["NextRotationDate"] <= after + 90 * DAY + slack
    assert "OnDemandRotationStartDate" not in status
    old = kms.encrypt(KeyId=key, Plaintext=b"kept", EncryptionContext={"year": "0"})
    assert old["KeyId"] == meta["Arn"]
    assert "KeyMaterialId" not in old

    caller.advance(3 * 365 * DAY + datetime.timedelta(seconds=1))

    listed = kms.list_key_rotations(KeyId=key)
    rotations = listed["Rotations"]
    assert listed["Truncated"] is False
    dates = sorted(r["RotationDate"] for r in rotations)
    assert len(rotations) == len(set(dates)) == 12
    assert dates == [status["NextRotationDate"] + n * 90 * DAY for n in range(12)]
    assert {r["RotationType"] for r in rotations} == {"AUTOMATIC"}
    assert {r["KeyId"] for r in rotations} == {key}
    materials = {r["KeyMaterialId"] for r in rotations}
    assert len(materials) == 12 and first not in materials
    current = [r for r in rotations if r["KeyMaterialState"] == "CURRENT"]
    assert [r["RotationDate"] for r in current] == [dates[-1]]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] == current[0]["KeyMaterialId"]
    assert kms.get_key_rotation_status(KeyId=key)["NextRotationDate"] == dates[-1] + 90 * DAY

    paged, pages = everything(kms, "list_key_rotations", "Rotations", KeyId=key, PageSize=5)
    assert paged == rotations
    assert pages == [5, 5, 2]
    whole, pages = everything(
        kms, "list_key_rotations", "Rotations", KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL", PageSize=4
    )
    assert pages == [4, 4, 4, 1]
    undated = [r for r in whole if "RotationDate" not in r]
    assert [r["KeyMaterialId"] for r in undated] == [first]
    assert "RotationType" not in undated[0]
    assert [r for r in whole if "RotationDate" in r] == rotations

    opened = kms.decrypt(CiphertextBlob=old["CiphertextBlob"], EncryptionContext={"year": "0"})
    assert opened["Plaintext"] == b"kept"
    assert opened["KeyId"] == meta["Arn"]
    assert opened["KeyMaterialId"] == first
    new = kms.encrypt(KeyId=key, Plaintext=b"now")
    assert kms.decrypt(CiphertextBlob=new["CiphertextBlob"])["KeyMaterialId"] == current[0]["KeyMaterialId"]


def test_rotation_on_demand_does_not_move_the_next_date(caller):
    kms = caller.client()
    meta = new_key(kms)
    key, first = meta["KeyId"], meta["CurrentKeyMaterialId"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=key)
    caller.advance(10 * DAY)
    assert kms.rotate_key_on_demand(KeyId=key)["KeyId"] == meta["Arn"]
    assert kms.get_key_rotation_status(KeyId=key)["NextRotationDate"] == status["NextRotationDate"]
    (rotation,) = kms.list_key_rotations(KeyId=key)["Rotations"]
    assert rotation["RotationType"] == "ON_DEMAND"
    assert rotation["KeyMaterialId"] != first
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] == rotation["KeyMaterialId"]
    caller.advance(80 * DAY + datetime.timedelta(seconds=1))
    automatic = [r for r in kms.list_key_rotations(KeyId=key)["Rotations"] if r["RotationType"] == "AUTOMATIC"]
    assert [r["RotationDate"] for r in automatic] == [status["NextRotationDate"]]


def test_an_alias_moves_to_another_key(caller):
    kms = caller.client()
    one, two = new_key(kms)["Arn"], new_key(kms)["Arn"]
    alias = f"alias/app-{uuid.uuid4()}"
    kms.create_alias(AliasName=alias, TargetKeyId=one)
    old = kms.encrypt(KeyId=alias, Plaintext=b"old")
    assert old["KeyId"] == one
    kms.update_alias(AliasName=alias, TargetKeyId=two)
    new = kms.encrypt(KeyId=caller.arn(alias), Plaintext=b"new")
    assert new["KeyId"] == two
    opened = kms.decrypt(CiphertextBlob=old["CiphertextBlob"])
    assert (opened["Plaintext"], opened["KeyId"]) == (b"old", one)
    opened = kms.decrypt(CiphertextBlob=new["CiphertextBlob"], KeyId=alias)
    assert (opened["Plaintext"], opened["KeyId"]) == (b"new", two)
    with refused("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation."):
        kms.decrypt(CiphertextBlob=old["CiphertextBlob"], KeyId=alias)
    kms.delete_alias(AliasName=alias)
    with refused("NotFoundException", f"Alias {caller.arn(alias)} is not found."):
        kms.describe_key(KeyId=alias)
    assert kms.decrypt(CiphertextBlob=new["CiphertextBlob"])["Plaintext"] == b"new"
