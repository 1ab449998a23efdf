"""Encrypting, data keys and random bytes."""

import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from support import new_key, refused


@pytest.mark.parametrize("size", [1, 4096])
def test_round_trip(kms, key, size):
    plaintext = os.urandom(size)
    sealed = kms.encrypt(KeyId=key, Plaintext=plaintext)
    assert sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert plaintext not in sealed["CiphertextBlob"] or size == 1
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    assert opened["Plaintext"] == plaintext
    assert opened["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"


def test_the_same_plaintext_never_looks_the_same(kms, key):
    blobs = {kms.encrypt(KeyId=key, Plaintext=b"same")["CiphertextBlob"] for _ in range(5)}
    assert len(blobs) == 5


@pytest.mark.parametrize(
    "context",
    [
        {"a": "1", "b": "2", "c": "3"},
        {"schlüssel": "größe", "鍵": "値", "emoji": "🔑"},
        {"": "empty name"},
        {"empty value": ""},
        {'quote"': "back\\slash", "line\n": "tab\t", "nul": "\x00"},
        {f"name{n}": "v" * 50 for n in range(40)},
    ],
    ids=["three", "unicode", "empty name", "empty value", "escapes", "many"],
)
def test_encryption_context(kms, key, context):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    turned = dict(reversed(context.items()))
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=turned)["Plaintext"] == b"x"
    for wrong in ({}, {**context, "more": "x"}, {k: v + "x" for k, v in context.items()}):
        with refused("InvalidCiphertextException", ""):
            kms.decrypt(CiphertextBlob=blob, EncryptionContext=wrong)


@pytest.mark.parametrize(
    ("sealed", "other"),
    [
        ({"a": "bc"}, {"ab": "c"}),
        ({"a": "b", "c": "d"}, {"a": "bcd"}),
        ({"a": "b"}, {"b": "a"}),
        ({"A": "b"}, {"a": "b"}),
        ({"é": "x"}, {"e\u0301": "x"}),  # the same letter in another Unicode form
    ],
)
def test_encryption_contexts_are_not_confused(kms, key, sealed, other):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=sealed)["CiphertextBlob"]
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext=other)


def test_no_context_is_the_empty_context(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext={})["Plaintext"] == b"x"


def test_every_altered_byte_is_noticed(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    for i in range(len(blob)):
        altered = blob[:i] + bytes([blob[i] ^ 1]) + blob[i + 1 :]
        with refused("InvalidCiphertextException", ""):
            kms.decrypt(CiphertextBlob=altered)
    for altered in (blob[:-1], blob + b"\x00", b"\x00", os.urandom(len(blob))):
        with refused("InvalidCiphertextException", ""):
            kms.decrypt(CiphertextBlob=altered)


def test_re_encrypt(kms, key):
    other = new_key(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"moved", EncryptionContext={"from": "1"})["CiphertextBlob"]
    source_material = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    kms.rotate_key_on_demand(KeyId=key)
    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext={"from": "1"},
        DestinationKeyId=other["KeyId"],
        DestinationEncryptionContext={"to": "2"},
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (key, other["Arn"])
    assert moved["SourceKeyMaterialId"] == source_material
    assert moved["DestinationKeyMaterialId"] == other["CurrentKeyMaterialId"]
    assert moved["SourceEncryptionAlgorithm"] == moved["DestinationEncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    opened = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"to": "2"})
    assert (opened["Plaintext"], opened["KeyId"]) == (b"moved", other["Arn"])
    with refused("InvalidCiphertextException", ""):
        kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["KeyId"])
    with refused("IncorrectKeyException"):
        kms.re_encrypt(
            CiphertextBlob=blob, SourceKeyId=other["KeyId"], SourceEncryptionContext={"from": "1"}, DestinationKeyId=key
        )


@pytest.mark.parametrize(
    ("size", "params"),
    [
        (32, {"KeySpec": "AES_256"}),
        (16, {"KeySpec": "AES_128"}),
        (1, {"NumberOfBytes": 1}),
        (1024, {"NumberOfBytes": 1024}),
    ],
)
def test_data_keys(kms, key, size, params):
    context = {"file": "1"}
    made = kms.generate_data_key(KeyId=key, EncryptionContext=context, **params)
    assert len(made["Plaintext"]) == size
    assert made["KeyId"] == key
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=context)
    assert opened["Plaintext"] == made["Plaintext"]
    assert opened["KeyMaterialId"] == made["KeyMaterialId"]
    hidden = kms.generate_data_key_without_plaintext(KeyId=key, EncryptionContext=context, **params)
    assert "Plaintext" not in hidden
    assert hidden["KeyMaterialId"] == made["KeyMaterialId"]
    opened = kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"], EncryptionContext=context)
    assert len(opened["Plaintext"]) == size


@pytest.mark.parametrize("params", [{"KeySpec": "AES_256"}, {"KeySpec": "AES_128"}, {"NumberOfBytes": 24}])
def test_envelope_encryption(kms, key, params):
    data_key = kms.generate_data_key(KeyId=key, EncryptionContext={"file": "a"}, **params)
    nonce, document = os.urandom(12), os.urandom(100_000)
    body = AESGCM(data_key["Plaintext"]).encrypt(nonce, document, b"a")
    kms.rotate_key_on_demand(KeyId=key)
    again = kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"], EncryptionContext={"file": "a"})["Plaintext"]
    assert AESGCM(again).decrypt(nonce, body, b"a") == document
    another = kms.generate_data_key(KeyId=key, **params)["Plaintext"]
    with pytest.raises(InvalidTag):
        AESGCM(another).decrypt(nonce, body, b"a")


@pytest.mark.parametrize("params", [{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}], ids=["neither", "both"])
def test_data_key_size_is_given_once(kms, key, params):
    message = "Please specify either number of bytes or key spec."
    with refused("ValidationException", message, modelled=False):
        kms.generate_data_key(KeyId=key, **params)


@pytest.mark.parametrize("size", [1, 32, 1024])
def test_generate_random(kms, size):
    one, two = (kms.generate_random(NumberOfBytes=size)["Plaintext"] for _ in range(2))
    assert len(one) == len(two) == size
    assert one != two or size == 1


def test_dry_run(kms, key):
    message = "The request would have succeeded, but the DryRun option is set."
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    calls = [
        lambda k, b: kms.encrypt(KeyId=k, Plaintext=b"x", DryRun=True),
        lambda k, b: kms.decrypt(KeyId=k, CiphertextBlob=b, DryRun=True),
        lambda k, b: kms.generate_data_key(KeyId=k, KeySpec="AES_256", DryRun=True),
        lambda k, b: kms.generate_data_key_without_plaintext(KeyId=k, KeySpec="AES_256", DryRun=True),
        lambda k, b: kms.re_encrypt(CiphertextBlob=b, DestinationKeyId=k, DryRun=True),
    ]
    for call in calls:
        with refused("DryRunOperationException", message):
            call(key, blob)
    kms.disable_key(KeyId=key)
    for call in calls:
        with refused("DisabledException", f"{key} is disabled."):
            call(key, blob)
