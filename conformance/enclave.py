"""An AWS Nitro enclave and the hypervisor under it, for tests: certificates, a key, and attestation documents.

Usage: enclave.py new DIR        makes DIR/root.pem for the server, DIR/enclave.pem, the enclave's RSA key, and the keys below the root
       enclave.py document DIR   writes a fresh attestation document to standard output

A document is a COSE_Sign1 message (RFC 9052) as in the "Nitro Enclaves Attestation Process" of aws-nitro-enclaves-nsm-api.
"""

import datetime
import hashlib
import pathlib
import sys
import time

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.x509.oid import NameOID

DER = serialization.Encoding.DER
PEM = serialization.Encoding.PEM

# The chain from the root to the certificate that signs documents.
LEVELS = ["root", "region", "zone", "instance", "signer"]


def new(folder):
    """Makes a chain and an enclave's key."""
    folder.mkdir(parents=True)
    issuer = issuer_key = None
    for depth, name in enumerate(LEVELS):
        key = ec.generate_private_key(ec.SECP384R1())
        issuer = _certificate(name, depth, key, issuer, issuer_key or key)
        issuer_key = key
        _save_key(folder / f"{name}.key", key)
        (folder / f"{name}.pem").write_bytes(issuer.public_bytes(PEM))
    _save_key(folder / "enclave.pem", rsa.generate_private_key(65537, 2048))


def _certificate(name, depth, key, issuer, issuer_key):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name}.enclaves.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    last = name == LEVELS[-1]
    usage = {name: False for name in ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")}
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=3))
        .add_extension(x509.BasicConstraints(not last, None if last else len(LEVELS) - 2 - depth), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=last, key_cert_sign=not last, encipher_only=False, decipher_only=False, **usage), critical=True
        )
        .sign(issuer_key, hashes.SHA384())
    )


def _save_key(path, key):
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def document(folder, age=0, **changes):
    """A signed attestation document, made age seconds ago; changes go into its payload."""
    certificates = [x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()).public_bytes(DER) for name in LEVELS]
    enclave = serialization.load_pem_private_key((folder / "enclave.pem").read_bytes(), None)
    payload = {
        "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
        "digest": "SHA384",
        "timestamp": int((time.time() - age) * 1000),
        "pcrs": {n: hashlib.sha384(bytes([n])).digest() for n in range(16)},
        "certificate": certificates[-1],
        "cabundle": certificates[:-1],
        "public_key": enclave.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "user_data": None,
        "nonce": None,
        **changes,
    }
    protected, body = cbor2.dumps({1: -35}), cbor2.dumps(payload)  # ES384
    signer = serialization.load_pem_private_key((folder / f"{LEVELS[-1]}.key").read_bytes(), None)
    signature = signer.sign(cbor2.dumps(["Signature1", protected, b"", body]), ec.ECDSA(hashes.SHA384()))
    r, s = utils.decode_dss_signature(signature)
    return cbor2.dumps([protected, {}, body, r.to_bytes(48, "big") + s.to_bytes(48, "big")])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["new", where]:
            new(pathlib.Path(where))
        case ["document", where]:
            sys.stdout.buffer.write(document(pathlib.Path(where)))
        case _:
            sys.exit(__doc__)
