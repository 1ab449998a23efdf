"""Grants: made, found, retried, and ended in each way."""

import concurrent.futures

import pytest

from support import NO_SUCH_KEY, OTHER_REGION, everything, new_key, refused, trusting

NO_SUCH_GRANT = "0" * 64
NOT_FOUND = f"Grant ID {NO_SUCH_GRANT} not found"
BAD_TOKEN = "Invalid grant token."


@pytest.fixture
def role(alone):
    return f"arn:aws:iam::{alone.account}:role/path/grantee"


@pytest.fixture
def admin(alone):
    return f"arn:aws:iam::{alone.account}:user/admin"


def grants(kms, key, **params):
    return kms.list_grants(KeyId=key, **params)["Grants"]


def test_the_story_of_a_grant(alone, kms, key, role, admin):
    made = kms.create_grant(
        KeyId=key,
        GranteePrincipal=role,
        RetiringPrincipal=admin,
        Operations=["Decrypt", "DescribeKey", "RetireGrant"],
        Constraints={"EncryptionContextSubset": {"Department": "IT"}},
        Name="story",
    )
    assert len(made["GrantId"]) == 64 and int(made["GrantId"], 16) >= 0
    (listed,) = grants(kms, key)
    assert {n: v for n, v in listed.items() if n != "CreationDate"} == {
        "KeyId": key,
        "GrantId": made["GrantId"],
        "Name": "story",
        "GranteePrincipal": role,
        "RetiringPrincipal": admin,
        "IssuingAccount": f"arn:aws:iam::{alone.account}:root",
        "Operations": ["Decrypt", "DescribeKey", "RetireGrant"],
        "Constraints": {"EncryptionContextSubset": {"Department": "IT"}},
    }
    assert listed in kms.list_retirable_grants(RetiringPrincipal=admin)["Grants"]
    assert grants(kms, key, GrantId=made["GrantId"]) == grants(kms, key, GranteePrincipal=role) == [listed]
    assert grants(kms, key, GranteePrincipal=admin) == grants(kms, key, GrantId=NO_SUCH_GRANT) == []
    kms.retire_grant(GrantToken=made["GrantToken"])
    assert grants(kms, key) == kms.list_retirable_grants(RetiringPrincipal=admin)["Grants"] == []
    with refused("NotFoundException", f"Grant ID {made['GrantId']} not found"):
        kms.retire_grant(GrantToken=made["GrantToken"])


@pytest.mark.parametrize("end", ["retire_grant", "revoke_grant"])
def test_ended_by_its_id(kms, key, role, end):
    made = kms.create_grant(KeyId=key, GranteePrincipal=role, Operations=["Encrypt"])
    end = getattr(kms, end)
    with refused("DryRunOperationException"):
        end(KeyId=key, GrantId=made["GrantId"], DryRun=True)
    assert len(grants(kms, key)) == 1
    with refused("NotFoundException", NOT_FOUND):
        end(KeyId=key, GrantId=NO_SUCH_GRANT)
    with refused("NotFoundException"):
        end(KeyId=new_key(kms)["KeyId"], GrantId=made["GrantId"])
    with refused("NotFoundException"):
        end(KeyId=NO_SUCH_KEY, GrantId=made["GrantId"])
    with refused("InvalidGrantIdException", "Invalid grant ID 'x'"):
        end(KeyId=key, GrantId="x")
    end(KeyId=key, GrantId=made["GrantId"])
    assert grants(kms, key) == []


def test_a_service_as_grantee(kms, key, admin):
    source = "arn:aws:s3:eu-central-1:111122223333:bucket"
    params = {"KeyId": key, "GranteeServicePrincipal": "logs.amazonaws.com", "Operations": ["Decrypt"]}
    for missing in ({"Constraints": {"SourceArn": source}}, {"RetiringPrincipal": admin}):
        with refused("ValidationException", modelled=False):
            kms.create_grant(**params, **missing)
    kms.create_grant(**params, Constraints={"SourceArn": source}, RetiringServicePrincipal="logs.amazonaws.com")
    (listed,) = grants(kms, key)
    assert listed["GranteeServicePrincipal"] == listed["RetiringServicePrincipal"] == "logs.amazonaws.com"
    assert listed["Constraints"] == {"SourceArn": source}
    assert "GranteePrincipal" not in listed and "RetiringPrincipal" not in listed
    for call in (
        lambda: kms.list_grants(KeyId=key, GranteeServicePrincipal="logs.amazonaws.com"),
        lambda: kms.list_retirable_grants(RetiringServicePrincipal="logs.amazonaws.com"),
    ):
        with refused("AccessDeniedException", modelled=False):
            call()


def test_retries_by_name(kms, key, role):
    params = {"KeyId": key, "GranteePrincipal": role, "Operations": ["Decrypt", "Encrypt"], "Name": "n"}
    first = kms.create_grant(**params)
    again = kms.create_grant(**params, GrantTokens=[first["GrantToken"]])
    assert again["GrantId"] == first["GrantId"]
    assert again["GrantToken"] != first["GrantToken"]
    others = [
        {**params, "Name": "m"},
        {**params, "Operations": ["Decrypt"]},
        {**params, "Constraints": {"EncryptionContextEquals": {"a": "b"}}},
        {**params, "KeyId": new_key(kms)["KeyId"]},
    ]
    ids = {kms.create_grant(**p)["GrantId"] for p in others} | {first["GrantId"]}
    assert len(ids) == 5
    del params["Name"]
    assert kms.create_grant(**params)["GrantId"] != kms.create_grant(**params)["GrantId"]


def test_retries_at_the_same_time(kms, key, role):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = pool.map(
            lambda _: kms.create_grant(KeyId=key, GranteePrincipal=role, Operations=["Decrypt"], Name="n")["GrantId"], range(24)
        )
        assert len(set(made)) == 1


def test_pages(kms, key, role, admin):
    other = new_key(kms)["Arn"]
    made = {key: set(), other: set()}
    for n in range(25):
        for k in made:
            grant = kms.create_grant(
                KeyId=k, GranteePrincipal=f"{role}{n % 2}", RetiringPrincipal=admin, Operations=["Decrypt"], Name=f"{n}"
            )
            made[k].add(grant["GrantId"])
    for params, operation, want in (
        ({"KeyId": key}, "list_grants", made[key]),
        ({"KeyId": key, "GranteePrincipal": f"{role}0"}, "list_grants", {g["GrantId"] for g in grants(kms, key) if g["GranteePrincipal"] == f"{role}0"}),
        ({"RetiringPrincipal": admin}, "list_retirable_grants", made[key] | made[other]),
    ):
        items, sizes = everything(kms, operation, "Grants", PageSize=7, **params)
        assert len(items) == len(want) and {g["GrantId"] for g in items} == want
        assert max(sizes) <= 7
    marker = kms.list_grants(KeyId=key, Limit=1)["NextMarker"]
    for call in (
        lambda: kms.list_retirable_grants(RetiringPrincipal=admin, Marker=marker),
        lambda: kms.list_grants(KeyId=key, GranteePrincipal=role, Marker=marker),
        lambda: kms.list_grants(KeyId=key, Marker="x"),
    ):
        with refused("InvalidMarkerException"):
            call()


VALUE = "v" * 385


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Operations": []}, "ValidationException"),
        ({"Operations": ["CreateGrant"]}, "ValidationException"),
        ({"Operations": ["Decrypt", "Sign"]}, "ValidationException"),
        ({"Operations": ["ListGrants"]}, "ValidationException"),
        ({"GranteePrincipal": None}, "ValidationException"),
        ({"GranteePrincipal": "arn:aws:iam::111122223333:group/g"}, "InvalidArnException"),
        ({"GranteePrincipal": "logs.amazonaws.com"}, "InvalidArnException"),
        ({"RetiringPrincipal": "111122223333"}, "InvalidArnException"),
        ({"Constraints": {"EncryptionContextSubset": {"a": VALUE}}}, "ValidationException"),
        ({"Constraints": {"EncryptionContextSubset": {f"{n}": "v" for n in range(9)}}}, "ValidationException"),
        ({"Constraints": {"EncryptionContextSubset": {"a": "b"}, "EncryptionContextEquals": {"a": "b"}}}, "ValidationException"),
        ({"Constraints": {"SourceArn": "arn:aws:s3:::bucket-of-nobody"}}, "ValidationException"),
        ({"Name": "a b"}, "ValidationException"),
        ({"GrantTokens": ["AQpAM2RhZ"]}, "InvalidGrantTokenException"),
        ({"KeyId": NO_SUCH_KEY}, "NotFoundException"),
        ({"KeyId": "alias/a"}, "NotFoundException"),
    ],
)
def test_grants_that_cannot_be(alone, kms, key, role, change, code):
    raw = alone.client(parameter_validation=False)
    params = {"KeyId": key, "GranteePrincipal": role, "Operations": ["Decrypt"], **change}
    params = {n: v for n, v in params.items() if v is not None}
    with refused(code, modelled=code != "ValidationException"):
        raw.create_grant(**params)
    assert grants(kms, key) == []


@pytest.mark.parametrize(
    ("spec", "usage", "can", "cannot"),
    [
        ("RSA_2048", "ENCRYPT_DECRYPT", "GetPublicKey", "GenerateDataKey"),
        ("ECC_NIST_P256", "SIGN_VERIFY", "Verify", "Decrypt"),
        ("ECC_NIST_P256", "KEY_AGREEMENT", "DeriveSharedSecret", "Sign"),
        ("HMAC_256", "GENERATE_VERIFY_MAC", "GenerateMac", "GetPublicKey"),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", "Decapsulate", "Encrypt"),
    ],
)
def test_operations_of_a_key(kms, role, spec, usage, can, cannot):
    key = new_key(kms, KeySpec=spec, KeyUsage=usage)["Arn"]
    params = {"KeyId": key, "GranteePrincipal": role}
    kms.create_grant(**params, Operations=[can, "DescribeKey", "RetireGrant", "CreateGrant"])
    with refused("ValidationException", modelled=False):
        kms.create_grant(**params, Operations=[cannot])
    with refused("ValidationException", modelled=False):
        kms.create_grant(**params, Operations=[can], Constraints={"EncryptionContextEquals": {"a": "b"}})


def test_tokens(alone, kms, key, role):
    token = kms.create_grant(KeyId=key, GranteePrincipal=role, Operations=["Decrypt"])["GrantToken"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", GrantTokens=[token])["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, GrantTokens=[token])["Plaintext"] == b"x"
    altered = token[:20] + ("B" if token[20] == "A" else "A") + token[21:]
    for bad in ("x", altered, token[:-4]):
        for call in (
            lambda: kms.decrypt(CiphertextBlob=blob, GrantTokens=[token, bad]),
            lambda: kms.describe_key(KeyId=key, GrantTokens=[bad]),
            lambda: kms.retire_grant(GrantToken=bad),
        ):
            with refused("InvalidGrantTokenException", BAD_TOKEN, modelled=True):
                call()
    with refused("InvalidGrantTokenException", BAD_TOKEN):
        alone.client(region=OTHER_REGION).retire_grant(GrantToken=token)
    for params in ({}, {"KeyId": key}, {"GrantId": NO_SUCH_GRANT}, {"GrantToken": token, "KeyId": key, "GrantId": NO_SUCH_GRANT}):
        with refused("ValidationException", modelled=False):
            kms.retire_grant(**params)
    # A token is no key to another account.
    stranger = trusting().client()
    with refused("AccessDeniedException", modelled=False):
        stranger.retire_grant(GrantToken=token)
    with refused("AccessDeniedException", modelled=False):
        stranger.list_grants(KeyId=key)
    with refused("AccessDeniedException", modelled=False):
        stranger.list_retirable_grants(RetiringPrincipal=role)
    assert len(grants(kms, key)) == 1


def test_states(kms, key, role):
    made = kms.create_grant(KeyId=key, GranteePrincipal=role, Operations=["Decrypt"])
    params = {"KeyId": key, "GranteePrincipal": role, "Operations": ["Decrypt"]}
    kms.disable_key(KeyId=key)
    with refused("DisabledException", f"{key} is disabled."):
        kms.create_grant(**params)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    with refused("KMSInvalidStateException", f"{key} is pending deletion."):
        kms.create_grant(**params)
    kms.revoke_grant(KeyId=key, GrantId=made["GrantId"])
    imported = new_key(kms, Origin="EXTERNAL")["Arn"]
    with refused("KMSInvalidStateException", f"{imported} is pending import."):
        kms.create_grant(**{**params, "KeyId": imported})
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"]
    with refused("AccessDeniedException", modelled=False):
        kms.create_grant(**{**params, "KeyId": managed})
    assert grants(kms, managed) == []


def test_a_deleted_key_takes_its_grants_along(alone, kms, key, role, admin):
    for n in range(40):
        kms.create_grant(KeyId=key, GranteePrincipal=role, RetiringPrincipal=admin, Operations=["Decrypt"], Name=f"{n}")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    alone.advance(8 * 24 * 3600)
    assert kms.list_retirable_grants(RetiringPrincipal=admin)["Grants"] == []
    with refused("NotFoundException"):
        kms.list_grants(KeyId=key)


def test_replicas_have_grants_of_their_own(alone, kms, role):
    primary = new_key(kms, MultiRegion=True)
    kms.create_grant(KeyId=primary["KeyId"], GranteePrincipal=role, Operations=["Decrypt"])
    kms.replicate_key(KeyId=primary["KeyId"], ReplicaRegion=OTHER_REGION)
    there = alone.client(region=OTHER_REGION)
    assert grants(there, primary["KeyId"]) == []
    there.create_grant(KeyId=primary["KeyId"], GranteePrincipal=role, Operations=["Encrypt"])
    assert [g["Operations"] for g in grants(kms, primary["KeyId"])] == [["Decrypt"]]
