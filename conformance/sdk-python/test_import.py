"""Imported key material: wrapped here, with every wrapping algorithm, for every key spec that can have it."""

import datetime
import os

import pytest

import independent
from imports import NEVER, import_material, new_material, wrap
from support import DAY, SPECS, new_key, refused

IMPORTABLE = [spec for spec in SPECS if "import" in SPECS[spec]]
HOUR = datetime.timedelta(hours=1)

# What AWS KMS takes for each kind of key material, and the wrapping key it takes it with.
WRAPPINGS = [
    (algorithm, spec)
    for algorithm in ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256")
    for spec in ("RSA_2048", "RSA_3072", "RSA_4096")
] + [("SM2PKE", "SM2")]


@pytest.fixture
def external(kms):
    """The ARN of a symmetric key without material."""
    return new_key(kms, Origin="EXTERNAL")["Arn"]


@pytest.mark.parametrize("wrapping", WRAPPINGS, ids=lambda w: "-".join(w))
def test_wrapping_algorithms(kms, wrapping):
    """RSA_AES_KEY_WRAP and SM2PKE are not for symmetric keys."""
    spec = "SYMMETRIC_DEFAULT" if wrapping[0].startswith("RSAES") else "ECC_NIST_P256"
    usage = next(iter(SPECS[spec]["usages"]))
    key = new_key(kms, KeySpec=spec, KeyUsage=usage, Origin="EXTERNAL")["Arn"]
    material = new_material(spec)
    import_material(kms, key, material, wrapping)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    if spec == "ECC_NIST_P256":
        assert kms.get_public_key(KeyId=key)["PublicKey"] == independent.public_of(spec, material)


@pytest.mark.parametrize(("spec", "usage"), [(spec, usage) for spec in IMPORTABLE for usage in SPECS[spec]["usages"]])
def test_key_specs(kms, spec, usage):
    meta = new_key(kms, KeySpec=spec, KeyUsage=usage, Origin="EXTERNAL")
    assert (meta["KeyState"], meta["Enabled"], meta["Origin"]) == ("PendingImport", False, "EXTERNAL")
    key, material = meta["Arn"], new_material(spec)
    imported = import_material(kms, key, material, SPECS[spec]["import"])
    assert imported["KeyId"] == key
    meta = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (meta["KeyState"], meta["ExpirationModel"]) == ("Enabled", "KEY_MATERIAL_DOES_NOT_EXPIRE")
    assert meta.get("CurrentKeyMaterialId") == imported.get("KeyMaterialId")
    assert ("KeyMaterialId" in imported) == (spec == "SYMMETRIC_DEFAULT")
    (algorithm, *_) = SPECS[spec]["usages"][usage]
    if usage == "GENERATE_VERIFY_MAC":
        mac = kms.generate_mac(KeyId=key, MacAlgorithm=algorithm, Message=b"m")["Mac"]
        assert mac == independent.mac(algorithm, material, b"m")
    elif spec == "SYMMETRIC_DEFAULT":
        blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == imported["KeyMaterialId"]
    else:
        public = independent.public_of(spec, material)
        assert kms.get_public_key(KeyId=key)["PublicKey"] == public
        match usage:
            case "SIGN_VERIFY":
                signature = kms.sign(KeyId=key, SigningAlgorithm=algorithm, Message=b"m")["Signature"]
                assert independent.verifies(spec, algorithm, public, b"m", signature)
            case "ENCRYPT_DECRYPT":
                blob = independent.encrypt(spec, algorithm, public, b"sixteen or more bytes")
                opened = kms.decrypt(KeyId=key, EncryptionAlgorithm=algorithm, CiphertextBlob=blob)
                assert opened["Plaintext"] == b"sixteen or more bytes"
            case "KEY_AGREEMENT":
                peer, secret = independent.agree(spec, public)
                assert kms.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm=algorithm, PublicKey=peer)["SharedSecret"] == secret


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "import" not in SPECS[spec]])
def test_key_specs_without_import(kms, spec):
    with refused("UnsupportedOperationException"):
        new_key(kms, KeySpec=spec, KeyUsage=next(iter(SPECS[spec]["usages"])), Origin="EXTERNAL")


def test_material_goes_and_comes_back(kms, external):
    material = os.urandom(32)
    first = import_material(kms, external, material)["KeyMaterialId"]
    blob = kms.encrypt(KeyId=external, Plaintext=b"kept")["CiphertextBlob"]
    deleted = kms.delete_imported_key_material(KeyId=external)
    assert (deleted["KeyId"], deleted["KeyMaterialId"]) == (external, first)
    assert kms.describe_key(KeyId=external)["KeyMetadata"]["KeyState"] == "PendingImport"
    for call in (lambda: kms.decrypt(CiphertextBlob=blob), lambda: kms.encrypt(KeyId=external, Plaintext=b"x")):
        with refused("KMSInvalidStateException", f"{external} is pending import."):
            call()
    with refused("IncorrectKeyMaterialException"):
        import_material(kms, external, os.urandom(32))
    assert import_material(kms, external, material)["KeyMaterialId"] == first
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"


def test_material_expires(alone, kms, external):
    material, until = os.urandom(32), alone.now() + 2 * DAY
    import_material(kms, external, material, ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=until)
    meta = kms.describe_key(KeyId=external)["KeyMetadata"]
    assert meta["ExpirationModel"] == "KEY_MATERIAL_EXPIRES"
    assert abs(meta["ValidTo"] - until) < datetime.timedelta(seconds=1)
    alone.advance(2 * DAY - HOUR)
    blob = kms.encrypt(KeyId=external, Plaintext=b"kept")["CiphertextBlob"]
    alone.advance(2 * HOUR)
    meta = kms.describe_key(KeyId=external)["KeyMetadata"]
    assert meta["KeyState"] == "PendingImport"
    assert "ValidTo" not in meta
    import_material(kms, external, material)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"


def test_rotation_with_imported_material(kms, external):
    def materials():
        listed = kms.list_key_rotations(KeyId=external, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
        return {r["KeyMaterialId"]: (r["KeyMaterialState"], r["ImportState"]) for r in listed}

    old = import_material(kms, external, os.urandom(32), KeyMaterialDescription="the first")["KeyMaterialId"]
    blob = kms.encrypt(KeyId=external, Plaintext=b"kept")["CiphertextBlob"]
    with refused("KMSInvalidStateException", f"No available key material pending rotation for the key: {external}."):
        kms.rotate_key_on_demand(KeyId=external)
    new = import_material(kms, external, os.urandom(32), ImportType="NEW_KEY_MATERIAL")["KeyMaterialId"]
    assert materials() == {old: ("CURRENT", "IMPORTED"), new: ("PENDING_ROTATION", "IMPORTED")}
    with refused("KMSInvalidStateException") as caught:
        import_material(kms, external, os.urandom(32), ImportType="NEW_KEY_MATERIAL")
    assert caught.value.response["Error"]["Message"].endswith(f"because another key material (id: {new}) is pending rotation.")
    assert kms.rotate_key_on_demand(KeyId=external)["KeyId"] == external
    assert materials() == {old: ("NON_CURRENT", "IMPORTED"), new: ("CURRENT", "IMPORTED")}
    assert kms.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == old
    young = kms.encrypt(KeyId=external, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=young)["KeyMaterialId"] == new
    kms.delete_imported_key_material(KeyId=external, KeyMaterialId=old)
    assert materials()[old] == ("NON_CURRENT", "PENDING_IMPORT")
    with refused("KMSInvalidStateException", f"{external} is pending import."):
        kms.decrypt(CiphertextBlob=young)


def test_what_does_not_fit(alone, kms, external):
    with refused("IncorrectKeyMaterialException"):
        import_material(kms, external, os.urandom(31))
    parameters = kms.get_parameters_for_import(KeyId=external, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048")
    wrapped = wrap("RSAES_OAEP_SHA_256", parameters["PublicKey"], os.urandom(32))
    call = {"KeyId": external, "ImportToken": parameters["ImportToken"], "EncryptedKeyMaterial": wrapped, **NEVER}
    with refused("InvalidCiphertextException", ""):
        sha1 = wrap("RSAES_OAEP_SHA_1", parameters["PublicKey"], os.urandom(32))
        kms.import_key_material(**{**call, "EncryptedKeyMaterial": sha1})
    with refused("InvalidImportTokenException"):
        kms.import_key_material(**{**call, "KeyId": new_key(kms, Origin="EXTERNAL")["Arn"]})
    with refused("ValidationException", modelled=False):
        kms.import_key_material(**{**call, "ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": alone.now() + 366 * DAY})
    alone.advance(25 * HOUR)
    with refused("ExpiredImportTokenException"):
        kms.import_key_material(**call)


@pytest.mark.parametrize(
    ("spec", "wrapping"),
    [
        ("SYMMETRIC_DEFAULT", ("RSA_AES_KEY_WRAP_SHA_256", "RSA_2048")),
        ("SYMMETRIC_DEFAULT", ("SM2PKE", "SM2")),
        ("SYMMETRIC_DEFAULT", ("RSAES_OAEP_SHA_256", "SM2")),
        ("HMAC_256", ("SM2PKE", "SM2")),
        ("RSA_2048", ("RSAES_OAEP_SHA_256", "RSA_4096")),
        ("ECC_NIST_P521", ("RSAES_OAEP_SHA_256", "RSA_2048")),
        ("ECC_NIST_P256", ("SM2PKE", "RSA_2048")),
        ("ECC_NIST_P256", ("RSAES_PKCS1_V1_5", "RSA_2048")),
    ],
)
def test_wrappings_that_do_not_fit(kms, spec, wrapping):
    key = new_key(kms, KeySpec=spec, KeyUsage=next(iter(SPECS[spec]["usages"])), Origin="EXTERNAL")["Arn"]
    with refused("UnsupportedOperationException"):
        kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=wrapping[0], WrappingKeySpec=wrapping[1])
