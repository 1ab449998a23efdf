"""A note of every call that boto3 makes: what coverage.py judges at the end of a run. sdk-js/calls.mjs is the same for JavaScript."""

import collections
import json
import os

# The members of replies whose values tell which key specs and algorithms have been used, by the enumeration they belong to.
ENUMERATIONS = {
    "SigningAlgorithm": "SigningAlgorithmSpec",
    "EncryptionAlgorithm": "EncryptionAlgorithmSpec",
    "MacAlgorithm": "MacAlgorithmSpec",
    "KeyAgreementAlgorithm": "KeyAgreementAlgorithmSpec",
    "EncapsulationAlgorithm": "EncapsulationAlgorithmSpec",
    "KeyPairSpec": "DataKeyPairSpec",
}

_results = collections.defaultdict(collections.Counter)
_values = collections.defaultdict(set)
_models = {}


def watch(client):
    """Notes the calls of a client from now on."""
    if client.meta.service_model.service_name != "kms":
        return
    _models.setdefault("kms", client.meta.service_model)
    client.meta.events.register("after-call.kms", _note)


def _note(model, parsed, **_):
    if "Error" in parsed:
        _results[model.name][parsed["Error"]["Code"]] += 1
        return
    _results[model.name]["success"] += 1
    if model.name == "CreateKey":
        _values["KeySpec"].add(parsed["KeyMetadata"]["KeySpec"])
    for member in ENUMERATIONS.keys() & parsed.keys():
        _values[ENUMERATIONS[member]].add(parsed[member])


def save(client_name):
    """Writes the notes, with what the client itself knows of the API, into the file that KEYTURN_CALLS names, if it does."""
    path = os.environ.get("KEYTURN_CALLS")
    if not path or not _models:
        return
    model = _models["kms"]
    known = {}
    for operation in map(model.operation_model, model.operation_names):
        known[operation.name] = {"errors": [e.name for e in operation.error_shapes], "members": list(operation.input_shape.members)}
    enumerations = {}
    for name in ["KeySpec", *ENUMERATIONS.values()]:
        if name in model.shape_names:
            enumerations[name] = list(model.shape_for(name).enum)
    with open(path, "w", encoding="utf-8") as f:
        notes = {"client": client_name, "results": _results, "values": {k: sorted(v) for k, v in _values.items()}}
        json.dump({**notes, "operations": known, "enumerations": enumerations}, f)
