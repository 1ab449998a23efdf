"""What a key was last used for, and how much with which material. The server writes it down every two seconds."""

import time

import pytest

from support import NO_SUCH_KEY, refused


def eventually(look, done):
    """Looks until done, 20 seconds at most, and returns what was seen last."""
    for _ in range(100):
        seen = look()
        if done(seen):
            break
        time.sleep(0.2)
    return seen


def test_last_usage(kms, key):
    unused = kms.get_key_last_usage(KeyId=key)
    assert unused["KeyLastUsage"] == {}
    assert unused["KeyId"] == key
    assert unused["KeyCreationDate"] == kms.describe_key(KeyId=key)["KeyMetadata"]["CreationDate"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    reply = kms.decrypt(CiphertextBlob=blob)

    def look():
        return kms.get_key_last_usage(KeyId=key).get("KeyLastUsage", {})

    last = eventually(look, lambda u: u.get("Operation") == "Decrypt")
    assert last["Operation"] == "Decrypt"
    assert last["KmsRequestId"] == reply["ResponseMetadata"]["RequestId"]
    assert last["CloudTrailEventId"]
    assert last["Timestamp"] >= unused["KeyCreationDate"]


def test_material_usage(alone, kms, key):
    old = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"12345")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key)
    new = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    for _ in range(3):
        kms.decrypt(CiphertextBlob=blob)

    def look():
        status, body = alone.post("Keyturn.GetKeyMaterialUsage", {"KeyId": key})
        assert status == 200, body
        members = ("KeyMaterialId", "Current", "EncryptionCount", "EncryptedBytes", "DecryptionCount")
        return [tuple(material[m] for m in members) for material in body["Materials"]]

    want = [(old, False, 1, 5, 3), (new, True, 1, 32, 0)]
    assert eventually(look, lambda seen: seen == want) == want


@pytest.mark.parametrize("name", [NO_SUCH_KEY, "alias/none"])
def test_material_usage_of_nothing(alone, name):
    status, body = alone.post("Keyturn.GetKeyMaterialUsage", {"KeyId": name})
    assert (status, body["__type"]) == (400, "NotFoundException")


def test_last_usage_of_nothing(kms):
    with refused("NotFoundException"):
        kms.get_key_last_usage(KeyId=NO_SUCH_KEY)
