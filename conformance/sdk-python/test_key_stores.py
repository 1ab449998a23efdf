"""External key stores: keys whose use needs a proxy, here xks_proxy.py."""

import json
import os
import pathlib
import time

import pytest

from support import DAY, new_key, refused

FOLDER = pathlib.Path(os.environ["KEYTURN_PROXY"])
PROXY = json.loads((FOLDER / "proxy.json").read_text())
CREDENTIAL = PROXY["XksProxyAuthenticationCredential"]

REJECTED = (
    "The external key store proxy rejected the request because the specified ciphertext or additional authenticated data "
    "is corrupted, missing, or otherwise invalid."
)


def described(kms, store):
    (entry,) = kms.describe_custom_key_stores(CustomKeyStoreId=store)["CustomKeyStores"]
    return entry


def connect(kms, store):
    """Connects a custom key store, and waits until it is. Returns its last state."""
    kms.connect_custom_key_store(CustomKeyStoreId=store)
    for _ in range(100):
        entry = described(kms, store)
        if entry["ConnectionState"] not in ("CONNECTING", "DISCONNECTED"):
            break
        time.sleep(0.1)
    return entry


@pytest.fixture
def store(kms):
    return kms.create_custom_key_store(CustomKeyStoreName="mine", **PROXY)["CustomKeyStoreId"]


@pytest.fixture
def connected(kms, store):
    assert connect(kms, store)["ConnectionState"] == "CONNECTED"
    return store


def external_key(kms, store, name="key-1", **params):
    return new_key(kms, Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=store, XksKeyId=name, **params)


def test_create_and_describe(kms, store):
    entry = described(kms, store)
    assert entry.pop("CreationDate")
    assert entry == {
        "CustomKeyStoreId": store,
        "CustomKeyStoreName": "mine",
        "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
        "ConnectionState": "DISCONNECTED",
        "XksProxyConfiguration": {
            "Connectivity": "PUBLIC_ENDPOINT",
            "AccessKeyId": CREDENTIAL["AccessKeyId"],
            "UriEndpoint": PROXY["XksProxyUriEndpoint"],
            "UriPath": PROXY["XksProxyUriPath"],
        },
    }
    assert kms.describe_custom_key_stores(CustomKeyStoreName="mine")["CustomKeyStores"][0]["CustomKeyStoreId"] == store
    with refused("CustomKeyStoreNotFoundException"):
        kms.describe_custom_key_stores(CustomKeyStoreName="other")


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("CustomKeyStoreNameInUseException", {"XksProxyUriPath": "/other/kms/xks/v1"}),
        ("XksProxyUriInUseException", {"CustomKeyStoreName": "other"}),
        ("XksProxyUriUnreachableException", {"CustomKeyStoreName": "other", "XksProxyUriEndpoint": "https://127.0.0.1"}),
        ("XksProxyInvalidConfigurationException", {"CustomKeyStoreName": "other", "XksProxyUriPath": "/other/kms/xks/v1"}),
        ("ValidationException", {"CustomKeyStoreName": "other", "CloudHsmClusterId": "cluster-2a3b4cdefgh"}),
    ],
)
def test_stores_that_cannot_be(kms, store, code, change):
    with refused(code, modelled=code != "ValidationException"):
        kms.create_custom_key_store(**{"CustomKeyStoreName": "mine", **PROXY, **change})


def test_a_wrong_credential(kms):
    wrong = {**CREDENTIAL, "RawSecretAccessKey": CREDENTIAL["RawSecretAccessKey"][::-1]}
    with refused("XksProxyIncorrectAuthenticationCredentialException"):
        kms.create_custom_key_store(CustomKeyStoreName="x", **{**PROXY, "XksProxyAuthenticationCredential": wrong})


def test_a_key_of_a_proxy(kms, connected):
    meta = external_key(kms, connected)
    assert (meta["Origin"], meta["CustomKeyStoreId"], meta["KeyState"]) == ("EXTERNAL_KEY_STORE", connected, "Enabled")
    assert meta["XksKeyConfiguration"] == {"Id": "key-1"}
    assert "CurrentKeyMaterialId" not in meta
    key, context = meta["Arn"], {"a": "b"}
    for plaintext in (b"not for the proxy to see", os.urandom(4096)):
        sealed = kms.encrypt(KeyId=key, Plaintext=plaintext, EncryptionContext=context)
        opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context)
        assert (opened["Plaintext"], opened["KeyId"]) == (plaintext, key)
        assert plaintext not in (FOLDER / "seen").read_bytes()
        assert plaintext not in sealed["CiphertextBlob"]
        with refused("KMSInvalidStateException", REJECTED):  # it is the proxy that notices
            kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"a": "c"})
        altered = sealed["CiphertextBlob"][:-1] + bytes([sealed["CiphertextBlob"][-1] ^ 1])
        with refused("InvalidCiphertextException", ""):
            kms.decrypt(CiphertextBlob=altered, EncryptionContext=context)
    made = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    hidden = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=24)
    assert len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"])["Plaintext"]) == 24
    inside = new_key(kms)["Arn"]
    moved = kms.re_encrypt(CiphertextBlob=made["CiphertextBlob"], DestinationKeyId=inside)
    back = kms.re_encrypt(CiphertextBlob=moved["CiphertextBlob"], DestinationKeyId=key)
    assert kms.decrypt(CiphertextBlob=back["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    for call in (kms.enable_key_rotation, kms.rotate_key_on_demand):
        with refused("UnsupportedOperationException"):
            call(KeyId=key)
    with refused("UnsupportedOperationException"):
        kms.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256")
    with refused("UnsupportedOperationException"):
        kms.generate_random(NumberOfBytes=8, CustomKeyStoreId=connected)


def test_keys_that_cannot_be(kms, connected):
    external_key(kms, connected)
    with refused("XksKeyAlreadyInUseException"):
        external_key(kms, connected)
    with refused("XksKeyNotFoundException"):
        external_key(kms, connected, "missing-1")
    with refused("XksKeyInvalidConfigurationException"):
        external_key(kms, connected, "disabled-1")
    with refused("UnsupportedOperationException"):
        external_key(kms, connected, "key-2", KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    with refused("ValidationException", modelled=False):
        new_key(kms, Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=connected)
    with refused("CustomKeyStoreNotFoundException"):
        external_key(kms, "cks-0123456789abcdef0")


def test_a_store_that_is_not_connected(kms, store):
    with refused("CustomKeyStoreInvalidStateException"):
        external_key(kms, store)
    with refused("CustomKeyStoreInvalidStateException"):
        kms.disconnect_custom_key_store(CustomKeyStoreId=store)


def test_disconnecting_takes_the_keys_away(kms, connected):
    key = external_key(kms, connected)["Arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    with refused("CustomKeyStoreInvalidStateException"):
        kms.delete_custom_key_store(CustomKeyStoreId=connected)
    kms.disconnect_custom_key_store(CustomKeyStoreId=connected)
    assert described(kms, connected)["ConnectionState"] == "DISCONNECTED"
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Unavailable"
    for call in (lambda: kms.decrypt(CiphertextBlob=blob), lambda: kms.encrypt(KeyId=key, Plaintext=b"x")):
        with refused("KMSInvalidStateException"):
            call()
    kms.update_key_description(KeyId=key, Description="can still be managed")
    assert connect(kms, connected)["ConnectionState"] == "CONNECTED"
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_update(kms, connected):
    kms.update_custom_key_store(CustomKeyStoreId=connected, NewCustomKeyStoreName="renamed")
    assert described(kms, connected)["CustomKeyStoreName"] == "renamed"
    kms.update_custom_key_store(CustomKeyStoreId=connected, XksProxyAuthenticationCredential=CREDENTIAL)
    wrong = {**CREDENTIAL, "RawSecretAccessKey": CREDENTIAL["RawSecretAccessKey"][::-1]}
    with refused("XksProxyIncorrectAuthenticationCredentialException"):
        kms.update_custom_key_store(CustomKeyStoreId=connected, XksProxyAuthenticationCredential=wrong)
    with refused("XksProxyInvalidConfigurationException"):
        kms.update_custom_key_store(CustomKeyStoreId=connected, XksProxyUriPath="/other/kms/xks/v1")
    with refused("CustomKeyStoreInvalidStateException"):
        kms.update_custom_key_store(CustomKeyStoreId=connected, XksProxyUriEndpoint="https://127.0.0.1")


def test_delete(alone, kms, connected):
    key = external_key(kms, connected)["Arn"]
    kms.disconnect_custom_key_store(CustomKeyStoreId=connected)
    with refused("CustomKeyStoreHasCMKsException"):
        kms.delete_custom_key_store(CustomKeyStoreId=connected)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    alone.advance(8 * DAY)
    kms.delete_custom_key_store(CustomKeyStoreId=connected)
    with refused("CustomKeyStoreNotFoundException"):
        described(kms, connected)
    again = kms.create_custom_key_store(CustomKeyStoreName="mine", **PROXY)["CustomKeyStoreId"]
    assert connect(kms, again)["ConnectionState"] == "CONNECTED"
    assert external_key(kms, again)["XksKeyConfiguration"] == {"Id": "key-1"}
