"""Key policies that a scanner has to tell apart: by kind of key, the statements beside the one that lets the account manage its key."""

MINE = "arn:aws:iam::{account}"
EVERYBODY = {"AWS": "*"}
ORGANIZATION = "o-a1b2c3d4e5"
S3 = "s3.eu-central-1.amazonaws.com"
MEASUREMENT = "4f" * 48
DATA = ["kms:Decrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyPair", "kms:DeriveSharedSecret", "kms:GenerateRandom"]
PCR0, PCR8, IMAGE = (f"kms:RecipientAttestation:{name}" for name in ("PCR0", "PCR8", "ImageSha384"))


def statement(effect, principal, action, condition=None):
    made = {"Effect": effect, "Principal": principal, "Action": action, "Resource": "*"}
    return {**made, "Condition": condition} if condition else made


def allow(principal, action="kms:Decrypt", **condition):
    return statement("Allow", principal, action, condition)


def deny(action="kms:*", principal="*", **condition):
    return statement("Deny", principal, action, condition)


def condition(operator, key, value):
    """Everybody may decrypt under one condition."""
    return [statement("Allow", EVERYBODY, "kms:Decrypt", {operator: {key: value}})]


def public():
    """Kinds of keys about whose openness to the world scanners may differ."""
    role = f"{MINE}:role/reader"
    return {
        "public": [allow("*")],
        "public-aws": [allow(EVERYBODY)],
        "public-list": [allow({"AWS": [f"{MINE}:root", "*"]})],
        "public-metadata": [allow(EVERYBODY, "kms:DescribeKey")],
        "other-account": [allow({"AWS": "arn:aws:iam::444455556666:root"})],
        "service": [allow({"Service": "logs.eu-central-1.amazonaws.com"})],
        # Conditions that leave few.
        "organization": condition("StringEquals", "aws:PrincipalOrgID", ORGANIZATION),
        "organization-odd-case": condition("StringEquals", "AWS:principalorgid", ORGANIZATION),
        "organization-unit": condition("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", f"{ORGANIZATION}/r-ab12/ou-ab12-11111111/*"),
        "caller-account": condition("StringEquals", "kms:CallerAccount", "{account}"),
        "caller-account-any-case": condition("StringEqualsIgnoreCase", "kms:CallerAccount", "{account}"),
        "principal-arn": condition("ArnEquals", "aws:PrincipalArn", role),
        "vpc": condition("StringEquals", "aws:SourceVpc", "vpc-0123456789abcdef0"),
        "private-addresses": condition("IpAddress", "aws:SourceIp", "10.0.0.0/8"),
        "public-addresses": condition("IpAddress", "aws:SourceIp", ["198.51.100.0/24", "2001:db8::/32", "52.94.76.1"]),
        "service-in-account": [allow(EVERYBODY, StringEquals={"kms:CallerAccount": "{account}", "kms:ViaService": S3})],
        # Conditions that leave everybody, or anybody who wants to.
        "every-address": condition("IpAddress", "aws:SourceIp", "0.0.0.0/0"),
        "both-halves-of-all-addresses": condition("IpAddress", "aws:SourceIp", ["0.0.0.0/1", "128.0.0.0/1"]),
        "every-account": condition("StringLike", "kms:CallerAccount", "*"),
        "every-organization": condition("StringLike", "aws:PrincipalOrgID", "o-*"),
        "role-of-every-account": condition("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/reader"),
        "variable": condition("StringEquals", "aws:PrincipalAccount", "${aws:PrincipalAccount}"),
        "own-resource": condition("StringEquals", "aws:ResourceAccount", "{account}"),
        "user-name": condition("StringEquals", "aws:username", "alice"),
        "through-any-service": condition("StringEquals", "aws:CalledViaFirst", "cloudformation.amazonaws.com"),
        "through-s3": condition("StringEquals", "kms:ViaService", S3),
        "other-organizations": condition("StringNotEquals", "aws:PrincipalOrgID", ORGANIZATION),
        "organization-if-any": condition("StringEqualsIfExists", "aws:PrincipalOrgID", ORGANIZATION),
        "organization-for-all-values": condition("ForAllValues:StringEquals", "aws:PrincipalOrgPaths", f"{ORGANIZATION}/r-ab12/"),
        "encrypted-transport": condition("Bool", "aws:SecureTransport", "true"),
        # Statements that take away what others give.
        "denied-to-strangers": [allow("*"), deny(StringNotEquals={"aws:PrincipalAccount": "{account}"})],
        "denied-outside-organization": [allow("*"), deny("kms:Decrypt", StringNotEquals={"aws:PrincipalOrgID": ORGANIZATION})],
        "denied-to-all": [allow("*"), deny("kms:Decrypt")],
        "denied-something-else": [allow("*"), deny("kms:Encrypt", StringNotEquals={"aws:PrincipalAccount": "{account}"})],
    }


def enclave():
    """Kinds of keys of Nitro enclaves. The account itself may only manage them, so that the enclave's statements decide."""
    role = {"AWS": f"{MINE}:role/enclave-parent"}
    attested = {"StringEqualsIgnoreCase": {PCR0: MEASUREMENT}}
    absent = {"Null": {PCR0: "true"}}
    differs = {"StringNotEqualsIgnoreCaseIfExists": {PCR0: MEASUREMENT}}
    return {
        "enclave-attested": [allow(role, DATA, **attested)],
        "enclave-image": [allow(role, "kms:Decrypt", StringEquals={IMAGE: MEASUREMENT})],
        "enclave-any-of": [allow(role, "kms:Decrypt", **{"ForAnyValue:StringEquals": {PCR8: [MEASUREMENT, "5e" * 48]}})],
        "enclave-open": [allow(role, DATA)],
        "enclave-open-wildcard": [allow(role, "kms:GenerateDataKey*")],
        "enclave-open-not-action": [{"Effect": "Allow", "Principal": role, "NotAction": "kms:Encrypt", "Resource": "*"}],
        "enclave-managed": [allow(role, ["kms:Encrypt", "kms:DescribeKey"])],
        "enclave-half": [allow(role, "kms:Decrypt", **attested), allow(role, "kms:GenerateDataKey")],
        "enclave-wildcard": [allow(role, "kms:Decrypt", StringLike={PCR0: "*"})],
        "enclave-if-any": [allow(role, "kms:Decrypt", StringEqualsIfExists={PCR0: MEASUREMENT})],
        "enclave-for-all-values": [allow(role, "kms:Decrypt", **{"ForAllValues:StringEquals": {PCR0: MEASUREMENT}})],
        "enclave-for-all-values-present": [
            allow(role, "kms:Decrypt", **{"ForAllValues:StringEquals": {PCR0: MEASUREMENT}, "Null": {PCR0: "false"}})
        ],
        "enclave-denied-absent": [allow(role, DATA), deny(DATA, **absent)],
        "enclave-denied-different-or-absent": [allow(role, DATA), deny(DATA, EVERYBODY, **differs)],
        # A negated operator holds where its key is absent, with IfExists or without.
        "enclave-denied-different": [allow(role, DATA), deny(DATA, StringNotEquals={PCR0: MEASUREMENT})],
        "enclave-denied-in-two": [allow(role, DATA), deny(DATA[:2], **absent), deny(DATA[2:], **absent)],
        "enclave-denied-some": [allow(role, DATA), deny("kms:Decrypt", **absent)],
        "enclave-denied-one-role": [allow(role, DATA), deny(DATA, {"AWS": f"{MINE}:role/other"}, **absent)],
        "enclave-denied-at-times": [allow(role, DATA), deny(DATA, **absent, Bool={"aws:SecureTransport": "false"})],
        # Ways around attestation that are not among the actions of enclaves.
        "enclave-grants": [allow(role, DATA, **attested), allow(role, "kms:CreateGrant")],
        "enclave-re-encrypts": [allow(role, DATA, **attested), allow(role, "kms:ReEncrypt*")],
        "enclave-administered": [allow({"AWS": f"{MINE}:root"}, "kms:*"), deny(DATA, **absent)],
        "enclave-grants-denied": [allow(role, "kms:CreateGrant"), deny([*DATA, "kms:ReEncryptFrom"], **absent)],
    }


def document(kind_statements, account, managed_only=False):
    """The policy of a key of an account: its statements and the one that lets the account manage the key."""
    manage = ["kms:CreateAlias", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Get*", "kms:Schedule*"]
    first = allow({"AWS": f"{MINE}:root"}, manage if managed_only else "kms:*")
    return {"Version": "2012-10-17", "Statement": filled([first, *kind_statements], account)}


def filled(value, account):
    """The value with the account's ID wherever it stands for it."""
    match value:
        case dict():
            return {name: filled(item, account) for name, item in value.items()}
        case list():
            return [filled(item, account) for item in value]
        case _:
            return value.replace("{account}", account)
