"""Compares the verdicts of Prowler and keyturn check on every kind of key, and lets keyturn check --fix mend 1,000 keys.

Usage: compare.py KEYTURN DIR       KEYTURN is the program, DIR a new folder for data, reports and logs

The verdicts must be the same, but for the false ones of Prowler that false-verdicts.json lists, and every one of those must occur. An
entry names the check as keyturn does, the kinds of keys as keys.py does, Prowler's verdict, the right one, which keyturn check must give,
and why it is right. The verdict "none" is no word on the key at all.
"""

import contextlib
import json
import pathlib
import sys

import fix
import keys
import servers
from scanners import NONE, NOT_COMPARED, PAIRS, Check, Prowler, prowlers_checks, same

FALSE_VERDICTS = servers.HERE / "false-verdicts.json"


class Outcome:
    """What was right and what was not, one line each."""

    def __init__(self):
        self.failures = 0

    def report(self, right, what, details=()):
        print(f"{'PASS' if right else 'FAIL'}  {what}", flush=True)
        for line in details:
            print(f"      {line}", flush=True)
        self.failures += not right


def false_verdicts():
    """The list as {(check, kind): (Prowler's verdict, the right one)}."""
    listed = {}
    for entry in json.loads(FALSE_VERDICTS.read_text()):
        for kind in entry["keys"]:
            if (entry["check"], kind) in listed:
                raise SystemExit(f"{FALSE_VERDICTS.name}: {entry['check']} of {kind} is there twice")
            listed[entry["check"], kind] = entry["prowler"], entry["right"]
    return listed


def compare(kinds, theirs, ours, listed, outcome):
    """Judges all verdicts. Returns those of the list that occurred."""
    by_arn = {arn: kind for kind, arn in kinds.items()}
    strangers = {arn for arn, _ in {**theirs, **ours}} - set(by_arn)
    outcome.report(not strangers, "both scanners speak of these keys only", sorted(strangers))
    occurred = set()
    for check in PAIRS:
        wrong, agreed = [], 0
        for kind, arn in kinds.items():
            pair = theirs.get((arn, check), NONE), ours.get((arn, check), NONE)
            expected = listed.get((check, kind))
            if expected is None and same(*pair):
                agreed += 1
            elif pair == expected:
                occurred.add((check, kind))
            else:
                known = f", listed are {expected[0]} and {expected[1]}" if expected else ""
                wrong.append(f"{kind}: Prowler says {pair[0]}, keyturn check {pair[1]}{known}")
        false = sum(1 for c, kind in occurred if c == check)
        outcome.report(not wrong, f"{check}: verdicts that agree: {agreed}; false ones of Prowler, as listed: {false}", wrong)
    return occurred


def verdicts(binary, folder, prowler, outcome):
    """Every kind of key, in three accounts of one server."""
    check, listed = Check(binary, folder / "check"), false_verdicts()
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(servers.key_manager(folder))
        flags = ("--key-stores", folder / "proxy" / "key-stores.yaml")
        endpoint = stack.enter_context(servers.keyturn(binary, folder / "server", *flags))
        guarded, refused = stack.enter_context(servers.gate(endpoint))
        scenes = {
            "every kind of key": (keys.Account(endpoint, "111122223333"), lambda a: keys.every_kind(a, proxy), endpoint),
            "a lone statement": (keys.Account(endpoint, "222233334444"), keys.lone_statement, endpoint),
            "refused calls": (keys.Account(endpoint, "333344445555"), lambda a: keys.unreadable(a, refused), guarded),
        }
        occurred = set()
        for title, (account, fill, through) in scenes.items():
            kinds = fill(account)
            name = title.replace(" ", "-")
            theirs, their_time = prowler.scan(name, through, account.id)
            # What cannot be read makes it status 1.
            ours, our_time = check.scan(name, through, account.id, statuses=(1,) if through == guarded else (3,))
            print(f"=== {title}: {len(kinds)} keys, Prowler {their_time:.1f} s, keyturn check {our_time:.1f} s", flush=True)
            occurred |= compare(kinds, theirs, ours, listed, outcome)
    missing = sorted(f"{check}: {kind}" for check, kind in set(listed) - occurred)
    outcome.report(not missing, f"all {len(listed)} false verdicts of Prowler that are listed occurred", missing)


def main(binary, folder):
    outcome = Outcome()
    unknown = prowlers_checks() ^ {*PAIRS.values(), *NOT_COMPARED}
    outcome.report(not unknown, f"of Prowler's checks of keys, {len(PAIRS)} are compared; these are not, and why:", sorted(unknown))
    for check, why in NOT_COMPARED.items():
        print(f"      {check}: {why}", flush=True)
    with servers.moto() as other_services:
        prowler = Prowler(folder / "prowler", other_services)
        verdicts(binary, folder / "verdicts", prowler, outcome)
        fix.run(binary, folder / "fix", prowler, outcome)
        outcome.report(not prowler.left, "Prowler asked nobody beyond this machine", sorted(set(prowler.left)))
    return outcome.failures


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(1 if main(sys.argv[1], pathlib.Path(sys.argv[2]).resolve()) else 0)
