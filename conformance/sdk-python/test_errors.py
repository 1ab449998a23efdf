"""What is refused, and in which words. Parameters that boto3 would refuse itself are sent with its own validation off."""

import os
import re

import pytest

from support import FOREIGN_CIPHERTEXT, NO_SUCH_KEY, new_key, refused


@pytest.fixture
def raw(alone):
    """A client that sends what it is told to."""
    return alone.client(parameter_validation=False)


def test_unknown_key(alone, kms):
    missing = alone.arn("key/" + NO_SUCH_KEY)
    for name in (NO_SUCH_KEY, missing):
        with refused("NotFoundException", f"Key '{missing}' does not exist"):
            kms.describe_key(KeyId=name)


@pytest.mark.parametrize("name", ["nothing", "1234abcd", "mrk-1", NO_SUCH_KEY + "0"])
def test_not_a_key_id(kms, name):
    with refused("NotFoundException", f"Invalid keyId '{name}'"):
        kms.describe_key(KeyId=name)


def test_unknown_alias(alone, kms):
    for name in ("alias/none", alone.arn("alias/none")):
        with refused("NotFoundException", f"Alias {alone.arn('alias/none')} is not found."):
            kms.encrypt(KeyId=name, Plaintext=b"x")


def test_an_alias_is_not_a_key_id_where_no_alias_is_allowed(kms, key):
    kms.create_alias(AliasName="alias/a", TargetKeyId=key)
    for operation in (kms.enable_key_rotation, kms.disable_key, kms.schedule_key_deletion, kms.get_key_policy):
        with refused("NotFoundException"):
            operation(KeyId="alias/a")


def test_ciphertext_of_another_region(alone, kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    with refused("AccessDeniedException", FOREIGN_CIPHERTEXT, modelled=False):
        alone.client(region="us-east-1").decrypt(CiphertextBlob=blob)


def test_wrong_key_for_a_ciphertext(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    message = "The key ID in the request does not identify a CMK that can perform this operation."
    with refused("IncorrectKeyException", message):
        kms.decrypt(CiphertextBlob=blob, KeyId=new_key(kms)["KeyId"])


@pytest.mark.parametrize("blob", [b"x", b"\x00" * 200, os.urandom(150), b"a" * 6144], ids=["short", "zeros", "random", "longest"])
def test_not_a_ciphertext(kms, blob):
    with refused("InvalidCiphertextException", ""):
        kms.decrypt(CiphertextBlob=blob)


def test_foreign_markers(kms, key):
    for n in range(2):
        kms.create_alias(AliasName=f"alias/{n}", TargetKeyId=key)
    other = kms.list_aliases(Limit=1)["NextMarker"]
    for marker in ("x", "é", other):
        with refused("InvalidMarkerException"):
            kms.list_keys(Marker=marker)


def violated(value, member, constraint):
    echo = f"Value {value} at" if value else "Value at"
    return f"{echo} '{member}' failed to satisfy constraint: Member must {constraint}"


ONE = "1 validation error detected: "

VIOLATIONS = {
    "too few bytes": ("generate_random", {"NumberOfBytes": 0}, violated("'0'", "numberOfBytes", "have value greater than or equal to 1")),
    "too many bytes": ("generate_random", {"NumberOfBytes": 1025}, violated("'1025'", "numberOfBytes", "have value less than or equal to 1024")),
    "data key too long": (
        "generate_data_key",
        {"KeyId": "x", "NumberOfBytes": 1025},
        violated("'1025'", "numberOfBytes", "have value less than or equal to 1024"),
    ),
    "no key": ("encrypt", {"Plaintext": b"x"}, violated("null", "keyId", "not be null")),
    "no ciphertext": ("decrypt", {}, violated("null", "ciphertextBlob", "not be null")),
    "no random size": ("generate_random", {}, violated("null", "numberOfBytes", "not be null")),
    "plaintext too long, and secret": (
        "encrypt",
        {"KeyId": "x", "Plaintext": b"s" * 4097},
        violated("", "plaintext", "have length less than or equal to 4096"),
    ),
    "key ID too short": ("describe_key", {"KeyId": ""}, violated("''", "keyId", "have length greater than or equal to 1")),
    "period too short": (
        "enable_key_rotation",
        {"KeyId": "x", "RotationPeriodInDays": 89},
        violated("'89'", "rotationPeriodInDays", "have value greater than or equal to 90"),
    ),
    "period too long": (
        "enable_key_rotation",
        {"KeyId": "x", "RotationPeriodInDays": 2561},
        violated("'2561'", "rotationPeriodInDays", "have value less than or equal to 2560"),
    ),
    "limit too low": ("list_keys", {"Limit": 0}, violated("'0'", "limit", "have value greater than or equal to 1")),
    "limit too high": ("list_keys", {"Limit": 1001}, violated("'1001'", "limit", "have value less than or equal to 1000")),
    "alias pattern": (
        "create_alias",
        {"AliasName": "alias/a b", "TargetKeyId": "x"},
        violated("'alias/a b'", "aliasName", "satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"),
    ),
    "tag of a list": (
        "tag_resource",
        {"KeyId": "x", "Tags": [{"TagKey": "", "TagValue": ""}]},
        violated("''", "tags.1.member.tagKey", "have length greater than or equal to 1"),
    ),
    "second tag of a list": (
        "tag_resource",
        {"KeyId": "x", "Tags": [{"TagKey": "a", "TagValue": ""}, {"TagKey": "b"}]},
        violated("null", "tags.2.member.tagValue", "not be null"),
    ),
}


@pytest.mark.parametrize("case", VIOLATIONS)
def test_validation(raw, case):
    operation, params, message = VIOLATIONS[case]
    with refused("ValidationException", ONE + message, modelled=False):
        getattr(raw, operation)(**params)


@pytest.mark.parametrize("window", [6, 31])
def test_deletion_window(raw, key, window):
    with refused("ValidationException", modelled=False) as caught:
        raw.schedule_key_deletion(KeyId=key, PendingWindowInDays=window)
    assert "'pendingWindowInDays'" in caught.value.response["Error"]["Message"]
    assert raw.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


def test_several_violations_at_once(raw):
    with refused("ValidationException", modelled=False) as caught:
        raw.encrypt(KeyId="", EncryptionAlgorithm="ROT13")
    head, _, rest = caught.value.response["Error"]["Message"].partition(": ")
    assert head == "3 validation errors detected"
    found = set(re.sub(r"set: \[.*\]$", "set", v) for v in rest.split("; "))
    assert found == {
        violated("''", "keyId", "have length greater than or equal to 1"),
        violated("null", "plaintext", "not be null"),
        violated("'ROT13'", "encryptionAlgorithm", "satisfy enum value set"),
    }


def test_enum(raw, key):
    with refused("ValidationException", modelled=False) as caught:
        raw.generate_data_key(KeyId=key, KeySpec="AES_512")
    message = caught.value.response["Error"]["Message"]
    match = re.fullmatch(ONE + re.escape(violated("'AES_512'", "keySpec", "satisfy enum value set: ")) + r"\[(.*)\]", message)
    assert match, message
    assert set(match[1].split(", ")) == {"AES_128", "AES_256"}


@pytest.mark.parametrize("params", [{"KeyId": 5}, {"KeyId": ["x"]}, {"KeyId": {"a": "b"}}])
def test_wrong_types(alone, params):
    """boto3 refuses to serialize these at all, so they are sent by hand."""
    status, body = alone.post("TrentService.DescribeKey", params)
    assert status == 400
    assert body["__type"] == "SerializationException"


def test_unknown_operation(alone):
    status, body = alone.post("TrentService.Nothing", {})
    assert status == 400
    assert body["__type"] == "UnknownOperationException"


def test_unknown_members_are_ignored(alone):
    status, body = alone.post("TrentService.ListKeys", {"Limit": 1, "SomethingNew": {"a": [1]}})
    assert status == 200
    assert body["Keys"] == []

