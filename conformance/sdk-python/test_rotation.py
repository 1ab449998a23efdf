"""Rotation beside the main story: settings, states, limits."""

import datetime

import pytest

from support import DAY, new_key, refused

SECOND = datetime.timedelta(seconds=1)


def rotation_settings(kms, key):
    return {k: v for k, v in kms.get_key_rotation_status(KeyId=key).items() if k != "ResponseMetadata"}


def test_status_when_off(kms, key):
    assert rotation_settings(kms, key) == {"KeyId": key, "KeyRotationEnabled": False}


def test_default_period_and_turning_off(kms, key):
    kms.enable_key_rotation(KeyId=key)
    assert rotation_settings(kms, key)["RotationPeriodInDays"] == 365
    kms.disable_key_rotation(KeyId=key)
    assert rotation_settings(kms, key) == {"KeyId": key, "KeyRotationEnabled": False}


def test_a_new_period_counts_from_now(alone, kms, key):
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    now = alone.advance(30 * DAY)
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=180)
    status = rotation_settings(kms, key)
    assert status["RotationPeriodInDays"] == 180
    assert abs(status["NextRotationDate"] - now - 180 * DAY) < datetime.timedelta(minutes=1)


def test_25_rotations_on_demand(kms, key):
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key)
    message = (
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed "
        f"for this key: {key}"
    )
    with refused("LimitExceededException", message):
        kms.rotate_key_on_demand(KeyId=key)
    assert len(kms.list_key_rotations(KeyId=key)["Rotations"]) == 25


def test_automatic_rotations_do_not_count_against_the_limit(alone, kms, key):
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    alone.advance(26 * 90 * DAY + SECOND)
    kms.rotate_key_on_demand(KeyId=key)
    assert len(kms.list_key_rotations(KeyId=key)["Rotations"]) == 27


def test_every_material_still_opens_what_it_sealed(kms, key):
    sealed = []
    for n in range(4):
        material = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
        sealed.append((n, material, kms.encrypt(KeyId=key, Plaintext=bytes([n]))["CiphertextBlob"]))
        kms.rotate_key_on_demand(KeyId=key)
    for n, material, blob in reversed(sealed):
        opened = kms.decrypt(CiphertextBlob=blob)
        assert (opened["Plaintext"], opened["KeyMaterialId"]) == (bytes([n]), material)


def test_a_disabled_key_rotates_once_it_is_enabled(alone, kms, key):
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    settings = rotation_settings(kms, key)
    kms.disable_key(KeyId=key)
    assert rotation_settings(kms, key) == settings
    alone.advance(200 * DAY)
    assert kms.list_key_rotations(KeyId=key)["Rotations"] == []
    kms.enable_key(KeyId=key)
    now = alone.advance(1)  # runs what is due
    (rotation,) = kms.list_key_rotations(KeyId=key)["Rotations"]
    assert rotation["RotationType"] == "AUTOMATIC"
    assert abs(rotation["RotationDate"] - now) < datetime.timedelta(minutes=1)
    assert rotation_settings(kms, key)["NextRotationDate"] > now


def test_pending_deletion_hides_rotation(alone, kms, key):
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    settings = rotation_settings(kms, key)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert rotation_settings(kms, key)["KeyRotationEnabled"] is False
    kms.cancel_key_deletion(KeyId=key)
    assert rotation_settings(kms, key) == settings


@pytest.mark.parametrize("operation", ["enable_key_rotation", "disable_key_rotation", "rotate_key_on_demand"])
def test_rotation_needs_an_enabled_key(kms, key, operation):
    kms.disable_key(KeyId=key)
    with refused("DisabledException", f"{key} is disabled."):
        getattr(kms, operation)(KeyId=key)
    kms.enable_key(KeyId=key)
    kms.schedule_key_deletion(KeyId=key)
    with refused("KMSInvalidStateException", f"{key} is pending deletion."):
        getattr(kms, operation)(KeyId=key)


def test_aws_managed_keys_rotate_each_year_and_cannot_be_changed(alone, kms):
    meta = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    key = meta["Arn"]
    assert meta["KeyManager"] == "AWS"
    status = rotation_settings(kms, key)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 365)
    for operation in (kms.enable_key_rotation, kms.disable_key_rotation, kms.rotate_key_on_demand):
        with refused("UnsupportedOperationException"):
            operation(KeyId=key)
    alone.advance(366 * DAY)
    (rotation,) = kms.list_key_rotations(KeyId=key)["Rotations"]
    assert rotation["RotationDate"] == status["NextRotationDate"]
    assert new_key(kms)["Arn"] != key
