"""Judges what the clients called, by the notes that calls.py and sdk-js/calls.mjs left.

Usage: coverage.py NOTES...

Each client must have called every operation that it knows with success and with an error of the operation's own, and used every
key spec and algorithm that it knows. An operation that the server does not have must have been refused as unsupported, and never
succeeded. What a client does not know yet, and what it knows more than the server's own model, is listed: a server must not fall
behind its clients unnoticed.

IAM and STS are judged alike where a client was watched calling them, but for what it knows more than the server: that is most of IAM.
"""

import json
import pathlib
import sys

from operations import BUILT

HERE = pathlib.Path(__file__).parent
MODEL = json.loads((HERE.parent / "api/kms.model.json").read_text())

# Users have no passwords here, so that these only ever say that there is none.
NEVER = {"GetLoginProfile", "DeleteLoginProfile"}


def judge(notes):
    """Returns what is wrong and what is worth knowing, as lists of lines."""
    wrong, known = [], []
    for operation, described in MODEL["operations"].items():
        results = notes["results"].get(operation, {})
        if operation not in notes["operations"]:
            known.append(f"does not know {operation}")
        elif not BUILT[operation]:
            if set(results) != {"UnsupportedOperationException"}:
                wrong.append(f"{operation} is not built, but answers {results or 'nothing: it was not called'}")
        else:
            errors = {*described["errors"], *notes["operations"][operation]["errors"]}
            if "success" not in results:
                wrong.append(f"{operation} never succeeded")
            if not errors & results.keys():
                wrong.append(f"{operation} was never refused with an error of its own")
    for service, others in notes.get("others", {}).items():
        wrong += judge_other(service, others)
    for name, values in notes["enumerations"].items():
        used, here = set(notes["values"].get(name, [])), set(MODEL["shapes"][name]["enum"])
        wrong += [f"{name} {value} was never used" for value in sorted(here & set(values) - used)]
        known += [f"does not know {name} {value}" for value in sorted(here - set(values))]
        known += [f"knows {name} {value}, which the server's model has not" for value in sorted(set(values) - here)]
    for operation, described in sorted(notes["operations"].items()):
        here = MODEL["operations"].get(operation)
        if here is None:
            known.append(f"knows {operation}, which the server's model has not")
            continue
        more = set(described["errors"]) - set(here["errors"])
        more |= set(described.get("members", [])) - set(MODEL["shapes"][here["input"]]["members"])
        known += [f"knows {name} of {operation}, which the server's model has not" for name in sorted(more)]
    return wrong, known


def judge_other(service, notes):
    """Returns what is wrong with the calls of IAM or STS. Some operations have no errors of their own, or none that can be provoked."""
    wrong = []
    model = json.loads((HERE.parent / f"api/{service}.model.json").read_text())
    for operation, described in model["operations"].items():
        results = notes["results"].get(operation, {})
        errors = {*described["errors"], *notes["operations"].get(operation, {"errors": []})["errors"]}
        if "success" not in results and operation not in NEVER:
            wrong.append(f"{service}:{operation} never succeeded")
        if errors - {"ServiceFailure", "RegionDisabledException"} and not errors & results.keys():
            wrong.append(f"{service}:{operation} was never refused with an error of its own")
    return wrong


def main(paths):
    failed = False
    for path in paths:
        notes = json.loads(pathlib.Path(path).read_text())
        wrong, known = judge(notes)
        calls = sum(sum(results.values()) for results in notes["results"].values())
        built = sum(BUILT.values())
        print(f"{notes['client']}: {calls} calls, {len(notes['results'])} operations; the server has {built} of {len(BUILT)}")
        for line in known:
            print(f"  {line}")
        for line in wrong:
            print(f"  WRONG: {line}")
        failed = failed or bool(wrong)
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
