"""What the Python tests share: the two servers, clients for them, and the clock that keyturn dev lets a test turn."""

import contextlib
import datetime
import functools
import json
import os
import pathlib
import secrets
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

    def client(self, service="kms", region=REGION, **config):
        """A client that does not retry, so that no failure is smoothed over."""
        config.setdefault("retries", {"total_max_attempts": 1})
        client = _session().client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=self.credentials.access_key,
            aws_secret_access_key=self.credentials.secret_key,
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
