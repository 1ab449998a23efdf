"""What the server does, done by others: cryptography (with its own OpenSSL), the openssl program, PyCryptodome and kyber-py."""

import hashlib
import hmac

from Crypto.Hash import SHA512
from Crypto.PublicKey import ECC, MLKEM
from Crypto.Signature import eddsa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa
from kyber_py.ml_kem import ML_KEM_512

import sm2

HASHES = {"SHA_1": hashes.SHA1, "SHA_224": hashes.SHA224, "SHA_256": hashes.SHA256, "SHA_384": hashes.SHA384, "SHA_512": hashes.SHA512}

CURVES = {"ECC_NIST_P256": ec.SECP256R1, "ECC_NIST_P384": ec.SECP384R1, "ECC_NIST_P521": ec.SECP521R1, "ECC_SECG_P256K1": ec.SECP256K1}

KINDS = {
    "ECC_NIST_EDWARDS25519": ed25519.Ed25519PublicKey,
    "ML_DSA_44": mldsa.MLDSA44PublicKey,
    "ML_DSA_65": mldsa.MLDSA65PublicKey,
    "ML_DSA_87": mldsa.MLDSA87PublicKey,
    "ML_KEM_768": mlkem.MLKEM768PublicKey,
    "ML_KEM_1024": mlkem.MLKEM1024PublicKey,
}


def hash_of(algorithm):
    """The hash that an algorithm's name ends with."""
    return next(h for name, h in HASHES.items() if algorithm.endswith(name))()


def load(spec, public):
    """Reads a SubjectPublicKeyInfo, and checks that the key is of the spec. SM2 stays as it is."""
    if spec == "SM2":
        sm2.coordinates(public)
        return public
    if spec == "ML_KEM_512":
        key = MLKEM.import_key(public)
        assert len(key.ek) == 800 and not key.has_private()
        return key
    key = serialization.load_der_public_key(public)
    if spec.startswith("RSA"):
        assert isinstance(key, rsa.RSAPublicKey) and f"RSA_{key.key_size}" == spec
        assert key.public_numbers().e == 65537
    elif spec in CURVES:
        assert isinstance(key.curve, CURVES[spec])
    else:
        assert isinstance(key, KINDS[spec])
    return key


def verifies(spec, algorithm, public, message, signature):
    """Tells whether this is a signature of the message."""
    key = load(spec, public)
    try:
        match algorithm:
            case "SM2DSA":
                return sm2.verifies(public, message, signature)
            case "ED25519_PH_SHA_512":
                verifier = eddsa.new(ECC.import_key(public), "rfc8032")
                try:
                    verifier.verify(SHA512.new(message), signature)
                except ValueError:
                    return False
            case "ED25519_SHA_512" | "ML_DSA_SHAKE_256":
                key.verify(signature, message)
            case _ if algorithm.startswith("ECDSA"):
                key.verify(signature, message, ec.ECDSA(hash_of(algorithm)))
            case _:
                key.verify(signature, message, rsa_padding(algorithm), hash_of(algorithm))
    except InvalidSignature:
        return False
    return True


def rsa_padding(algorithm):
    """PSS with a salt as long as the hash, or PKCS #1 v1.5."""
    if "PSS" not in algorithm:
        return padding.PKCS1v15()
    h = hash_of(algorithm)
    return padding.PSS(padding.MGF1(h), h.digest_size)


def digest(algorithm, public, message):
    """What is signed in the message's place, and what it is called."""
    match algorithm:
        case "SM2DSA":
            return "DIGEST", sm2.digest(public, message)
        case "ML_DSA_SHAKE_256":
            return "EXTERNAL_MU", mu(public, message)
    h = hashes.Hash(hash_of(algorithm))
    h.update(message)
    return "DIGEST", h.finalize()


def mu(public, message):
    """The message representative of ML-DSA with an empty context (FIPS 204, algorithm 7, line 6, and algorithm 2)."""
    raw = serialization.load_der_public_key(public).public_bytes_raw()
    return hashlib.shake_256(hashlib.shake_256(raw).digest(64) + b"\x00\x00" + message).digest(64)


def oaep(algorithm):
    h = hash_of(algorithm)
    return padding.OAEP(padding.MGF1(h), h, None)


def encrypt(spec, algorithm, public, plaintext):
    if algorithm == "SM2PKE":
        return sm2.encrypt(public, plaintext)
    return load(spec, public).encrypt(plaintext, oaep(algorithm))


def agree(spec, public):
    """Makes a key pair; returns its public key and the secret that it shares with public."""
    if spec == "SM2":
        return sm2.agree(public)
    private = ec.generate_private_key(CURVES[spec]())
    return spki(private.public_key()), private.exchange(ec.ECDH(), load(spec, public))


def encapsulate(spec, public):
    """Returns a secret and the ciphertext that it comes out of."""
    key = load(spec, public)
    return ML_KEM_512.encaps(key.ek) if spec == "ML_KEM_512" else key.encapsulate()


def decapsulate(spec, private, ciphertext):
    """The secret of a ciphertext by a private key in PKCS #8."""
    if spec == "ML_KEM_512":
        _, key = ML_KEM_512.key_derive(MLKEM.import_key(private).seed)
        return ML_KEM_512.decaps(key, ciphertext)
    return serialization.load_der_private_key(private, None).decapsulate(ciphertext)


def public_of(spec, private):
    """The SubjectPublicKeyInfo of a private key in PKCS #8."""
    if spec == "SM2":
        return sm2.public_of(private)
    if spec == "ML_KEM_512":
        return MLKEM.import_key(private).public_key().export_key(format="DER")
    return spki(serialization.load_der_private_key(private, None).public_key())


def new_private(spec):
    """A new private key of a spec in PKCS #8."""
    if spec == "SM2":
        return sm2.new_private()
    if spec.startswith("RSA"):
        key = rsa.generate_private_key(65537, int(spec.removeprefix("RSA_")))
    else:
        key = ec.generate_private_key(CURVES[spec]())
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def spki(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def mac(algorithm, key, message):
    return hmac.digest(key, message, hash_of(algorithm).name)
