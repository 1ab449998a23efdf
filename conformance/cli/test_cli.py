"""The AWS CLI. Every call is a process, so what the CLI does not do itself is prepared and looked at through boto3."""

import base64
import datetime

import pytest

import independent
from awscli_command import Aws, Refused
from support import DAY, DEFAULT_ACCOUNT, NO_SUCH_KEY, new_key, strict

# The exit status of version 1 of the CLI when a service refuses.
SERVICE_ERROR = 255


def parse(date):
    """A timestamp as the CLI prints it: seconds since 1970, or ISO 8601."""
    if isinstance(date, (int, float)):
        return datetime.datetime.fromtimestamp(date, datetime.timezone.utc)
    return datetime.datetime.fromisoformat(date)


def test_the_story(either_aws, blob_file):
    aws, caller = either_aws, either_aws.caller
    meta = aws.kms("create-key", "--description", "the story")["KeyMetadata"]
    key = meta["KeyId"]
    assert aws.kms("enable-key-rotation", "--key-id", key, "--rotation-period-in-days", "90") is None
    old = aws.kms("encrypt", "--key-id", key, "--plaintext", "kept", "--encryption-context", "a=1,b=2")
    assert old["KeyId"] == meta["Arn"]

    caller.advance(3 * 365 * DAY + datetime.timedelta(seconds=1))

    rotations = aws.kms("list-key-rotations", "--key-id", key, "--page-size", "5")["Rotations"]
    dates = sorted(parse(r["RotationDate"]) for r in rotations)
    assert len(dates) == 12
    assert dates == [dates[0] + n * 90 * DAY for n in range(12)]
    assert len({r["KeyMaterialId"] for r in rotations}) == 12
    opened = aws.kms("decrypt", "--ciphertext-blob", blob_file(old["CiphertextBlob"]), "--encryption-context", "b=2,a=1")
    assert base64.b64decode(opened["Plaintext"]) == b"kept"
    assert opened["KeyId"] == meta["Arn"]
    assert opened["KeyMaterialId"] == meta["CurrentKeyMaterialId"]

    status = aws.kms("get-key-rotation-status", "--key-id", key)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
    assert parse(status["NextRotationDate"]) == dates[-1] + 90 * DAY
    assert aws.kms("rotate-key-on-demand", "--key-id", key)["KeyId"] == meta["Arn"]
    assert aws.kms("get-key-rotation-status", "--key-id", key)["NextRotationDate"] == status["NextRotationDate"]


def test_an_alias_moves_to_another_key(aws, blob_file):
    kms = aws.caller.client()
    one, two = new_key(kms)["Arn"], new_key(kms)["Arn"]
    kms.create_alias(AliasName="alias/app", TargetKeyId=one)
    old = aws.kms("encrypt", "--key-id", "alias/app", "--plaintext", "old")
    assert aws.kms("update-alias", "--alias-name", "alias/app", "--target-key-id", two) is None
    new = aws.kms("encrypt", "--key-id", "alias/app", "--plaintext", "new")
    assert (old["KeyId"], new["KeyId"]) == (one, two)
    opened = aws.kms("decrypt", "--ciphertext-blob", blob_file(old["CiphertextBlob"]))
    assert (base64.b64decode(opened["Plaintext"]), opened["KeyId"]) == (b"old", one)


def test_data_keys_and_random(aws, blob_file):
    key = new_key(aws.caller.client())["KeyId"]
    context = '{"größe":"ü"}'
    made = aws.kms("generate-data-key", "--key-id", key, "--key-spec", "AES_256", "--encryption-context", context)
    opened = aws.kms("decrypt", "--ciphertext-blob", blob_file(made["CiphertextBlob"]), "--encryption-context", context)
    assert opened["Plaintext"] == made["Plaintext"]
    assert len(base64.b64decode(made["Plaintext"])) == 32
    hidden = aws.start("kms", "generate-data-key-without-plaintext", "--key-id", key, "--number-of-bytes", "24")
    random = aws.start("kms", "generate-random", "--number-of-bytes", "16")
    hidden, random = hidden(), random()
    assert "Plaintext" not in hidden and hidden["CiphertextBlob"]
    assert len(base64.b64decode(random["Plaintext"])) == 16


def test_lists(aws):
    kms = aws.caller.client()
    arns = {new_key(kms)["Arn"] for _ in range(6)}
    key = sorted(arns)[0]
    for n in range(3):
        kms.create_alias(AliasName=f"alias/n{n}", TargetKeyId=key)
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": f"t{n}", "TagValue": ""} for n in range(3)])
    keys = aws.start("kms", "list-keys", "--page-size", "2")
    some = aws.start("kms", "list-keys", "--page-size", "2", "--max-items", "4")
    aliases = aws.start("kms", "list-aliases", "--key-id", key, "--page-size", "2")
    tags = aws.start("kms", "list-resource-tags", "--key-id", key, "--page-size", "2")
    keys, some, aliases, tags = keys(), some(), aliases(), tags()
    assert {k["KeyArn"] for k in keys["Keys"]} == arns
    assert len(some["Keys"]) == 4 and some["NextToken"]
    assert sorted(a["AliasName"] for a in aliases["Aliases"]) == ["alias/n0", "alias/n1", "alias/n2"]
    assert sorted(t["TagKey"] for t in tags["Tags"]) == ["t0", "t1", "t2"]
    rest = aws.kms("list-keys", "--page-size", "2", "--starting-token", some["NextToken"])
    assert {k["KeyArn"] for k in some["Keys"] + rest["Keys"]} == arns


def test_keys_can_be_managed(aws):
    kms = aws.caller.client()
    key = new_key(kms)["Arn"]
    changes = (
        ("tag-resource", "--key-id", key, "--tags", "TagKey=a,TagValue=1"),
        ("update-key-description", "--key-id", key, "--description", "new"),
        ("disable-key", "--key-id", key),
    )
    for result in [aws.start("kms", *args) for args in changes]:  # all at once: no change may undo another
        assert result() is None
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "a", "TagValue": "1"}]
    meta = aws.kms("describe-key", "--key-id", key)["KeyMetadata"]
    assert (meta["Description"], meta["KeyState"]) == ("new", "Disabled")
    scheduled = aws.kms("schedule-key-deletion", "--key-id", key, "--pending-window-in-days", "7")
    assert (scheduled["KeyId"], scheduled["KeyState"]) == (key, "PendingDeletion")
    assert aws.kms("cancel-key-deletion", "--key-id", key)["KeyId"] == key


def test_policy(aws, tmp_path):
    key = new_key(aws.caller.client())["Arn"]
    default = aws.kms("get-key-policy", "--key-id", key, "--policy-name", "default")
    document = tmp_path / "policy.json"
    document.write_text(default["Policy"].replace("key-default-1", "mine"))
    assert aws.kms("put-key-policy", "--key-id", key, "--policy-name", "default", "--policy", f"file://{document}") is None
    assert aws.caller.client().get_key_policy(KeyId=key)["Policy"] == document.read_text()


def errors(kms, arn, blob_file):
    """Commands and what the CLI says: the error's code, the operation's name, and the message."""
    key, other, disabled, doomed = (new_key(kms)["Arn"] for _ in range(4))
    kms.disable_key(KeyId=disabled)
    kms.schedule_key_deletion(KeyId=doomed)
    kms.create_alias(AliasName="alias/taken", TargetKeyId=key)
    blob = base64.b64encode(kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]).decode()
    sealed = blob_file(blob)
    altered = blob_file(blob[:-4] + "AAAA")
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=other)
    return [
        (f"describe-key --key-id {NO_SUCH_KEY}", "NotFoundException", "DescribeKey", f"Key '{arn('key/' + NO_SUCH_KEY)}' does not exist"),
        ("describe-key --key-id x", "NotFoundException", "DescribeKey", "Invalid keyId 'x'"),
        ("describe-key --key-id alias/none", "NotFoundException", "DescribeKey", f"Alias {arn('alias/none')} is not found."),
        (f"describe-key --key-id {key} --region us-east-1", "NotFoundException", "DescribeKey", "Invalid arn eu-central-1"),
        (
            f"create-alias --alias-name alias/taken --target-key-id {other}",
            "AlreadyExistsException",
            "CreateAlias",
            f"An alias with the name {arn('alias/taken')} already exists",
        ),
        (f"encrypt --key-id {disabled} --plaintext x", "DisabledException", "Encrypt", f"{disabled} is disabled."),
        (f"encrypt --key-id {doomed} --plaintext x", "KMSInvalidStateException", "Encrypt", f"{doomed} is pending deletion."),
        (f"decrypt --ciphertext-blob {altered}", "InvalidCiphertextException", "Decrypt", ""),
        (f"decrypt --ciphertext-blob {sealed} --encryption-context a=b", "InvalidCiphertextException", "Decrypt", ""),
        (
            f"decrypt --ciphertext-blob {sealed} --key-id {other}",
            "IncorrectKeyException",
            "Decrypt",
            "The key ID in the request does not identify a CMK that can perform this operation.",
        ),
        (
            f"rotate-key-on-demand --key-id {other}",
            "LimitExceededException",
            "RotateKeyOnDemand",
            "The on-demand rotations limit has been reached for the given keyId. "
            f"No more on-demand rotations can be performed for this key: {other}",
        ),
        (
            f"encrypt --key-id {key} --plaintext x --dry-run",
            "DryRunOperationException",
            "Encrypt",
            "The request would have succeeded, but the DryRun option is set.",
        ),
        (
            "list-keys --limit 0 --no-paginate",
            "ValidationException",
            "ListKeys",
            "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
        ),
        (
            f"sign --key-id {key} --message x --signing-algorithm ECDSA_SHA_256",
            "InvalidKeyUsageException",
            "Sign",
            f"{key} key usage is ENCRYPT_DECRYPT which is not valid for Sign.",
        ),
    ]


def test_errors(aws, blob_file, tmp_path):
    # The CLI checks ranges itself unless it is told not to.
    config = tmp_path / "config"
    config.write_text("[default]\nparameter_validation = false\n")
    aws.env["AWS_CONFIG_FILE"] = str(config)
    cases = errors(aws.caller.client(), aws.caller.arn, blob_file)
    for start in range(0, len(cases), 4):
        some = [(aws.start("kms", *case[0].split()), *case) for case in cases[start : start + 4]]
        for result, command, code, operation, message in some:
            with pytest.raises(Refused) as caught:
                result()
            assert caught.value.status == SERVICE_ERROR, command
            said = f"An error occurred ({code}) when calling the {operation} operation:"
            if message is None:
                assert said in caught.value.stderr, command
            else:
                assert caught.value.stderr.splitlines()[-1] == f"{said} {message}".rstrip(), command


def test_sign_and_verify(aws, blob_file):
    key = aws.kms("create-key", "--key-spec", "ECC_NIST_P384", "--key-usage", "SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    message = ["--message", blob_file(base64.b64encode(b"from the command line").decode())]
    signing = aws.start("kms", "sign", "--key-id", key, "--signing-algorithm", "ECDSA_SHA_384", *message)
    public = base64.b64decode(aws.kms("get-public-key", "--key-id", key)["PublicKey"])
    signature = signing()["Signature"]
    assert independent.verifies("ECC_NIST_P384", "ECDSA_SHA_384", public, b"from the command line", base64.b64decode(signature))
    call = ["kms", "verify", "--key-id", key, "--signing-algorithm", "ECDSA_SHA_384", "--signature", blob_file(signature)]
    good, bad = aws.start(*call, *message), aws.start(*call, "--message", blob_file("eA=="))
    assert good()["SignatureValid"] is True
    with pytest.raises(Refused, match=r"\(KMSInvalidSignatureException\) when calling the Verify operation"):
        bad()


def test_identity(aws, strict_aws):
    mine, theirs = aws.start("sts", "get-caller-identity"), strict_aws.start("sts", "get-caller-identity")
    mine, theirs = mine(), theirs()
    assert (mine["Account"], mine["Arn"]) == (aws.caller.account, f"arn:aws:iam::{aws.caller.account}:root")
    assert theirs["Account"] == DEFAULT_ACCOUNT


def test_accounts_are_isolated(aws):
    foreign = new_key(strict().client())["Arn"]
    key = foreign.replace(DEFAULT_ACCOUNT, "999999999999")
    with pytest.raises(Refused, match=r"\(AccessDeniedException\) when calling the DescribeKey operation"):
        aws.kms("describe-key", "--key-id", key)


def test_bad_credentials():
    known = strict()
    wrong_secret = Aws(known, AWS_ACCESS_KEY_ID=known.credentials.access_key, AWS_SECRET_ACCESS_KEY="wrong")
    stranger = Aws(known, AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY="wrong")
    refusals = [
        (wrong_secret.start("kms", "list-keys"), "(InvalidSignatureException) when calling the ListKeys operation"),
        (wrong_secret.start("sts", "get-caller-identity"), "(SignatureDoesNotMatch) when calling the GetCallerIdentity operation"),
        (stranger.start("kms", "list-keys"), "(UnrecognizedClientException) when calling the ListKeys operation"),
        (stranger.start("sts", "get-caller-identity"), "(InvalidClientTokenId) when calling the GetCallerIdentity operation"),
    ]
    for result, said in refusals:
        with pytest.raises(Refused) as caught:
            result()
        assert caught.value.status == SERVICE_ERROR
        assert said in caught.value.stderr
