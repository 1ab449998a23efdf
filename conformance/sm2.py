"""SM2 by others: signatures and encryption by the openssl program, key agreement by the curve's formulas.

The curve is that of GB/T 32918.5 (draft-shen-sm2-ecdsa, appendix D).
"""

import hashlib
import pathlib
import secrets
import subprocess
import tempfile

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
BASE = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)

# The identifier of a signer who has none, as GM/T 0009 and AWS have it.
DEFAULT_ID = b"1234567812345678"

# A public key in SubjectPublicKeyInfo up to its coordinates: the algorithm is id-ecPublicKey on sm2p256v1.
SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")


def openssl(*args, data=b"", **files):
    """Runs the openssl program; an argument that names one of files becomes the path of a file with its content."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: str(pathlib.Path(folder, name)) for name in files}
        for name, content in files.items():
            pathlib.Path(paths[name]).write_bytes(content)
        command = ["openssl", *(paths.get(arg, arg) for arg in args)]
        return subprocess.run(command, input=data, capture_output=True, timeout=30, check=True).stdout


def verifies(public, message, signature):
    args = ["pkeyutl", "-verify", "-rawin", "-digest", "sm3", "-pkeyopt", f"distid:{DEFAULT_ID.decode()}"]
    args += ["-pubin", "-keyform", "DER", "-inkey", "public", "-in", "message", "-sigfile", "signature"]
    try:
        openssl(*args, public=public, message=message, signature=signature)
    except subprocess.CalledProcessError as e:
        assert b"Signature Verification Failure" in e.stdout, e.stderr
        return False
    return True


def digest(public, message):
    """SM3 of Z_A and the message, which is what is signed (GB/T 32918.2, section 5.5)."""
    parts = [(len(DEFAULT_ID) * 8).to_bytes(2, "big"), DEFAULT_ID, _bytes(A), _bytes(B), *map(_bytes, BASE), coordinates(public)]
    return hashlib.new("sm3", hashlib.new("sm3", b"".join(parts)).digest() + message).digest()


def encrypt(public, plaintext):
    return openssl("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", "public", data=plaintext, public=public)


def new_private():
    """A private key in PKCS #8."""
    key = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-outform", "DER")
    return openssl("pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-in", "key", "-outform", "DER", key=key)


def public_of(private):
    return openssl("pkey", "-inform", "DER", "-in", "private", "-pubout", "-outform", "DER", private=private)


def agree(public):
    """A new public key, and what its owner has in common with the owner of public: the x coordinate."""
    scalar = 1 + secrets.randbelow(ORDER - 1)
    mine = SPKI_HEAD + b"".join(map(_bytes, _multiply(scalar, BASE)))
    both = coordinates(public)
    theirs = int.from_bytes(both[:32], "big"), int.from_bytes(both[32:], "big")
    return mine, _bytes(_multiply(scalar, theirs)[0])


def coordinates(public):
    """x and y of a public key, 32 bytes each."""
    assert public.startswith(SPKI_HEAD) and len(public) == len(SPKI_HEAD) + 64
    return public[len(SPKI_HEAD) :]


def _bytes(number):
    return number.to_bytes(32, "big")


def _add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if p[1] != q[1]:
            return None
        slope = (3 * p[0] * p[0] + A) * pow(2 * p[1], -1, P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def _multiply(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result
