"""What the Python tests share: the two servers, clients for them, and the clock that keyturn dev lets a test turn."""

import base64
import contextlib
import datetime
import functools
import hashlib
import hmac
import json
import os
import pathlib
import secrets
import struct
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import pytest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

import calls

REGION = "eu-central-1"
OTHER_REGION = "us-east-1"
DAY = datetime.timedelta(days=1)

# What each key spec is for, by usage and algorithm; the longest plaintexts in bytes; whether there are data key pairs of it; with
# which wrapping algorithm and wrapping key its import is tested, if it can be imported.
SPECS = json.loads(pathlib.Path(__file__).with_name("keyspecs.json").read_text())

# The account of whoever has no credentials that name another.
DEFAULT_ACCOUNT = "000000000000"

# A key ID that no key has.
NO_SUCH_KEY = "00000000-0000-4000-8000-000000000000"

FOREIGN_CIPHERTEXT = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
    "or you are not allowed to access."
)


@functools.cache
def _session():
    """One session for all clients: it caches the API models, which take long to load."""
    return boto3.session.Session()


class Caller:
    """One identity on one server."""

    def __init__(self, endpoint, credentials, account):
        self.endpoint = endpoint
        self.credentials = credentials
        self.account = account

    def signed_in(self, credentials):
        """Whoever an access key or session, as IAM and STS answer them, belongs to."""
        signed = Credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials.get("SessionToken"))
        return Caller(self.endpoint, signed, self.account)

    def client(self, service="kms", region=REGION, **config):
        """A client that does not retry, so that no failure is smoothed over."""
        config.setdefault("retries", {"total_max_attempts": 1})
        client = _session().client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=self.credentials.access_key,
            aws_secret_access_key=self.credentials.secret_key,
            aws_session_token=self.credentials.token,
            config=Config(**config),
        )
        calls.watch(client)
        return client

    def post(self, target, params):
        """A signed request made by hand, for what no SDK would send. Returns the HTTP status and the decoded body."""
        request = botocore.awsrequest.AWSRequest(
            "POST",
            self.endpoint + "/",
            data=json.dumps(params),
            headers={"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target},
        )
        botocore.auth.SigV4Auth(self.credentials, "kms", REGION).add_auth(request)
        prepared = request.prepare()
        status, body = fetch(prepared.url, prepared.body, dict(prepared.headers))
        return status, json.loads(body)

    def advance(self, seconds):
        """Moves the server's clock forward and returns its new time. timedelta or seconds."""
        if isinstance(seconds, datetime.timedelta):
            seconds = int(seconds.total_seconds())
        status, body = self.post("Keyturn.AdvanceClock", {"Seconds": seconds})
        assert status == 200, body
        return datetime.datetime.fromtimestamp(body["Now"], datetime.timezone.utc)

    def now(self):
        return self.advance(0)

    def iam_arn(self, resource):
        return f"arn:aws:iam::{self.account}:{resource}"

    def arn(self, resource, region=REGION):
        return f"arn:aws:kms:{region}:{self.account}:{resource}"


def trusting(account=None):
    """A caller in an account of the trusting server; by default one that nobody has used yet."""
    account = account or str(100_000_000_000 + secrets.randbelow(900_000_000_000))
    return Caller(os.environ["KEYTURN_TRUSTING"], Credentials(account, "anything"), account)


def strict(access_key_id=None, secret=None):
    """The caller whom the strict server knows, from its own credentials file, or with something wrong about it."""
    known = boto3.session.Session(profile_name="keyturn").get_credentials()
    credentials = Credentials(access_key_id or known.access_key, secret or known.secret_key)
    return Caller(os.environ["KEYTURN_STRICT"], credentials, DEFAULT_ACCOUNT)


def fetch(url, data=None, headers=None):
    """One HTTP request; returns status and body whatever the status."""
    if isinstance(data, str):
        data = data.encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers or {}), timeout=30) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


@contextlib.contextmanager
def refused(code, message=None, modelled=True):
    """Expects an error: its code, its message exactly, and the class boto3 has for it.

    Errors that no model lists, such as ValidationException, come as a bare ClientError.
    """
    with pytest.raises(ClientError) as caught:
        yield caught
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    if message is not None:
        assert error["Message"] == message
    assert type(caught.value).__name__ == (code if modelled else "ClientError")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@contextlib.contextmanager
def refused_as(client, code):
    """Expects an error of IAM or STS: the code, with the class and the HTTP status that boto3 has for it, or those of errors of all services."""
    modelled = {shape.error_code: shape for shape in client.meta.service_model.error_shapes}
    with pytest.raises(ClientError) as caught:
        yield caught
    assert caught.value.response["Error"]["Code"] == code, caught.value
    assert caught.value.response["Error"]["Message"]
    status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    if code in modelled:
        assert type(caught.value).__name__ == modelled[code].name
        assert status == modelled[code].metadata["error"]["httpStatusCode"]
    else:
        assert status == {"ValidationError": 400, "InvalidAction": 400, "AccessDenied": 403, "InvalidClientTokenId": 403, "ExpiredToken": 403}[code]


def allow(action, resource="*", **more):
    """An IAM policy with one statement."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource, **more}]})


def trust(principal, action="sts:AssumeRole", **more):
    """The trust policy of a role."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": action, **more}]})


def totp(seed, step):
    """The code of RFC 6238 for a time step of 30 seconds; seed is base32 text."""
    digest = hmac.new(base64.b32decode(seed), struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset:offset + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def new_key(kms, **params):
    """Creates a key and returns its metadata."""
    return kms.create_key(**params)["KeyMetadata"]


def assert_contains(got, want, where="reply"):
    """Checks that got says everything that want says. "*" is any value that is there; lists have the same length."""
    match want:
        case dict():
            assert isinstance(got, dict), where
            for name in want:
                assert name in got, f"{where} has no {name}: {got}"
                assert_contains(got[name], want[name], f"{where}.{name}")
        case list():
            assert len(got) == len(want), f"{where}: {got}"
            for n, item in enumerate(want):
                assert_contains(got[n], item, f"{where}[{n}]")
        case "*":
            assert got is not None, where
        case _:
            assert got == want, where


def everything(kms, operation, result, **params):
    """All items of a paginated operation, and how many each page had."""
    page_size = params.pop("PageSize", None)
    pages = [
        page[result]
        for page in kms.get_paginator(operation).paginate(PaginationConfig={"PageSize": page_size}, **params)
    ]
    return [item for page in pages for item in page], [len(page) for page in pages]
