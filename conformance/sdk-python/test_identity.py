"""Who is asking: STS, signatures, accounts."""

import datetime
import urllib.parse
import xml.etree.ElementTree as ET

import pytest
from botocore.exceptions import ClientError

from support import DEFAULT_ACCOUNT, FOREIGN_CIPHERTEXT, fetch, new_key, refused, strict, trusting

STS = "{https://sts.amazonaws.com/doc/2011-06-15/}"
INVALID_TOKEN = "The security token included in the request is invalid."
MISMATCH = "The request signature we calculated does not match the signature you provided."


def test_get_caller_identity(caller):
    who = caller.client("sts").get_caller_identity()
    assert who["Account"] == caller.account
    assert who["Arn"] == f"arn:aws:iam::{caller.account}:root"
    assert who["UserId"]


def test_other_credentials_are_the_default_account():
    assert trusting("AKIAIOSFODNN7EXAMPLE").client("sts").get_caller_identity()["Account"] == DEFAULT_ACCOUNT


def test_accounts_are_isolated(alone, kms, key):
    other = trusting().client()
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert other.list_keys()["Keys"] == []
    for call in (
        lambda: other.describe_key(KeyId=key),
        lambda: other.encrypt(KeyId=key, Plaintext=b"x"),
        lambda: other.decrypt(CiphertextBlob=blob, KeyId=key),
        lambda: other.generate_data_key(KeyId=key, KeySpec="AES_256"),
        lambda: other.re_encrypt(CiphertextBlob=blob, SourceKeyId=key, DestinationKeyId=new_key(other)["KeyId"]),
        lambda: other.rotate_key_on_demand(KeyId=key),
        lambda: other.schedule_key_deletion(KeyId=key),
        # That no such key exists must not be told either.
        lambda: other.describe_key(KeyId=key[:-4] + "0000"),
    ):
        with refused("AccessDeniedException", modelled=False):
            call()
    with refused("AccessDeniedException", FOREIGN_CIPHERTEXT, modelled=False):
        other.decrypt(CiphertextBlob=blob)
    key_id = key.rpartition("/")[2]
    with refused("NotFoundException"):
        other.describe_key(KeyId=key_id)
    kms.create_alias(AliasName="alias/same", TargetKeyId=key)
    other.create_alias(AliasName="alias/same", TargetKeyId=new_key(other)["KeyId"])
    assert kms.describe_key(KeyId="alias/same")["KeyMetadata"]["Arn"] == key
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


def sts_refuses(code, call, starts):
    """STS answers with HTTP 403 and the older error names."""
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["Error"]["Message"].startswith(starts)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_wrong_secret():
    impostor = strict(secret="not the secret")
    with refused("InvalidSignatureException", modelled=False) as caught:
        impostor.client().list_keys()
    assert caught.value.response["Error"]["Message"].startswith(MISMATCH)
    sts_refuses("SignatureDoesNotMatch", impostor.client("sts").get_caller_identity, MISMATCH)


def test_unknown_access_key():
    stranger = strict(access_key_id="AKIAIOSFODNN7EXAMPLE")
    with refused("UnrecognizedClientException", INVALID_TOKEN, modelled=False):
        stranger.client().list_keys()
    sts_refuses("InvalidClientTokenId", stranger.client("sts").get_caller_identity, INVALID_TOKEN)


def test_unsigned():
    status, body = fetch(
        strict().endpoint + "/", b"{}", {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.ListKeys"}
    )
    assert status == 400
    assert "MissingAuthenticationToken" in body


def turn_clients_clock(monkeypatch, **delta):
    """Makes botocore sign as if it were earlier or later."""
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**delta)

    def now(remove_tzinfo=True):
        return moment.replace(tzinfo=None) if remove_tzinfo else moment

    monkeypatch.setattr("botocore.auth.get_current_datetime", now)


@pytest.mark.parametrize(
    ("minutes", "starts", "ends"),
    [(-6, "Signature expired: ", " - 5 min.)"), (6, "Signature not yet current: ", " + 5 min.)")],
)
def test_clock_skew(monkeypatch, minutes, starts, ends):
    kms = strict().client()
    turn_clients_clock(monkeypatch, minutes=minutes)
    with refused("InvalidSignatureException", modelled=False) as caught:
        kms.list_keys()
    message = caught.value.response["Error"]["Message"]
    assert message.startswith(starts) and message.endswith(ends)
    turn_clients_clock(monkeypatch, minutes=minutes / 2)
    kms.list_keys()


def test_the_turned_clock_does_not_matter_to_signatures():
    caller = strict()
    caller.advance(3600)
    caller.client().list_keys()


def presigned(caller, expires=60):
    return caller.client("sts").generate_presigned_url("get_caller_identity", ExpiresIn=expires, HttpMethod="GET")


def test_presigned_url():
    caller = strict()
    status, body = fetch(presigned(caller))
    assert status == 200, body
    result = ET.fromstring(body).find(f"{STS}GetCallerIdentityResult")
    assert result.findtext(f"{STS}Account") == caller.account


@pytest.mark.parametrize("part", ["X-Amz-Expires", "X-Amz-Date", "X-Amz-Credential", "X-Amz-Signature", "Version"])
def test_altered_presigned_url(part):
    url = urllib.parse.urlsplit(presigned(strict()))
    query = dict(urllib.parse.parse_qsl(url.query))
    value = query[part]
    if part == "X-Amz-Credential":
        query[part] = value.replace("eu-central-1", "eu-west-1")
    elif part == "X-Amz-Date":
        at = datetime.datetime.strptime(value, "%Y%m%dT%H%M%SZ") - datetime.timedelta(seconds=1)
        query[part] = at.strftime("%Y%m%dT%H%M%SZ")
    elif part == "X-Amz-Expires":
        query[part] = "61"
    else:
        query[part] = value[:-1] + ("0" if value[-1] != "0" else "1")
    status, body = fetch(url._replace(query=urllib.parse.urlencode(query)).geturl())
    assert status == 403, body
    assert "<Code>SignatureDoesNotMatch</Code>" in body


def test_another_action_cannot_be_added_to_a_presigned_url():
    status, body = fetch(presigned(strict()) + "&Action=AssumeRole")
    assert status == 403, body


def test_expired_presigned_url(monkeypatch):
    caller = strict()
    turn_clients_clock(monkeypatch, minutes=-10)
    still_good = presigned(caller, expires=3600)
    expired = presigned(caller, expires=60)
    status, body = fetch(still_good)
    assert status == 200, body
    status, body = fetch(expired)
    assert status == 403, body
    assert "Signature expired" in body
