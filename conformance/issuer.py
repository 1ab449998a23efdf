"""An OpenID Connect provider for tests: a key, the key set that the server is told of, and tokens.

Usage: issuer.py DIR        makes DIR/key.pem, DIR/keys.json and DIR/web-identity.yaml, which keyturn dev takes with --web-identity
"""

import base64
import json
import pathlib
import sys
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

# Nobody asks it for anything: the server has its keys from the file.
HOST = "issuer.test/cluster"
KEY_ID = "conformance"


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _integer(n):
    return _base64url(n.to_bytes(32, "big"))


def new(folder):
    """Makes a provider."""
    folder.mkdir(parents=True)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    point = key.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "kid": KEY_ID, "use": "sig", "alg": "ES256", "x": _integer(point.x), "y": _integer(point.y)}
    (folder / "keys.json").write_text(json.dumps({"keys": [jwk]}))
    (folder / "web-identity.yaml").write_text(f"issuers:\n  - issuer: https://{HOST}\n    keys_file: keys.json\n")


def token(folder, **claims):
    """A token of the provider, good for five minutes."""
    now = int(time.time())
    claims = {"iss": f"https://{HOST}", "aud": "sts.amazonaws.com", "sub": "pod", "iat": now, "exp": now + 300, **claims}
    head = {"alg": "ES256", "typ": "JWT", "kid": KEY_ID}
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in (head, claims))
    key = serialization.load_pem_private_key((pathlib.Path(folder) / "key.pem").read_bytes(), None)
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    new(pathlib.Path(sys.argv[1]))
