"""Every key spec with every usage and algorithm, checked by implementations that have nothing to do with the server's.

RSA keys take long to make, so each key is made once and shared.
"""

import functools
import os

import pytest

import independent
import support
from support import SPECS, refused

USAGES = [(spec, usage) for spec in SPECS for usage in SPECS[spec]["usages"]]

# The member of metadata that lists the algorithms of a usage.
ALGORITHMS = {
    "ENCRYPT_DECRYPT": "EncryptionAlgorithms",
    "SIGN_VERIFY": "SigningAlgorithms",
    "GENERATE_VERIFY_MAC": "MacAlgorithms",
    "KEY_AGREEMENT": "KeyAgreementAlgorithms",
    "ENCAPSULATE_DECAPSULATE": "EncapsulationAlgorithms",
}

SYMMETRIC = {"SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"}

MESSAGE = b"a message to be signed"


def of(usage, specs=SPECS):
    """Spec and algorithm of all keys of a usage."""
    return [(spec, algorithm) for spec in specs for algorithm in SPECS[spec]["usages"].get(usage, [])]


@functools.cache
def caller():
    return support.trusting()


@functools.cache
def client():
    return caller().client()


@functools.cache
def key(spec, usage):
    """The metadata of the one key of a spec and usage."""
    return support.new_key(client(), KeySpec=spec, KeyUsage=usage)


@functools.cache
def public_key(spec, usage):
    return client().get_public_key(KeyId=key(spec, usage)["KeyId"])["PublicKey"]


@pytest.mark.parametrize(("spec", "usage"), USAGES)
def test_metadata(spec, usage):
    meta = key(spec, usage)
    assert (meta["KeySpec"], meta["CustomerMasterKeySpec"], meta["KeyUsage"], meta["KeyState"]) == (spec, spec, usage, "Enabled")
    for of_usage, member in ALGORITHMS.items():
        if of_usage == usage:
            assert set(meta[member]) == set(SPECS[spec]["usages"][usage])
        else:
            assert member not in meta
    assert ("CurrentKeyMaterialId" in meta) == (spec == "SYMMETRIC_DEFAULT")
    assert client().describe_key(KeyId=meta["Arn"])["KeyMetadata"] == meta
    with refused("ValidationException", modelled=False):
        client().create_key(KeySpec=spec, KeyUsage=next(u for u in ALGORITHMS if u not in SPECS[spec]["usages"]))


@pytest.mark.parametrize(("spec", "usage"), USAGES)
def test_public_key(spec, usage):
    meta = key(spec, usage)
    if spec in SYMMETRIC:
        with refused("UnsupportedOperationException"):
            client().get_public_key(KeyId=meta["KeyId"])
        return
    reply = client().get_public_key(KeyId=meta["KeyId"])
    assert (reply["KeyId"], reply["KeySpec"], reply["KeyUsage"]) == (meta["Arn"], spec, usage)
    for member in ALGORITHMS.values():
        assert reply.get(member) == meta.get(member)
    independent.load(spec, reply["PublicKey"])


@pytest.mark.parametrize(("spec", "algorithm"), of("SIGN_VERIFY"))
def test_signatures(spec, algorithm):
    arn, public = key(spec, "SIGN_VERIFY")["Arn"], public_key(spec, "SIGN_VERIFY")
    call = {"KeyId": arn, "SigningAlgorithm": algorithm}
    types = {"RAW": MESSAGE}
    if algorithm == "ED25519_PH_SHA_512":
        types.clear()
    if algorithm != "ED25519_SHA_512":
        types.update([independent.digest(algorithm, public, MESSAGE)])
    for kind, content in types.items():
        signed = client().sign(**call, Message=content, MessageType=kind)
        assert (signed["KeyId"], signed["SigningAlgorithm"]) == (arn, algorithm)
        signature = signed["Signature"]
        assert independent.verifies(spec, algorithm, public, MESSAGE, signature)
        assert not independent.verifies(spec, algorithm, public, MESSAGE + b".", signature)
        for other, same in types.items():  # the type says how the message is given, not what is signed
            verified = client().verify(**call, Message=same, MessageType=other, Signature=signature)
            assert (verified["KeyId"], verified["SignatureValid"], verified["SigningAlgorithm"]) == (arn, True, algorithm)
        altered = bytes([content[0] ^ 1]) + content[1:]
        with refused("KMSInvalidSignatureException", ""):
            client().verify(**call, Message=altered, MessageType=kind, Signature=signature)
        for broken in (signature[:-1], signature[:-1] + bytes([signature[-1] ^ 1]), b"x"):
            with refused("KMSInvalidSignatureException", ""):
                client().verify(**call, Message=content, MessageType=kind, Signature=broken)
    for kind in {"RAW", "DIGEST", "EXTERNAL_MU"} - types.keys():
        with refused("ValidationException", f"MessageType {kind} is not valid for algorithm {algorithm}.", modelled=False):
            client().sign(**call, Message=MESSAGE, MessageType=kind)
    for kind in types.keys() - {"RAW"}:
        with refused("ValidationException", f"Digest is invalid length for algorithm {algorithm}.", modelled=False):
            client().sign(**call, Message=types[kind] + b"x", MessageType=kind)


@pytest.mark.parametrize(("spec", "algorithm"), of("ENCRYPT_DECRYPT", SPECS.keys() - SYMMETRIC))
def test_encryption(spec, algorithm):
    arn, public = key(spec, "ENCRYPT_DECRYPT")["Arn"], public_key(spec, "ENCRYPT_DECRYPT")
    call = {"KeyId": arn, "EncryptionAlgorithm": algorithm}
    longest = SPECS[spec]["longest"][algorithm]
    # Shorter ones openssl can encrypt with SM2 in a way that nobody can decrypt, once in a while.
    for plaintext in (os.urandom(16), os.urandom(longest)):
        sealed = client().encrypt(**call, Plaintext=plaintext)
        assert (sealed["KeyId"], sealed["EncryptionAlgorithm"]) == (arn, algorithm)
        for blob in (sealed["CiphertextBlob"], independent.encrypt(spec, algorithm, public, plaintext)):
            opened = client().decrypt(**call, CiphertextBlob=blob)
            assert (opened["Plaintext"], opened["KeyId"], opened["EncryptionAlgorithm"]) == (plaintext, arn, algorithm)
            assert "KeyMaterialId" not in opened
            altered = blob[:-1] + bytes([blob[-1] ^ 1])
            with refused("InvalidCiphertextException", ""):
                client().decrypt(**call, CiphertextBlob=altered)
    message = f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {longest} bytes."
    with refused("ValidationException", message, modelled=False):
        client().encrypt(**call, Plaintext=b"x" * (longest + 1))
    with refused("ValidationException", modelled=False):
        client().encrypt(**call, Plaintext=b"x", EncryptionContext={"a": "b"})
    moved = client().re_encrypt(
        CiphertextBlob=sealed["CiphertextBlob"],
        SourceKeyId=arn,
        SourceEncryptionAlgorithm=algorithm,
        DestinationKeyId=key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")["Arn"],
    )
    assert (moved["SourceEncryptionAlgorithm"], moved["DestinationEncryptionAlgorithm"]) == (algorithm, "SYMMETRIC_DEFAULT")
    assert client().decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == plaintext
    back = client().re_encrypt(CiphertextBlob=moved["CiphertextBlob"], DestinationKeyId=arn, DestinationEncryptionAlgorithm=algorithm)
    assert client().decrypt(**call, CiphertextBlob=back["CiphertextBlob"])["Plaintext"] == plaintext


@pytest.mark.parametrize(("spec", "algorithm"), of("KEY_AGREEMENT"))
def test_key_agreement(spec, algorithm):
    arn, public = key(spec, "KEY_AGREEMENT")["Arn"], public_key(spec, "KEY_AGREEMENT")
    peer, secret = independent.agree(spec, public)
    derived = client().derive_shared_secret(KeyId=arn, KeyAgreementAlgorithm=algorithm, PublicKey=peer)
    assert (derived["SharedSecret"], derived["KeyId"]) == (secret, arn)
    assert (derived["KeyAgreementAlgorithm"], derived["KeyOrigin"]) == (algorithm, "AWS_KMS")
    elsewhere = "ECC_NIST_P384" if spec == "ECC_NIST_P256" else "ECC_NIST_P256"
    for other in (public_key(elsewhere, "KEY_AGREEMENT"), peer[:-1], b"x"):
        with refused("ValidationException", modelled=False):
            client().derive_shared_secret(KeyId=arn, KeyAgreementAlgorithm=algorithm, PublicKey=other)


@pytest.mark.parametrize(("spec", "algorithm"), of("ENCAPSULATE_DECAPSULATE"))
def test_encapsulation(spec, algorithm):
    arn, public = key(spec, "ENCAPSULATE_DECAPSULATE")["Arn"], public_key(spec, "ENCAPSULATE_DECAPSULATE")
    call = {"KeyId": arn, "EncapsulationAlgorithm": algorithm}
    made = client().encapsulate(**call)
    ours = made["SharedSecret"], made["SharedSecretCiphertextBlob"]
    for secret, sealed in (ours, independent.encapsulate(spec, public)):
        opened = client().decapsulate(**call, SharedSecretCiphertextBlob=sealed)
        assert (opened["SharedSecret"], opened["KeyId"]) == (secret, arn)
        altered = bytes([sealed[0] ^ 1]) + sealed[1:]
        other = client().decapsulate(**call, SharedSecretCiphertextBlob=altered)["SharedSecret"]
        assert len(other) == 32 and other != secret  # implicit rejection, FIPS 203
        for wrong in (sealed[:-1], sealed + b"\x00"):
            with refused("InvalidCiphertextException", ""):
                client().decapsulate(**call, SharedSecretCiphertextBlob=wrong)


@pytest.mark.parametrize(("spec", "algorithm"), of("GENERATE_VERIFY_MAC"))
def test_macs(spec, algorithm):
    """Whether the MAC is the right one is checked where the key is known, in test_import.py."""
    arn = key(spec, "GENERATE_VERIFY_MAC")["Arn"]
    call = {"KeyId": arn, "MacAlgorithm": algorithm}
    mac = client().generate_mac(**call, Message=MESSAGE)["Mac"]
    assert len(mac) == independent.hash_of(algorithm).digest_size
    assert client().generate_mac(**call, Message=MESSAGE)["Mac"] == mac
    assert client().verify_mac(**call, Message=MESSAGE, Mac=mac)["MacValid"] is True
    for message, wrong in ((MESSAGE + b".", mac), (MESSAGE, mac[:-1]), (MESSAGE, bytes([mac[0] ^ 1]) + mac[1:])):
        with refused("KMSInvalidMacException", ""):
            client().verify_mac(**call, Message=message, Mac=wrong)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if SPECS[spec].get("pair")])
def test_data_key_pairs(spec):
    call = {"KeyId": key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")["Arn"], "KeyPairSpec": spec, "EncryptionContext": {"pair": spec}}
    made = client().generate_data_key_pair(**call)
    hidden = client().generate_data_key_pair_without_plaintext(**call)
    assert "PrivateKeyPlaintext" not in hidden
    assert made["PublicKey"] != hidden["PublicKey"]
    for pair in (made, hidden):
        assert (pair["KeyId"], pair["KeyPairSpec"]) == (call["KeyId"], spec)
        opened = client().decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"], EncryptionContext=call["EncryptionContext"])
        assert opened["KeyMaterialId"] == pair["KeyMaterialId"]
        assert pair.get("PrivateKeyPlaintext", opened["Plaintext"]) == opened["Plaintext"]
        independent.load(spec, pair["PublicKey"])
        assert independent.public_of(spec, opened["Plaintext"]) == pair["PublicKey"]
        if spec.startswith("ML_KEM"):
            secret, sealed = independent.encapsulate(spec, pair["PublicKey"])
            assert independent.decapsulate(spec, opened["Plaintext"], sealed) == secret
