"""keyturn check on keys of every kind: what it says of them, every report validated, the page opened in a browser, and the fix."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import imports
import support

HERE = pathlib.Path(__file__).parent
HOSTILE = "</script><script>alert(1)</script> \"'`|*_[x](http://example.invalid) =cmd()|' ]]> \u202e"
FORMATS = "table,json,csv,junit,sarif,ocsf,asff,markdown,html"


def run(caller, *args, regions=(support.REGION, support.OTHER_REGION)):
    """Runs keyturn check as a caller; returns the exit status and what it prints."""
    env = dict(os.environ, AWS_ACCESS_KEY_ID=caller.credentials.access_key, AWS_SECRET_ACCESS_KEY=caller.credentials.secret_key)
    flags = [f"--region={region}" for region in regions]
    command = [os.environ["KEYTURN_PROGRAM"], "check", "--endpoint", caller.endpoint, *flags, *args]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert "panic" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def account():
    """An account with keys of every kind, and the IDs of some by what they are."""
    caller = support.trusting()
    kms = caller.client()
    keys = {}
    for spec, about in support.SPECS.items():
        for usage in about["usages"]:
            key = support.new_key(kms, KeySpec=spec, KeyUsage=usage, Description=HOSTILE)
            keys.setdefault(spec, key["KeyId"])
            kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "owner", "TagValue": "=1+1"}])
    keys["rotating"] = support.new_key(kms)["KeyId"]
    kms.enable_key_rotation(KeyId=keys["rotating"], RotationPeriodInDays=90)
    kms.create_alias(AliasName="alias/rotating", TargetKeyId=keys["rotating"])
    keys["slow"] = support.new_key(kms)["KeyId"]
    kms.enable_key_rotation(KeyId=keys["slow"], RotationPeriodInDays=2560)
    keys["imported"] = support.new_key(kms, Origin="EXTERNAL")["KeyId"]
    imports.import_material(kms, caller.arn("key/" + keys["imported"]), imports.new_material("SYMMETRIC_DEFAULT"))
    keys["empty"] = support.new_key(kms, Origin="EXTERNAL")["KeyId"]
    keys["disabled"] = support.new_key(kms)["KeyId"]
    kms.disable_key(KeyId=keys["disabled"])
    keys["doomed"] = support.new_key(kms)["KeyId"]
    kms.schedule_key_deletion(KeyId=keys["doomed"], PendingWindowInDays=7)
    keys["primary"] = support.new_key(kms, MultiRegion=True)["KeyId"]
    kms.replicate_key(KeyId=keys["primary"], ReplicaRegion=support.OTHER_REGION)
    keys["public"] = support.new_key(kms)["KeyId"]
    policy = json.loads(kms.get_key_policy(KeyId=keys["public"])["Policy"])
    policy["Statement"].append({"Sid": "World", "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"})
    kms.put_key_policy(KeyId=keys["public"], Policy=json.dumps(policy))
    kms.describe_key(KeyId="alias/aws/s3")
    return caller, keys


def findings(caller, *args):
    status, out, err = run(caller, "--format", "json", *args)
    assert status in (0, 3), err
    return json.loads(out)["findings"]


def test_verdicts(account):
    caller, keys = account
    said = {(f["resource"]["id"], f["resource"]["region"], f["check"]): f["status"] for f in findings(caller)}
    want = {
        ("rotating", "rotation-enabled"): "PASS",
        ("rotating", "rotation-period"): "PASS",
        ("rotating", "has-alias"): "PASS",
        ("slow", "rotation-enabled"): "PASS",
        ("slow", "rotation-period"): "FAIL",
        ("SYMMETRIC_DEFAULT", "rotation-enabled"): "FAIL",
        ("RSA_2048", "rotation-enabled"): "NOT_APPLICABLE",
        ("HMAC_256", "rotation-enabled"): "NOT_APPLICABLE",
        ("imported", "rotation-enabled"): "NOT_APPLICABLE",
        ("imported", "manual-rotation"): "PASS",
        ("imported", "import-expiry"): "PASS",
        ("empty", "import-expiry"): "FAIL",
        ("disabled", "key-enabled"): "FAIL",
        ("disabled", "rotation-enabled"): "NOT_APPLICABLE",
        ("doomed", "pending-deletion"): "FAIL",
        ("primary", "multi-region"): "FAIL",
        ("primary", "replicas-agree"): "PASS",
        ("public", "policy-public"): "FAIL",
        ("rotating", "policy-public"): "PASS",
    }
    got = {(kind, check): said.get((keys[kind], support.REGION, check)) for kind, check in want}
    assert got == want
    assert said[(keys["primary"], support.OTHER_REGION, "replicas-agree")] == "NOT_APPLICABLE"
    assert "ERROR" not in said.values()


def test_reports(account, tmp_path):
    caller, _ = account
    folder = tmp_path / "reports"
    status, out, err = run(caller, "--format", FORMATS, "--output", str(folder))
    assert (status, out) == (3, ""), err
    for name, args in {
        "reports.py": [str(folder), "--junit-xsd", os.environ["KEYTURN_JUNIT_XSD"]],
        "page.py": [str(folder / "keyturn-check.html"), os.environ["KEYTURN_PICTURE"]],
    }.items():
        done = subprocess.run([sys.executable, str(HERE / name), *args], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout)


def test_terminal(account):
    """What comes from outside does not steer the terminal."""
    caller, _ = account
    _, out, err = run(caller, "--verbose")
    assert not [c for c in out + err if not c.isprintable() and c not in "\n"]


def test_fix(account):
    caller, keys = account
    kms = caller.client()
    status, out, err = run(caller, "--fix", "--dry-run")
    assert status == 3 and "aws kms enable-key-rotation --key-id" in out, err
    planned = {line.split()[4] for line in out.splitlines() if line.startswith("aws ")}
    wanted = {"SYMMETRIC_DEFAULT", "slow", "primary", "public"}
    assert planned == {caller.arn("key/" + keys[kind]) for kind in wanted}
    status, out, err = run(caller, "--fix", "--yes", "--check", "rotation-enabled", "--check", "rotation-period", "--format", "json")
    assert status == 0, err
    changes = json.loads(out)["summary"]["changes"]
    assert {c["keyArn"] for c in changes} == planned and all(c["done"] for c in changes)
    for kind in wanted:
        assert kms.get_key_rotation_status(KeyId=keys[kind])["RotationPeriodInDays"] == 365
    assert run(caller, "--check", "rotation-enabled", "--check", "rotation-period")[0] == 0
    assert run(caller, "--fix", "--dry-run")[:2] == (0, "")
