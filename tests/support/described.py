"""Whether the API's own description has what the core answers: asked of every answer to a test."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import jsonschema_rs

from keystead.api.description.openapi import describe
from keystead.api.http.route import Route
from keystead.api.http.router import Router
from keystead.api.http.statuses import JSON, PathUnknown
from keystead.api.routes import ROUTES

OF_ANY_REQUEST: Final = frozenset({405, 500, 501})
"""Statuses of requests that are no operation, and of bugs: the description has none of these."""

DOCUMENT: Final = describe(ROUTES)
_ROUTER: Final = Router(ROUTES)


def undescribed(
    method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> str | None:
    """Return what of an answer the description does not have, or None.

    The edge drops the body of an answer to HEAD.
    """
    row = _row(method, path)
    if row is None or status in OF_ANY_REQUEST:
        return None
    response = _response(method, row, status)
    fault = "" if response is None else _fault(method, row, status, headers, body)
    return None if fault is None else f"{method} {row.path} answers {status}{fault}"


def _fault(
    method: str, row: Route, status: int, headers: Mapping[str, str], body: bytes
) -> str | None:
    if method == "HEAD":
        return None
    contents = (_response(method, row, status) or {}).get("content")
    if contents is None:
        return " with a body" if body else None
    kind = headers.get("Content-Type", "").partition(";")[0]
    if kind not in contents:
        return f" with {kind or 'no type'}"
    return None if kind != JSON else _fault_of_json(method, row, status, body)


def _fault_of_json(method: str, row: Route, status: int, body: bytes) -> str | None:
    error = next(_validator(method, row, status).iter_errors(json.loads(body)), None)
    return None if error is None else f": {error.message}"


def _row(method: str, path: str) -> Route | None:
    try:
        rows = _ROUTER.match(path).rows
    except PathUnknown:
        return None
    return rows.get("GET" if method == "HEAD" else method)


def _response(method: str, row: Route, status: int) -> dict[str, Any] | None:
    found = DOCUMENT["paths"][row.path][method.lower()]["responses"].get(str(status))
    if found is not None and "$ref" in found:
        return DOCUMENT["components"]["responses"][found["$ref"].rpartition("/")[2]]
    return found


@cache
def _validator(method: str, row: Route, status: int) -> jsonschema_rs.Draft202012Validator:
    response = _response(method, row, status)
    assert response is not None
    schema = {"components": DOCUMENT["components"], **response["content"][JSON]["schema"]}
    return jsonschema_rs.Draft202012Validator(_closed(schema))


def _closed(schema: Any) -> Any:
    """Return the schema with objects that have no other fields than those that are named.

    Patterns are left out: members of a test's cluster have addresses without TLS.
    """
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(one) for name, one in schema.items() if name != "pattern"}
    if isinstance(closed.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
