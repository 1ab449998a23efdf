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

_results = collections.defaultdict(lambda: collections.defaultdict(collections.Counter))
_values = collections.defaultdict(set)
_models = {}


def watch(client):
    """Notes the calls of a client from now on, and fails those whose reply lacks what the client's model requires of it."""
    model = client.meta.service_model
    _models.setdefault(model.service_name, model)
    client.meta.events.register(f"after-call.{model.service_name}", _note)


def _require(shape, value, where):
    """Checks that a reply has all members that are required, however deep."""
    match shape.type_name if shape is not None else None:
        case "structure":
            missing = [name for name in shape.required_members if value.get(name) is None]
            assert not missing, f"{where} has no {', '.join(missing)}: {value}"
            for name in shape.members.keys() & value.keys():
                _require(shape.members[name], value[name], f"{where}.{name}")
        case "list":
            for item in value:
                _require(shape.member, item, where)


def _note(model, parsed, **_):
    results = _results[model.service_model.service_name]
    if "Error" in parsed:
        results[model.name][parsed["Error"]["Code"]] += 1
        return
    _require(model.output_shape, parsed, model.name)
    results[model.name]["success"] += 1
    if model.name == "CreateKey":
        _values["KeySpec"].add(parsed["KeyMetadata"]["KeySpec"])
    for member in ENUMERATIONS.keys() & parsed.keys():
        _values[ENUMERATIONS[member]].add(parsed[member])


def save(client_name):
    """Writes the notes, with what the client itself knows of the API, into the file that KEYTURN_CALLS names, if it does."""
    path = os.environ.get("KEYTURN_CALLS")
    if "kms" not in _models or not path:
        return
    model = _models["kms"]
    enumerations = {}
    for name in ["KeySpec", *ENUMERATIONS.values()]:
        if name in model.shape_names:
            enumerations[name] = list(model.shape_for(name).enum)
    with open(path, "w", encoding="utf-8") as f:
        notes = {"client": client_name, "values": {k: sorted(v) for k, v in _values.items()}, "enumerations": enumerations}
        others = {name: _notes(other) for name, other in _models.items() if name != "kms"}
        json.dump({**notes, **_notes(model), "others": others}, f)


def _notes(model):
    """What was called of a service, and what the client knows of it."""
    known = {}
    query = model.metadata["protocol"] == "query"  # replies have these errors by their codes
    for operation in map(model.operation_model, model.operation_names):
        members = list(operation.input_shape.members) if operation.input_shape else []
        known[operation.name] = {"errors": [e.error_code if query else e.name for e in operation.error_shapes], "members": members}
    return {"results": _results[model.service_name], "operations": known}
