"""keyturn check --fix on 1,000 mixed keys, judged by Prowler, by keyturn check again, and by the server's own audit log."""

import collections
import concurrent.futures
import json
import time

import keys
import servers
from scanners import NONE, PAIRS, Check, lapse

ACCOUNT = "555566667777"
HOME = (keys.HOME,)
LONGEST = 365
CHECKS = ("rotation-enabled", "rotation-period")


def resting(account):
    return account.create()


def rotating(account, days=LONGEST):
    arn = account.create()
    account.enable_rotation(arn, days)
    return arn


def disabled(account):
    arn = account.create()
    account.kms().disable_key(KeyId=arn)
    return arn


# How many keys there are of each kind, how one is made, and whether it is to be mended.
MIX = {
    "rotation off": (300, resting, True),
    "rotation off, multi-Region": (50, lambda a: a.create(MultiRegion=True), True),
    "rotation every 90 days": (50, lambda a: rotating(a, 90), False),
    "rotation every 365 days": (150, rotating, False),
    "rotation every 2560 days": (150, lambda a: rotating(a, 2560), True),
    "disabled": (50, disabled, False),
    "RSA": (20, lambda a: a.create(**keys.PLAIN["rsa-encrypt"]), False),
    "elliptic curve": (80, lambda a: a.create(**keys.PLAIN["nist-sign"]), False),
    "HMAC": (100, lambda a: a.create(**keys.PLAIN["hmac"]), False),
    "imported": (50, lambda a: a.imported(), False),
}


def populate(account):
    """Makes the keys, several at a time; returns the kind of each ARN."""
    account.kms()  # before there are threads: it is made once
    kinds = [kind for kind, (count, _, _) in MIX.items() for _ in range(count)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        arns = pool.map(lambda kind: MIX[kind][1](account), kinds)
        return dict(zip(arns, kinds, strict=True))


def audit(folder):
    """The records of the server's audit log, oldest first."""
    segments = sorted((folder / "data" / "audit").glob("*.jsonl"))
    return [json.loads(line) for segment in segments for line in segment.read_text().splitlines()]


def wrong_verdicts(kinds, verdicts, imported):
    """Where the verdict on rotation is not what it should be after the fix; imported is the scanner's word for imported keys."""
    for arn, kind in kinds.items():
        verdict = verdicts.get((arn, "rotation-enabled"), NONE)
        rotates = kind.startswith("rotation")
        expected = ("PASS",) if rotates else (imported,) if kind == "imported" else (NONE, "NOT_APPLICABLE")
        if verdict not in expected:
            yield f"{kind}: {verdict}, not {expected[0]}: {arn}"


def few(lines):
    """Enough of them to see what is wrong."""
    lines = list(lines)
    return lines[:10] + ([f"and {len(lines) - 10} more"] if len(lines) > 10 else [])


def planned(changes):
    return sorted((c["call"], c["keyArn"], c["rotationPeriodInDays"]) for c in changes)


def logged(records):
    """What the server's log says was changed."""
    for record in records:
        if record["readOnly"]:
            continue
        about = record["requestParameters"] or {}
        key = (record.get("resources") or [{}])[0].get("ARN", about.get("keyId", ""))
        # As the API has it: without a period, it is a year.
        yield record["eventName"], key, about.get("rotationPeriodInDays", 365)


def judge_calls(kinds, changes, records, outcome):
    """The plan is to mend what is to be mended, it was carried out, and nothing else was."""
    to_mend = {arn for arn, kind in kinds.items() if MIX[kind][2]}
    mended = {c["keyArn"] for c in changes}
    outcome.report(mended == to_mend, f"{len(changes)} changes were planned, for the {len(to_mend)} keys to mend", few(mended ^ to_mend))
    undone = [f"{c['keyArn']}: {c.get('error')}" for c in changes if not c["done"]]
    long = [f"{c['keyArn']}: {c['rotationPeriodInDays']} days" for c in changes if not c["rotationPeriodInDays"] <= LONGEST]
    outcome.report(not undone and not long, f"all were made, with periods of at most {LONGEST} days", few(undone + long))
    plan, done = collections.Counter(planned(changes)), collections.Counter(logged(records))
    details = [f"planned, not logged: {c}" for c in plan - done] + [f"logged, not planned: {c}" for c in done - plan]
    outcome.report(plan == done, f"the audit log shows the planned calls and no other change: {sum(done.values())}", few(details))


def run(binary, folder, prowler, outcome):
    check = Check(binary, folder / "check")
    with servers.keyturn(binary, folder / "server") as endpoint:
        account = keys.Account(endpoint, ACCOUNT)
        started = time.monotonic()
        kinds = populate(account)
        print(f"=== the fix: {len(kinds)} keys made in {lapse(started):.1f} s", flush=True)

        before, before_time = check.scan("before", endpoint, ACCOUNT, checks=CHECKS, regions=HOME, statuses=(3,))
        failing = {arn for (arn, _), verdict in before.items() if verdict == "FAIL"}
        to_mend = {arn for arn, kind in kinds.items() if MIX[kind][2]}
        outcome.report(failing == to_mend, f"keyturn check fails the {len(to_mend)} keys to mend", few(failing ^ to_mend))

        seen = len(audit(folder / "server"))
        report, fix_time = check.run("fix", endpoint, ACCOUNT, "--fix", "--yes", regions=HOME, checks=CHECKS)
        records = audit(folder / "server")[seen:]
        judge_calls(kinds, report["summary"]["changes"], records, outcome)

        ours, our_time = check.scan("after", endpoint, ACCOUNT, checks=CHECKS, regions=HOME, statuses=(0,))
        wrong = few(wrong_verdicts(kinds, ours, "NOT_APPLICABLE"))
        outcome.report(not wrong, "keyturn check passes after the fix, exit status 0", wrong)
        # Prowler fails imported keys, which no fix can make rotate: false-verdicts.json.
        theirs, their_time = prowler.scan("fix", endpoint, ACCOUNT, checks=("rotation-enabled",), regions=HOME)
        wrong = few(wrong_verdicts(kinds, theirs, "FAIL"))
        outcome.report(not wrong, "Prowler passes after the fix, but for imported keys", wrong)
        # Prowler reads everything whatever is checked, so for the comparison keyturn check has to answer all of it.
        _, all_time = check.scan("all", endpoint, ACCOUNT, checks=PAIRS, regions=HOME)
        print(f"=== {len(kinds)} keys, from start to report: Prowler {their_time:.1f} s, keyturn check {all_time:.1f} s", flush=True)
        print(f"    rotation only: before the fix {before_time:.1f} s, the fix {fix_time:.1f} s, after it {our_time:.1f} s", flush=True)
