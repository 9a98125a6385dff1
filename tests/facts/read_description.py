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
    media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = media.get("schema", {})
    while "$ref" in body:
        body = schemas[body["$ref"].rpartition("/")[2]]
    return {
        "states": operation["x-annotation-state"],
        "roles": operation["x-annotation-role"],
        "caller_namespace": operation.get("x-annotation-caller-namespace", []),
        "target_namespace": "x-annotation-target-namespace" in operation,
        "authenticated": bool(operation.get("security")),
        "successes": [status for status in operation["responses"] if status.startswith("2")],
        "fields": sorted(body.get("properties", ())),
        "required": sorted(body.get("required", ())),
    }


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
