"""Importing key material: what the caller's side of it has to do."""

import os

from cryptography.hazmat.primitives import keywrap, serialization

import independent
import sm2

NEVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


def wrap(algorithm, public, material):
    """Key material as ImportKeyMaterial takes it."""
    if algorithm == "SM2PKE":
        return sm2.encrypt(public, material)
    oaep = independent.oaep(algorithm)
    key = serialization.load_der_public_key(public)
    if not algorithm.startswith("RSA_AES_KEY_WRAP"):
        return key.encrypt(material, oaep)
    aes = os.urandom(32)
    return key.encrypt(aes, oaep) + keywrap.aes_key_wrap_with_padding(aes, material)


def new_material(spec):
    """Key material in the form it is imported in."""
    if spec == "SYMMETRIC_DEFAULT":
        return os.urandom(32)
    if spec.startswith("HMAC"):
        return os.urandom(int(spec.removeprefix("HMAC_")) // 8)
    return independent.new_private(spec)


def import_material(kms, key, material, wrapping=("RSAES_OAEP_SHA_256", "RSA_2048"), **params):
    algorithm, spec = wrapping
    parameters = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=spec)
    assert parameters["KeyId"] == key
    wrapped = wrap(algorithm, parameters["PublicKey"], material)
    token = parameters["ImportToken"]
    return kms.import_key_material(KeyId=key, ImportToken=token, EncryptedKeyMaterial=wrapped, **{**NEVER, **params})
