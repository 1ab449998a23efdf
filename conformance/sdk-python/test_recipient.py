"""Replies to enclaves: Recipient with an attestation document, and a ciphertext that the openssl program opens."""

import os
import pathlib

import pytest

import enclave
import independent
import sm2
from support import DAY, new_key, refused

FOLDER = pathlib.Path(os.environ["KEYTURN_ENCLAVE"])


def recipient(document=None):
    return {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": document or enclave.document(FOLDER)}


def opened(reply, hidden):
    """What the enclave reads; the reply must not have it in the open."""
    assert hidden not in reply
    assert "KeyMaterialId" not in reply
    key = (FOLDER / "enclave.pem").read_bytes()
    return sm2.openssl("cms", "-decrypt", "-inform", "DER", "-inkey", "key", data=reply["CiphertextForRecipient"], key=key)


def test_decrypt(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"for the enclave", EncryptionContext={"a": "b"})["CiphertextBlob"]
    reply = kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"}, Recipient=recipient())
    assert opened(reply, "Plaintext") == b"for the enclave"
    assert (reply["KeyId"], reply["EncryptionAlgorithm"]) == (key, "SYMMETRIC_DEFAULT")


def test_generate_data_key(kms, key):
    reply = kms.generate_data_key(KeyId=key, KeySpec="AES_256", Recipient=recipient())
    assert opened(reply, "Plaintext") == kms.decrypt(CiphertextBlob=reply["CiphertextBlob"])["Plaintext"]


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P384"])
def test_generate_data_key_pair(kms, key, spec):
    reply = kms.generate_data_key_pair(KeyId=key, KeyPairSpec=spec, Recipient=recipient())
    private = opened(reply, "PrivateKeyPlaintext")
    assert independent.public_of(spec, private) == reply["PublicKey"]
    assert kms.decrypt(CiphertextBlob=reply["PrivateKeyCiphertextBlob"])["Plaintext"] == private


@pytest.mark.parametrize("size", [1, 32, 1024])
def test_generate_random(kms, size):
    assert len(opened(kms.generate_random(NumberOfBytes=size, Recipient=recipient()), "Plaintext")) == size


def test_derive_shared_secret(kms):
    key = new_key(kms, KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["Arn"]
    peer, secret = independent.agree("ECC_NIST_P256", kms.get_public_key(KeyId=key)["PublicKey"])
    reply = kms.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=peer, Recipient=recipient())
    assert opened(reply, "SharedSecret") == secret


def test_the_servers_clock_does_not_age_documents(alone, kms):
    alone.advance(DAY)
    assert len(opened(kms.generate_random(NumberOfBytes=8, Recipient=recipient()), "Plaintext")) == 8


def altered(document):
    return document[:-1] + bytes([document[-1] ^ 1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: altered(enclave.document(FOLDER)),
        lambda: enclave.document(FOLDER)[:-1],
        lambda: enclave.document(FOLDER) + b"\x00",
        lambda: enclave.document(FOLDER, age=6 * 60),
        lambda: enclave.document(FOLDER, age=-2 * 60),
        lambda: enclave.document(FOLDER, public_key=None),
        lambda: enclave.document(FOLDER, digest="SHA512"),
        lambda: enclave.document(FOLDER, cabundle=[]),
        lambda: enclave.document(FOLDER, pcrs={}),
        lambda: b"no document",
    ],
    ids=["altered", "cut", "longer", "old", "of the future", "without a key", "another digest", "no bundle", "no registers", "none"],
)
def test_documents_that_do_not_count(kms, key, make):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    with refused("ValidationException", modelled=False):
        kms.decrypt(CiphertextBlob=blob, Recipient=recipient(make()))


def test_an_enclave_of_somebody_else(kms, tmp_path):
    enclave.new(tmp_path / "other")
    with refused("ValidationException", modelled=False):
        kms.generate_random(NumberOfBytes=8, Recipient=recipient(enclave.document(tmp_path / "other")))
