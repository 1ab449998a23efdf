"""The table of operations, operations.json, as it is run through boto3. sdk-js/operations.mjs is the same for JavaScript.

An entry says how an operation is called and what it answers:

    key        what CreateKey is given for a key of the case's own, ${key} by its ARN and ${keyId} by its ID; absent: no key is needed
    before     calls that come first: [operation, parameters, {name: member of the reply}]; the operation @wrap wraps random bytes
    params     the parameters
    reply      what the reply has to say; "*" is any value that is there
    states     for each state of the key what becomes of the call: "ok", or an error; a string names a set of them
    errors     further refusals: what differs (key, before, params, state), the code and, where it matters, the message
    elsewhere  the operation succeeds in a test of its own, because it needs more than a table can say

From an entry follow cases that it need not have: a key that does not exist, a DryRun. {"$text": "x"} stands for these bytes,
{"$repeat": n} for n bytes.
"""

import json
import os
import pathlib
import re

from botocore import xform_name
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

import support

HERE = pathlib.Path(__file__).parent
TABLE = json.loads((HERE / "operations.json").read_text())
OPERATIONS = TABLE["operations"]

# What each state of a key is called where it refuses something.
REFUSALS = {
    "Disabled": "${key} is disabled.",
    "PendingDeletion": "${key} is pending deletion.",
    "PendingImport": "${key} is pending import.",
}

DRY_RUN = "The request would have succeeded, but the DryRun option is set."

# The errors that every operation has, though no model lists them for it.
COMMON_ERRORS = {"ValidationException"}


def _built():
    """Tells of each operation whether the server has it, by its own golden table."""
    lines = (HERE.parent / "internal/kms/testdata/operations.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    rows = [row for row in rows if len(row) > 3 and row[1].startswith("kms.") and row[3] != "internal"]
    return {row[1].removeprefix("kms."): row[2] == "yes" for row in rows}


BUILT = _built()


def cases(model):
    """All cases of the table for a client with this service model, as (name, operation, case)."""
    for operation, entry in OPERATIONS.items():
        for name, case in _cases_of(operation, entry, model):
            yield f"{operation}: {name}", operation, case


def _cases_of(operation, entry, model):
    if not BUILT[operation]:
        yield "not built", {"code": "UnsupportedOperationException"}
        return
    members = model.operation_model(operation).input_shape.members
    if not entry.get("elsewhere"):
        yield "success", {"reply": entry.get("reply", {})}
    if entry.get("params", {}).get("KeyId") == "${key}":
        yield "unknown key", {"code": "NotFoundException", "params": {"KeyId": "${missing}"}, "message": "Key '${missing}' does not exist"}
        yield "no key ID", {"code": "NotFoundException", "params": {"KeyId": "nothing"}, "message": "Invalid keyId 'nothing'"}
    if "DryRun" in members:
        yield "dry run", {"code": "DryRunOperationException", "params": {"DryRun": True}, "message": DRY_RUN}
    states = entry.get("states", {})
    for state, result in (TABLE["states"][states] if isinstance(states, str) else states).items():
        if result == "ok":
            yield f"{state} key", {"state": state, "reply": {}}
        else:
            yield f"{state} key", {"state": state, "code": result, "message": REFUSALS[state]}
    for n, case in enumerate(entry.get("errors", [])):
        if BUILT.get(case.get("built"), True) and not BUILT.get(case.get("unbuilt"), False):
            yield f"{case['code']} {n + 1}", case


class Run:
    """One case on a server: its caller, and what its names stand for."""

    def __init__(self, caller):
        self.caller = caller
        self.kms = caller.client()
        self.raw = caller.client(parameter_validation=False)
        self.names = {"account": caller.account, "region": support.REGION, "missing": caller.arn("key/" + support.NO_SUCH_KEY)}

    def case(self, operation, case):
        """Runs a case and judges the answer."""
        entry = OPERATIONS[operation]
        state = case.get("state")
        key = case.get("key", entry.get("key"))
        if key is not None:
            self.new_key(key)
        for call in case.get("before", entry.get("before", [])):
            self.before(*call)
        if state:
            self.move_to(state, key)
        params = self.fill({**entry["params"], **case.get("params", {})})
        if "code" not in case:
            reply = self.call(self.kms, operation, params)
            support.assert_contains(reply, self.fill(case["reply"]))
            return
        listed = {e.name for e in self.kms.meta.service_model.operation_model(operation).error_shapes} | COMMON_ERRORS
        assert case["code"] in listed or not BUILT[operation], f"{operation} has no {case['code']}"
        modelled = case["code"] in {e.name for e in self.kms.meta.service_model.error_shapes}
        message = self.fill(case["message"]) if "message" in case else None
        with support.refused(case["code"], message, modelled=modelled):
            self.call(self.raw, operation, params)

    def new_key(self, params):
        meta = support.new_key(self.kms, **params)
        self.names.update(key=meta["Arn"], keyId=meta["KeyId"], material=meta.get("CurrentKeyMaterialId"))

    def before(self, operation, params, save=()):
        params = self.fill(params)
        reply = wrap(**params) if operation == "@wrap" else self.call(self.kms, operation, params)
        for name in save:
            value = reply
            for member in save[name].split("."):
                value = value[member]
            self.names[name] = value

    def move_to(self, state, key):
        """Puts the key into a state; a key that waits for its material is another one."""
        match state:
            case "Disabled":
                self.kms.disable_key(KeyId=self.names["key"])
            case "PendingDeletion":
                self.kms.schedule_key_deletion(KeyId=self.names["key"], PendingWindowInDays=7)
            case "PendingImport":
                self.new_key({**key, "Origin": "EXTERNAL"})
        assert self.kms.describe_key(KeyId=self.names["key"])["KeyMetadata"]["KeyState"] == state

    @staticmethod
    def call(client, operation, params):
        return getattr(client, xform_name(operation))(**params)

    def fill(self, value):
        """Puts values for names and for bytes into a value of the table."""
        match value:
            case {"$text": text}:
                return text.encode()
            case {"$repeat": count}:
                return b"x" * count
            case dict():
                return {k: self.fill(v) for k, v in value.items()}
            case list():
                return [self.fill(v) for v in value]
            case str():
                if match := re.fullmatch(r"\$\{(\w+)\}", value):
                    return self.names[match[1]]
                return re.sub(r"\$\{(\w+)\}", lambda m: self.names[m[1]], value)
        return value


def wrap(PublicKey, Bytes):
    """Random key material, wrapped with RSAES_OAEP_SHA_256."""
    public = serialization.load_der_public_key(PublicKey)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    return {"Wrapped": public.encrypt(os.urandom(Bytes), oaep)}
