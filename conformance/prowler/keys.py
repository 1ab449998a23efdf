"""Every kind of key. Each function fills one account of a server, and returns the keys' ARNs by the name of their kind."""

import datetime
import functools
import json
import os
import time
import urllib.request

import boto3
from botocore.config import Config
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

import policies
from scanners import REGIONS

HOME, AWAY = REGIONS

# Kinds that are one call of CreateKey.
PLAIN = {
    "rotation-off": {},
    "rsa-encrypt": {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"},
    "rsa-sign": {"KeySpec": "RSA_3072", "KeyUsage": "SIGN_VERIFY"},
    "nist-sign": {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"},
    "nist-agree": {"KeySpec": "ECC_NIST_P384", "KeyUsage": "KEY_AGREEMENT"},
    "secg": {"KeySpec": "ECC_SECG_P256K1", "KeyUsage": "SIGN_VERIFY"},
    "edwards": {"KeySpec": "ECC_NIST_EDWARDS25519", "KeyUsage": "SIGN_VERIFY"},
    "sm2": {"KeySpec": "SM2", "KeyUsage": "ENCRYPT_DECRYPT"},
    "hmac": {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
    "hmac-multi-region": {"KeySpec": "HMAC_512", "KeyUsage": "GENERATE_VERIFY_MAC", "MultiRegion": True},
    "ml-dsa": {"KeySpec": "ML_DSA_65", "KeyUsage": "SIGN_VERIFY"},
    "ml-kem": {"KeySpec": "ML_KEM_768", "KeyUsage": "ENCAPSULATE_DECAPSULATE"},
}


class Account:
    """An account of a server that takes the account's ID for credentials."""

    def __init__(self, endpoint, account):
        self.endpoint, self.id = endpoint, account

    @functools.cache
    def kms(self, region=HOME):
        config = Config(max_pool_connections=32, retries={"total_max_attempts": 1})
        credentials = {"aws_access_key_id": self.id, "aws_secret_access_key": "anything"}
        return boto3.client("kms", region, endpoint_url=self.endpoint, config=config, **credentials)

    def create(self, region=HOME, **params):
        """Returns the new key's ARN."""
        return self.kms(region).create_key(**params)["KeyMetadata"]["Arn"]

    def enable_rotation(self, arn, days=365):
        self.kms().enable_key_rotation(KeyId=arn, RotationPeriodInDays=days)

    def import_material(self, arn, valid_to=None):
        """Gives a key 32 random bytes."""
        kms = self.kms()
        wrapping = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
        parameters = kms.get_parameters_for_import(KeyId=arn, **wrapping)
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        wrapped = serialization.load_der_public_key(parameters["PublicKey"]).encrypt(os.urandom(32), oaep)
        expiry = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
        if valid_to:
            expiry = {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": valid_to}
        kms.import_key_material(KeyId=arn, ImportToken=parameters["ImportToken"], EncryptedKeyMaterial=wrapped, **expiry)

    def imported(self, **params):
        arn = self.create(Origin="EXTERNAL", **params)
        self.import_material(arn)
        return arn

    def with_policy(self, document, **params):
        return self.create(Policy=json.dumps(document), **params)

    def replicate(self, arn):
        return self.kms().replicate_key(KeyId=arn, ReplicaRegion=AWAY)["ReplicaKeyMetadata"]["Arn"]

    def advance(self, seconds):
        """Moves the clock of the whole server forward."""
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Keyturn.AdvanceClock"}
        body = json.dumps({"Seconds": seconds}).encode()
        urllib.request.urlopen(urllib.request.Request(self.endpoint + "/", body, headers), timeout=30).close()

    def connected_store(self, region, proxy):
        """Makes an external key store, and waits until it is connected."""
        kms = self.kms(region)
        store = kms.create_custom_key_store(CustomKeyStoreName="external", **proxy)["CustomKeyStoreId"]
        kms.connect_custom_key_store(CustomKeyStoreId=store)
        for _ in range(100):
            (entry,) = kms.describe_custom_key_stores(CustomKeyStoreId=store)["CustomKeyStores"]
            if entry["ConnectionState"] == "CONNECTED":
                return store
            time.sleep(0.1)
        raise SystemExit(f"the external key store is not connected: {entry}")


def every_kind(account, proxy):
    """Keys of every spec, origin and state, and those of policies.py."""
    kms = account.kms()
    made = {name: account.create(**params) for name, params in PLAIN.items()}
    # First, because it turns the clock.
    made["imported-expired"] = expired(account)
    for name, days in ("rotation-on", 365), ("rotation-rare", 2560), ("disabled-rotating", 365):
        made[name] = account.create()
        account.enable_rotation(made[name], days)
    made["disabled"] = account.create()
    made["disabled-public"] = account.with_policy(policies.document(policies.public()["public"], account.id))
    for name in "disabled", "disabled-rotating", "disabled-public":
        kms.disable_key(KeyId=made[name])
    made["deleted"] = account.create()
    kms.schedule_key_deletion(KeyId=made["deleted"], PendingWindowInDays=7)
    made["imported"] = account.imported()
    made["imported-hmac"] = account.imported(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    made["imported-multi-region"] = account.imported(MultiRegion=True)
    made["imported-waiting"] = account.create(Origin="EXTERNAL")
    made.update(replicated(account))
    made.update(external(account, proxy))
    made["aws-managed"] = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"]
    for name, statements in policies.public().items():
        made[name] = account.with_policy(policies.document(statements, account.id))
    made.update(of_enclaves(account))
    return made


def expired(account):
    """A key whose imported material is there no more."""
    arn = account.create(Origin="EXTERNAL")
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    account.import_material(arn, soon)
    account.advance(2 * 3600)
    return arn


def replicated(account):
    """Primaries and replicas, of keys that rotate, that do not, and of which one half is to be deleted."""
    made = {}
    for name in "rotating", "resting", "leaving", "shrinking":
        primary = made[f"primary-{name}"] = account.create(MultiRegion=True)
        if name == "rotating":
            account.enable_rotation(primary)
        made[f"replica-{name}"] = account.replicate(primary)
    account.kms().schedule_key_deletion(KeyId=made["primary-leaving"], PendingWindowInDays=7)
    account.kms(AWAY).schedule_key_deletion(KeyId=made["replica-shrinking"], PendingWindowInDays=7)
    return made


def external(account, proxy):
    """Keys of external key stores, one of which is not connected."""
    made = {}
    for name, region in ("external", HOME), ("external-unavailable", AWAY):
        store = account.connected_store(region, proxy)
        made[name] = account.create(region, Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=store, XksKeyId=f"conformance-{name}")
    account.kms(AWAY).disconnect_custom_key_store(CustomKeyStoreId=store)
    return made


def of_enclaves(account):
    """Keys of enclaves by each policy, and by each sign that Prowler knows them by."""
    made = {}
    for name, statements in policies.enclave().items():
        document = policies.document(statements, account.id, managed_only=True)
        made[name] = account.with_policy(document, Description="payments enclave")
    made["enclave-standard-policy"] = account.create(Description="Enclave signing")
    made["enclave-by-tag"] = account.create(Tags=[{"TagKey": "prowler:enclave-key", "TagValue": "true"}])
    made["enclave-by-tag-value"] = account.create(Tags=[{"TagKey": "workload", "TagValue": "nitro-enclaves"}])
    made["enclave-by-alias"] = account.create()
    account.kms().create_alias(AliasName="alias/enclave-payments", TargetKeyId=made["enclave-by-alias"])
    half = policies.document(policies.enclave()["enclave-half"], account.id, managed_only=True)
    made["enclave-by-policy"] = account.with_policy(half)
    made["enclave-disabled"] = account.create(Description="old enclave")
    account.kms().disable_key(KeyId=made["enclave-disabled"])
    return made


def lone_statement(account):
    """A key policy whose statement is not in a list, and a key that has nothing to do with it."""
    document = {"Version": "2012-10-17", "Statement": policies.filled(policies.allow("*", "kms:*"), account.id)}
    return {"lone-statement": account.with_policy(document), "beside-lone-statement": account.create()}


def unreadable(account, refused):
    """Keys about which one call each is refused; adds the calls to refused."""
    made = {}
    tags = [{"TagKey": "workload", "TagValue": "enclave"}]
    for call in "DescribeKey", "GetKeyRotationStatus", "GetKeyPolicy", "ListResourceTags":
        made[f"refused-{call}"] = arn = account.create(Tags=tags)
        account.enable_rotation(arn)
        refused.append((call, arn.rpartition("/")[2]))
    return made
