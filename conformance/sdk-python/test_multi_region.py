"""Multi-Region keys: one key in several regions, each with an endpoint of its own in the eyes of the client."""

import os

import pytest

import independent
import support
from imports import import_material
from support import DAY, OTHER_REGION, REGION, new_key, refused


@pytest.fixture
def other(alone):
    """A client for the other region."""
    return alone.client(region=OTHER_REGION)


@pytest.fixture
def third(alone):
    return alone.client(region="ap-southeast-2")


def replicated(kms, other, **params):
    """Makes a multi-Region key with a replica in the other region; returns the ARNs of both."""
    key = new_key(kms, MultiRegion=True, **params)
    kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion=OTHER_REGION)
    return key["Arn"], other.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Arn"]


def configuration(client, key):
    return client.describe_key(KeyId=key)["KeyMetadata"]["MultiRegionConfiguration"]


def test_replicate(alone, kms, other):
    primary = new_key(kms, MultiRegion=True, Description="the primary")
    assert primary["KeyId"].startswith("mrk-")
    assert primary["MultiRegionConfiguration"] == {
        "MultiRegionKeyType": "PRIMARY",
        "PrimaryKey": {"Arn": primary["Arn"], "Region": REGION},
        "ReplicaKeys": [],
    }
    tags = [{"TagKey": "region", "TagValue": OTHER_REGION}]
    reply = kms.replicate_key(KeyId=primary["Arn"], ReplicaRegion=OTHER_REGION, Description="the replica", Tags=tags)
    replica = reply["ReplicaKeyMetadata"]
    assert replica["Arn"] == alone.arn("key/" + primary["KeyId"], region=OTHER_REGION)
    assert (replica["KeyId"], replica["Description"]) == (primary["KeyId"], "the replica")
    assert replica["CurrentKeyMaterialId"] == primary["CurrentKeyMaterialId"]
    assert (reply["ReplicaTags"], other.list_resource_tags(KeyId=replica["Arn"])["Tags"]) == (tags, tags)
    assert reply["ReplicaPolicy"] == other.get_key_policy(KeyId=replica["Arn"])["Policy"]
    both = {
        "PrimaryKey": {"Arn": primary["Arn"], "Region": REGION},
        "ReplicaKeys": [{"Arn": replica["Arn"], "Region": OTHER_REGION}],
    }
    assert configuration(kms, primary["Arn"]) == {"MultiRegionKeyType": "PRIMARY", **both}
    assert configuration(other, replica["Arn"]) == {"MultiRegionKeyType": "REPLICA", **both}
    assert kms.describe_key(KeyId=primary["Arn"])["KeyMetadata"]["Description"] == "the primary"
    assert [k["KeyArn"] for k in other.list_keys()["Keys"]] == [replica["Arn"]]


def test_what_one_region_encrypts_the_other_decrypts(kms, other):
    primary, replica = replicated(kms, other)
    for sealer, opener, there in ((kms, other, replica), (other, kms, primary)):
        blob = sealer.encrypt(KeyId=primary.rpartition("/")[2], Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
        opened = opener.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})
        assert (opened["Plaintext"], opened["KeyId"]) == (b"x", there)


def test_a_single_region_key_stays_where_it_is(kms, other, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    with refused("AccessDeniedException", support.FOREIGN_CIPHERTEXT, modelled=False):
        other.decrypt(CiphertextBlob=blob)
    with refused("UnsupportedOperationException"):
        kms.replicate_key(KeyId=key, ReplicaRegion=OTHER_REGION)


@pytest.mark.parametrize(
    ("spec", "usage", "algorithm"),
    [
        ("ECC_NIST_P256", "SIGN_VERIFY", "ECDSA_SHA_256"),
        ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY", "ED25519_SHA_512"),
        ("ML_DSA_44", "SIGN_VERIFY", "ML_DSA_SHAKE_256"),
    ],
)
def test_signatures_of_all_regions(kms, other, spec, usage, algorithm):
    primary, replica = replicated(kms, other, KeySpec=spec, KeyUsage=usage)
    public = kms.get_public_key(KeyId=primary)["PublicKey"]
    assert other.get_public_key(KeyId=replica)["PublicKey"] == public
    signature = other.sign(KeyId=replica, SigningAlgorithm=algorithm, Message=b"m")["Signature"]
    assert independent.verifies(spec, algorithm, public, b"m", signature)
    assert kms.verify(KeyId=primary, SigningAlgorithm=algorithm, Message=b"m", Signature=signature)["SignatureValid"]


def test_macs_of_all_regions(kms, other):
    primary, replica = replicated(kms, other, KeySpec="HMAC_512", KeyUsage="GENERATE_VERIFY_MAC")
    mac = kms.generate_mac(KeyId=primary, MacAlgorithm="HMAC_SHA_512", Message=b"m")["Mac"]
    assert other.verify_mac(KeyId=replica, MacAlgorithm="HMAC_SHA_512", Message=b"m", Mac=mac)["MacValid"]


def test_rotation_is_the_primarys_and_all_follow(alone, kms, other):
    primary, replica = replicated(kms, other)
    for call in (other.enable_key_rotation, other.disable_key_rotation, other.rotate_key_on_demand):
        with refused("UnsupportedOperationException"):
            call(KeyId=replica)
    old = other.encrypt(KeyId=replica, Plaintext=b"old")["CiphertextBlob"]
    kms.enable_key_rotation(KeyId=primary, RotationPeriodInDays=90)
    status = [c.get_key_rotation_status(KeyId=k) for c, k in ((kms, primary), (other, replica))]
    assert {s["NextRotationDate"] for s in status} == {status[0]["NextRotationDate"]}
    alone.advance(91 * DAY)
    kms.rotate_key_on_demand(KeyId=primary)
    lists = [c.list_key_rotations(KeyId=k)["Rotations"] for c, k in ((kms, primary), (other, replica))]
    assert [r["RotationType"] for r in lists[0]] == ["AUTOMATIC", "ON_DEMAND"]
    assert lists[0] == lists[1]
    assert len({c.describe_key(KeyId=k)["KeyMetadata"]["CurrentKeyMaterialId"] for c, k in ((kms, primary), (other, replica))}) == 1
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    young = kms.encrypt(KeyId=primary, Plaintext=b"young")["CiphertextBlob"]
    assert other.decrypt(CiphertextBlob=young)["Plaintext"] == b"young"


def test_the_primary_moves(kms, other, third):
    primary, replica = replicated(kms, other)
    with refused("UnsupportedOperationException"):
        other.update_primary_region(KeyId=replica, PrimaryRegion=REGION)
    kms.update_primary_region(KeyId=primary, PrimaryRegion=OTHER_REGION)
    want = {
        "PrimaryKey": {"Arn": replica, "Region": OTHER_REGION},
        "ReplicaKeys": [{"Arn": primary, "Region": REGION}],
    }
    assert configuration(kms, primary) == {"MultiRegionKeyType": "REPLICA", **want}
    assert configuration(other, replica) == {"MultiRegionKeyType": "PRIMARY", **want}
    with refused("UnsupportedOperationException"):
        kms.replicate_key(KeyId=primary, ReplicaRegion="ap-southeast-2")
    other.replicate_key(KeyId=replica, ReplicaRegion="ap-southeast-2")
    regions = [k["Region"] for k in configuration(third, replica.rpartition("/")[2])["ReplicaKeys"]]
    assert sorted(regions) == ["ap-southeast-2", REGION]


def test_each_region_has_what_is_its_own(kms, other):
    primary, replica = replicated(kms, other)
    other.disable_key(KeyId=replica)
    other.update_key_description(KeyId=replica, Description="here only")
    other.create_alias(AliasName="alias/mine", TargetKeyId=replica)
    meta = kms.describe_key(KeyId=primary)["KeyMetadata"]
    assert (meta["KeyState"], meta["Description"], kms.list_aliases()["Aliases"]) == ("Enabled", "", [])
    with refused("DisabledException", f"{replica} is disabled."):
        other.encrypt(KeyId=replica, Plaintext=b"x")


def test_a_primary_is_deleted_after_its_replicas(alone, kms, other):
    primary, replica = replicated(kms, other)
    scheduled = kms.schedule_key_deletion(KeyId=primary, PendingWindowInDays=7)
    assert scheduled["KeyState"] == "PendingReplicaDeletion"
    assert "DeletionDate" not in scheduled
    alone.advance(30 * DAY)
    meta = kms.describe_key(KeyId=primary)["KeyMetadata"]
    assert (meta["KeyState"], meta["PendingDeletionWindowInDays"]) == ("PendingReplicaDeletion", 7)
    assert other.schedule_key_deletion(KeyId=replica, PendingWindowInDays=7)["KeyState"] == "PendingDeletion"
    alone.advance(8 * DAY)
    with refused("NotFoundException"):
        other.describe_key(KeyId=replica)
    assert kms.describe_key(KeyId=primary)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    alone.advance(8 * DAY)
    with refused("NotFoundException"):
        kms.describe_key(KeyId=primary)


def test_regions_that_cannot_be(kms):
    key = new_key(kms, MultiRegion=True)["Arn"]
    with refused("AlreadyExistsException"):
        kms.replicate_key(KeyId=key, ReplicaRegion=REGION)
    for region in ("cn-north-1", "us-nowhere-1"):  # another partition; nowhere
        with refused("ValidationException", modelled=False):
            kms.replicate_key(KeyId=key, ReplicaRegion=region)
    assert configuration(kms, key)["ReplicaKeys"] == []


def test_imported_material_in_every_region(kms, other):
    def states():
        listed = [c.list_key_rotations(KeyId=k, IncludeKeyMaterial="ALL_KEY_MATERIAL") for c, k in ((kms, primary), (other, replica))]
        return [[(r["KeyMaterialState"], r["ImportState"]) for r in of_one["Rotations"]] for of_one in listed]

    key = new_key(kms, MultiRegion=True, Origin="EXTERNAL")
    primary, first, second = key["Arn"], os.urandom(32), os.urandom(32)
    one = import_material(kms, primary, first)["KeyMaterialId"]
    replica = kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER_REGION)["ReplicaKeyMetadata"]["Arn"]
    assert other.describe_key(KeyId=replica)["KeyMetadata"]["KeyState"] == "PendingImport"
    with refused("IncorrectKeyMaterialException"):
        import_material(other, replica, second)
    assert import_material(other, replica, first)["KeyMaterialId"] == one
    blob = kms.encrypt(KeyId=primary, Plaintext=b"x")["CiphertextBlob"]
    assert other.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == one

    with refused("UnsupportedOperationException"):  # new material comes into the primary first
        import_material(other, replica, second, ImportType="NEW_KEY_MATERIAL")
    two = import_material(kms, primary, second, ImportType="NEW_KEY_MATERIAL")["KeyMaterialId"]
    waiting = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
    assert states() == [[("CURRENT", "IMPORTED"), (waiting, "IMPORTED")], [("CURRENT", "IMPORTED"), (waiting, "PENDING_IMPORT")]]
    with refused("KMSInvalidStateException"):
        kms.rotate_key_on_demand(KeyId=primary)
    import_material(other, replica, second, ImportType="EXISTING_KEY_MATERIAL", KeyMaterialId=two)
    assert states() == [[("CURRENT", "IMPORTED"), ("PENDING_ROTATION", "IMPORTED")]] * 2
    kms.rotate_key_on_demand(KeyId=primary)
    assert states() == [[("NON_CURRENT", "IMPORTED"), ("CURRENT", "IMPORTED")]] * 2
    assert kms.decrypt(CiphertextBlob=other.encrypt(KeyId=replica, Plaintext=b"y")["CiphertextBlob"])["KeyMaterialId"] == two
