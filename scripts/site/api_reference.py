"""Prints the API's reference as a page, from the description that `make openapi` makes."""

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

Json = dict[str, Any]

_BEGINNING: Final = """# API reference

Paths start at `https://HOST:8443/api/v1`. A server shows its own reference at `/api_docs`, and
gives the description to programs at `/api/v1/openapi.json`. It is
that of version {version}, and this page is made from it.

Where GET is allowed on a path that anyone may read, so is HEAD. Answers of 429 and 503 have
`Retry-After`.
"""


def page(description: Json) -> Iterator[str]:
    """Yield the lines of the page."""
    yield _BEGINNING.format(version=description["info"]["version"])
    sections: dict[str, list[str]] = {}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            if method == "head":
                continue
            topic = operation["tags"][0]
            sections.setdefault(topic, []).extend(_operation(method, path, operation))
    for topic, lines in sections.items():
        yield from (f"## {topic}", "", *lines)
    yield from ("## Shapes", "")
    for name, schema in description["components"]["schemas"].items():
        yield from _shape(name, schema)


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    yield from (f"### {method.upper()} {path}", "", f"{operation['summary']}.", "")
    callers = ", ".join(operation["x-roles"]) or "anyone"
    root = ", without a namespace" if operation.get("x-root-only") else ""
    yield from ("| | |", "|---|---|", f"| may call | {callers}{root} |")
    yield f"| in the states | {', '.join(operation['x-states'])} |"
    for parameter in operation.get("parameters", ()):
        where = f"in the {parameter['in']}"
        yield f"| `{parameter['name']}` | {where}: {_type(parameter['schema'])} |"
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"| sent as `{kind}` | {_type(body.get('schema', {}))} |"
    for status, answer in operation["responses"].items():
        if "description" in answer:
            shapes = [_type(body.get("schema", {})) for body in answer.get("content", {}).values()]
            given = f": {' or '.join(dict.fromkeys(shapes))}" if shapes else ""
            yield f"| {status} | {answer['description'].rstrip('.')}{given} |"
    refused = [status for status, answer in operation["responses"].items() if "$ref" in answer]
    yield from (f"| refused with | {', '.join(refused)} |", "")


def _shape(name: str, schema: Json) -> Iterator[str]:
    yield from (f"### {name}", "", schema.get("description", "").replace("\n", " "), "")
    required = schema.get("required", ())
    fields = schema.get("properties", {})
    if not fields:
        yield from (_type(schema), "")
        return
    yield from ("| field | type | |", "|---|---|---|")
    for field, its in fields.items():
        yield f"| `{field}` | {_type(its)} | {'' if field in required else 'optional'} |"
    yield ""


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    for combination in ("anyOf", "oneOf"):
        if combination in schema:
            return " or ".join(map(_type, schema[combination]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "anything")) + _limits(schema)


def _limits(schema: Json) -> str:
    least = schema.get("minLength", schema.get("minimum"))
    most = schema.get("maxLength", schema.get("maximum"))
    if least is None and most is None:
        return ""
    return f" ({'' if least is None else least}…{'' if most is None else most})"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in page(json.load(sys.stdin)))
