"""Reads NetHSM's API description and prints the facts that the tests compare Keystead with.

python -m tests.facts.read_description nethsm-api.yaml > tests/facts/nethsm-5.json
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ENUMS = ("KeyType", "KeyMechanism", "SignMode", "DecryptMode", "EncryptMode", "TlsKeyType")


def facts(description: dict[str, Any]) -> dict[str, Any]:
    """Return names, states, roles, statuses and fields; nothing of the text."""
    schemas = description["components"]["schemas"]
    return {
        "enums": {name: schemas[name]["enum"] for name in ENUMS},
        "operations": {
            f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}": _operation(schemas, operation)
            for path, item in description["paths"].items()
            for method, operation in item.items()
            if method != "parameters"
        },
    }


def _operation(schemas: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    body = _schema(schemas, operation.get("requestBody", {}))
    successes = {
        status: response
        for status, response in operation["responses"].items()
        if status.startswith("2")
    }
    answers = [_schema(schemas, response) for response in successes.values()]
    return {
        "states": operation["x-annotation-state"],
        "roles": operation["x-annotation-role"],
        "caller_namespace": operation.get("x-annotation-caller-namespace", []),
        "target_namespace": "x-annotation-target-namespace" in operation,
        "authenticated": bool(operation.get("security")),
        "successes": [*successes],
        "fields": sorted(body.get("properties", ())),
        "required": sorted(body.get("required", ())),
        "answered": sorted({name for one in answers for name in _names(schemas, one)}),
    }


def _schema(schemas: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the JSON that a request or a response has, without references."""
    media = content.get("content", {}).get("application/json", {})
    return _resolved(schemas, media.get("schema", {}))


def _resolved(schemas: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def _names(schemas: dict[str, Any], schema: dict[str, Any], outer: str = "") -> set[str]:
    """Return the fields of an object, or of the objects in a list, and theirs, as `a.b`."""
    items = schema.get("items")
    if items is not None:
        return _names(schemas, _resolved(schemas, items), outer)
    found = set()
    for name, inner in schema.get("properties", {}).items():
        found |= {f"{outer}{name}", *_names(schemas, _resolved(schemas, inner), f"{outer}{name}.")}
    return found


def _text(found: dict[str, dict[str, Any]]) -> str:
    """Return JSON with one line for each enum and each operation."""
    groups = []
    for group, members in found.items():
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(members[name])}" for name in members)
        groups.append(f"{json.dumps(group)}: {{\n{lines}\n}}")
    return "{\n" + ",\n".join(groups) + "\n}\n"


if __name__ == "__main__":
    read = yaml.load(Path(sys.argv[1]).read_bytes(), yaml.CSafeLoader)
    sys.stdout.write(_text(facts(read)))
