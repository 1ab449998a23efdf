"""An external key store proxy with its key manager, for tests: AES-256-GCM behind the AWS External Key Store Proxy API, version 1.

Usage: xks_proxy.py DIR

It makes DIR with a certificate authority, DIR/key-stores.yaml for keyturn dev, DIR/proxy.json with what CreateCustomKeyStore needs, and
last DIR/ready; then it serves until it is ended. An external key is there for every ID, but those that begin with "missing"; those that
begin with "disabled" are. DIR/seen has the plaintexts it was asked to encrypt: they must be sealed already.
"""

import base64
import datetime
import hashlib
import hmac
import http.server
import ipaddress
import json
import os
import pathlib
import re
import ssl
import sys

import botocore.auth
import botocore.awsrequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

PREFIX = "/conformance/kms/xks/v1"
METADATA = b"version=1"
STATUS = {
    "AuthenticationFailedException": 401,
    "InvalidCiphertextException": 400,
    "InvalidStateException": 400,
    "InvalidUriPathException": 404,
    "KeyNotFoundException": 404,
    "ValidationException": 400,
}


class Refusal(Exception):
    """An error of the specification, by its name."""


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers the four requests. The server has credentials, key and folder."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            status, reply = 200, self.answer(body)
        except Refusal as e:
            status, reply = STATUS[str(e)], {"errorName": str(e)}
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def answer(self, body):
        if not self.path.startswith(PREFIX + "/"):
            raise Refusal("InvalidUriPathException")
        self.authenticate(body)
        call = json.loads(body)
        about = call["requestMetadata"]
        if not about["kmsRequestId"] or not about["kmsOperation"]:
            raise Refusal("ValidationException")
        path = self.path.removeprefix(PREFIX)
        if path == "/health":
            fleet = [{"id": "one", "model": "test", "healthStatus": "ACTIVE"}]
            names = dict.fromkeys(("xksProxyVendor", "xksProxyModel", "ekmVendor"), "test")
            return {"xksProxyFleetSize": len(fleet), **names, "ekmFleetDetails": fleet}
        match = re.fullmatch(r"/keys/([A-Za-z0-9_.-]{1,128})/(metadata|encrypt|decrypt)", path)
        if not match or not about["awsPrincipalArn"]:
            raise Refusal("ValidationException")
        name, operation = match.groups()
        if name.startswith("missing"):
            raise Refusal("KeyNotFoundException")
        if operation == "metadata":
            disabled = name.startswith("disabled")
            return {"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "DISABLED" if disabled else "ENABLED"}
        if call["encryptionAlgorithm"] != "AES_GCM" or not about["kmsKeyArn"]:
            raise Refusal("ValidationException")
        key = AESGCM(hmac.digest(self.server.key, name.encode(), "sha256"))
        return (self.encrypt if operation == "encrypt" else self.decrypt)(key, call)

    def authenticate(self, body):
        """Signs the request anew and compares (Signature Version 4)."""
        given = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([a-z0-9-]+)/kms-xks-proxy/aws4_request, ?"
            r"SignedHeaders=([a-z0-9;-]+), ?Signature=(\w+)",
            self.headers["Authorization"] or "",
        )
        if not given:
            raise Refusal("AuthenticationFailedException")
        access_key, _, region, names, signature = given.groups()
        credentials = self.server.credentials
        headers = {name: self.headers[name] for name in names.split(";")}
        request = botocore.awsrequest.AWSRequest("POST", f"https://{self.headers['Host']}{self.path}", headers, body)
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        signer = botocore.auth.SigV4Auth(credentials, "kms-xks-proxy", region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        right = hmac.compare_digest(signer.signature(text, request), signature)
        if not right or access_key != credentials.access_key or "host" not in headers:
            raise Refusal("AuthenticationFailedException")

    def encrypt(self, key, call):
        plaintext, aad = decode(call["plaintext"]), decode(call.get("additionalAuthenticatedData", ""))
        with open(self.server.folder / "seen", "ab") as f:
            f.write(plaintext)
        iv = os.urandom(12)
        sealed = key.encrypt(iv, plaintext, bound(aad, METADATA))
        reply = {"ciphertext": sealed[:-16], "initializationVector": iv, "authenticationTag": sealed[-16:], "ciphertextMetadata": METADATA}
        if call.get("ciphertextDataIntegrityValueAlgorithm") == "SHA_256":
            reply["ciphertextDataIntegrityValue"] = hashlib.sha256(aad + METADATA + iv + sealed).digest()
        return {name: base64.b64encode(value).decode() for name, value in reply.items()}

    def decrypt(self, key, call):
        aad, metadata = (decode(call.get(name, "")) for name in ("additionalAuthenticatedData", "ciphertextMetadata"))
        sealed = decode(call["ciphertext"]) + decode(call["authenticationTag"])
        try:
            plaintext = key.decrypt(decode(call["initializationVector"]), sealed, bound(aad, metadata))
        except InvalidTag as e:
            raise Refusal("InvalidCiphertextException") from e
        return {"plaintext": base64.b64encode(plaintext).decode()}

    def log_message(self, *_):
        pass


def decode(text):
    return base64.b64decode(text, validate=True)


def bound(aad, metadata):
    """What AES-GCM authenticates: both with their lengths."""
    return len(aad).to_bytes(2, "big") + aad + len(metadata).to_bytes(1, "big") + metadata


def certificates(folder):
    """A certificate of localhost and the authority that issued it; returns the path of certificate and key."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def issue(name, key, issuer, issuer_key, *extensions):
        end = now + datetime.timedelta(days=1)
        builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number(), now, end)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, host = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("conformance", "localhost"))
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (folder / "ca.pem").write_bytes(issue(authority, authority_key, authority, authority_key, x509.BasicConstraints(True, 0)))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = issue(host, key, authority, authority_key, names)
    path = folder / "server.pem"
    path.touch(mode=0o600)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + certificate)
    return path


def main(folder):
    folder.mkdir(parents=True)
    secret = base64.b64encode(os.urandom(32)).decode()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.folder, server.key = folder, os.urandom(32)
    server.credentials = Credentials("CONFORMANCE2345672345", secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates(folder))
    # The handshake is the connection's own thread's work.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    (folder / "seen").touch()
    (folder / "key-stores.yaml").write_text(
        f"external:\n  ca_file: {folder / 'ca.pem'}\n  ports: {{localhost: {server.server_port}}}\n  timeout: 5s\n"
    )
    store = {
        "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
        "XksProxyConnectivity": "PUBLIC_ENDPOINT",
        "XksProxyUriEndpoint": "https://localhost",
        "XksProxyUriPath": PREFIX,
        "XksProxyAuthenticationCredential": {"AccessKeyId": "CONFORMANCE2345672345", "RawSecretAccessKey": secret},
    }
    (folder / "proxy.json").write_text(json.dumps(store))
    (folder / "ready").write_text("ready\n")
    server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
