"""The two scanners: what each says of every key, in the same words."""

import importlib.util
import json
import pathlib
import subprocess
import sys
import time

import servers

# Checks that ask the same: keyturn's, and Prowler's.
PAIRS = {
    "rotation-enabled": "kms_cmk_rotation_enabled",
    "key-enabled": "kms_cmk_are_used",
    "pending-deletion": "kms_cmk_not_deleted_unintentionally",
    "multi-region": "kms_cmk_not_multi_region",
    "policy-public": "kms_key_not_publicly_accessible",
    "enclave-attestation": "kms_key_enclave_attestation_not_enforced",
    "enclave-bypass": "kms_key_enclave_attestation_bypassable_path",
}

# Prowler's other checks of keys, and why they are not compared.
NOT_COMPARED = {
    "kms_key_enclave_attestation_no_deployment_binding": "advice on where an image may run, which keyturn check does not give",
    "kms_key_enclave_attestation_pcr_mismatch": "compares with measurements that the person who scans has to give",
    "kms_key_enclave_attestation_unknown_image": "asks CloudTrail what enclaves did, and compares with measurements that have to be given",
    "kms_key_enclave_debug_attestation_detected": "asks CloudTrail what enclaves did",
}
REGIONS = ("eu-central-1", "us-east-1")

# The verdict where a scanner says nothing of a key, and where it says that there is nothing to judge.
NONE = "none"


def lapse(started):
    return time.monotonic() - started


def prowlers_checks():
    """The names of all checks of keys that the installed Prowler has."""
    (package,) = importlib.util.find_spec("prowler").submodule_search_locations
    return {path.parent.name for path in pathlib.Path(package).glob("providers/aws/services/kms/*/*.metadata.json")}


class Prowler:
    """Prowler in the virtual environment that this program runs in."""

    def __init__(self, folder, other_services):
        self.folder, self.other_services = folder, other_services
        folder.mkdir(parents=True)
        self.left = []  # hosts that it wanted to reach beyond this machine

    def scan(self, name, endpoint, account, checks=PAIRS, regions=REGIONS):
        """Returns {(key ARN, keyturn's name of the check): verdict} and the seconds it took."""
        watched = self.folder / f"{name}.left"
        env = servers.environment(
            account,
            AWS_ENDPOINT_URL=self.other_services,
            AWS_ENDPOINT_URL_KMS=endpoint,
            AWS_ENDPOINT_URL_STS=endpoint,
            AWS_DEFAULT_REGION=regions[0],
            PYTHONPATH=str(servers.HERE / "loopback"),
            LOOPBACK_LOG=str(watched),
        )
        # Without --scan-unused-services it leaves disabled keys out of some checks. Exit status 3 would say that some check failed.
        command = [sys.executable, "-m", "prowler", "aws", "--check", *(PAIRS[c] for c in checks), "--region", *regions]
        command += ["--scan-unused-services", "--ignore-exit-code-3", "--no-banner", "--no-color"]
        command += ["--output-formats", "json-ocsf", "--output-directory", str(self.folder), "--output-filename", name]
        started = time.monotonic()
        with (self.folder / f"{name}.log").open("w") as log:
            done = subprocess.run(command, env=env, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT)
        took = lapse(started)
        report = self.folder / f"{name}.ocsf.json"
        if done.returncode or not report.exists():
            raise SystemExit(f"Prowler ended with status {done.returncode}:\n{(self.folder / f'{name}.log').read_text()}")
        self.left += watched.read_text().split()
        ours = {theirs: check for check, theirs in PAIRS.items()}
        verdicts = {}
        for finding in json.loads(report.read_text()):
            (resource,) = finding["resources"]
            once(verdicts, (resource["uid"], ours[finding["metadata"]["event_code"]]), finding["status_code"])
        return verdicts, took


class Check:
    """keyturn check."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        folder.mkdir(parents=True)

    def run(self, name, endpoint, account, *flags, regions=REGIONS, checks=(), statuses=(0, 3)):
        """Returns the JSON report and the seconds it took. Fails if the exit status is another."""
        report = self.folder / f"{name}.json"
        command = [self.binary, "check", "--endpoint", endpoint, "--format", "json", "--output", report, *flags]
        command += [word for r in regions for word in ("--region", r)] + [word for c in checks for word in ("--check", c)]
        started = time.monotonic()
        done = subprocess.run(command, env=servers.environment(account), capture_output=True, text=True)
        took = lapse(started)
        if done.returncode not in statuses:
            raise SystemExit(f"keyturn check ended with status {done.returncode}, not {statuses}:\n{done.stdout}{done.stderr}")
        return json.loads(report.read_text()), took

    def scan(self, name, endpoint, account, checks=PAIRS, **params):
        """As Prowler.scan."""
        report, took = self.run(name, endpoint, account, checks=checks, **params)
        verdicts = {}
        for finding in report["findings"]:
            if finding["resource"]["type"] == "AwsKmsKey":
                once(verdicts, (finding["resource"]["arn"], finding["check"]), finding["status"])
        return verdicts, took


def once(verdicts, about, verdict):
    if about in verdicts:
        raise SystemExit(f"two verdicts on {about}")
    verdicts[about] = verdict


def same(theirs, ours):
    """Whether two verdicts agree: Prowler has no word for a key that a check does not apply to, it leaves it out."""
    silent = (NONE, "NOT_APPLICABLE")
    return theirs == ours or theirs in silent and ours in silent
