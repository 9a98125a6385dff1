"""The API's own description (OpenAPI 3.1), from the route table and the handlers' types."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

from keystead import __version__, algorithms
from keystead.api.http.route import (
    ALL_STATES,
    API_ROOT,
    BYTES,
    JOSE,
    MULTIPART,
    Authentication,
    Call,
    Handler,
    Parts,
    Reach,
    Reply,
    Route,
)
from keystead.api.http.statuses import JSON
from keystead.api.resources.key_lists import MAX_LIMIT
from keystead.api.resources.shapes import ErrorMessage
from keystead.model.ids import MAX_ID_LENGTH, MAX_USER_ID_LENGTH

_REFERENCE: Final = "#/components/schemas/{name}"
_ID: Final = "[a-zA-Z0-9][a-zA-Z0-9_.-]*"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_BODILESS: Final = frozenset({204, 304})
_FIRST_REFUSAL: Final = 400
_SUCCESSES: Final = range(200, 300)

_REASONS: Final = {
    200: "Done.",
    201: "Made.",
    202: "Accepted; more is needed.",
    204: "Done.",
    304: "It was so already, or is what the client has.",
    400: "Malformed or out of range; nothing was changed.",
    401: "No credentials, or wrong ones.",
    403: "Not for this caller.",
    404: "No such thing for this caller.",
    406: "The Accept header excludes what this gives.",
    409: "It exists already, or is in a condition that excludes the change.",
    412: "Not in this state, or a condition on an entity tag does not hold.",
    413: "The body, or what would be stored, is too large.",
    414: "The URI is too long.",
    415: "The Content-Type is not one that this takes.",
    429: "An attempt with wrong credentials is less than a second old.",
    503: "The store is out of reach, or too much work waits; try again.",
}

_PATTERNS: Final = {"user_id": f"^({_ID}~)?{_ID}$"}
"""The schemas of path parameters that are not plain IDs."""
_MAX_LENGTHS: Final = {"user_id": MAX_USER_ID_LENGTH}

Json = dict[str, Any]

_QUERY_SCHEMAS: Final[dict[str, Json]] = {
    "details": {"type": "boolean"},
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": MAX_LIMIT},
    "/journal?limit": {"type": "integer", "minimum": 1},
    "from": {"type": "integer", "minimum": 1, "default": 1},
    "upto": {"type": "integer", "minimum": 1},
    "type": {"enum": list(algorithms.BY_NAME)},
}
"""The schemas of query parameters that are not plain strings, by name, or by path and name."""


class Signature(msgspec.Struct, frozen=True):
    """The types of a handler: the shapes of its body and responses, and their statuses."""

    takes: Any
    gives: Mapping[int, Any]
    """The content of the response for each status."""

    @classmethod
    def of(cls, handler: Handler) -> "Signature":
        """Read a handler `(call: Call[takes]) -> Reply[gives]`, or Annotated with statuses.

        A handler with several kinds of answers has a union of these.
        """
        hints = get_type_hints(handler, include_extras=True)
        answer = hints.pop("return")
        (call,) = hints.values()
        (takes,) = get_args(call)
        answers = get_args(answer) if get_origin(answer) in {UnionType, Union} else (answer,)
        return cls(takes, {status: gives for one in answers for status, gives in _statuses(one)})


def _statuses(answer: Any) -> Iterator[tuple[int, Any]]:  # noqa: ANN401 - an annotation
    """Yield each status of an annotated answer, and what it has in it."""
    statuses: tuple[int, ...] = ()
    if get_origin(answer) is Annotated:
        answer, *rest = get_args(answer)
        statuses = tuple(rest)
    (gives,) = get_args(answer)
    if not _is_refusal(gives) and not any(status in _SUCCESSES for status in statuses):
        statuses = (204 if gives is type(None) else 200, *statuses)
    for status in statuses:
        yield status, gives


def _is_refusal(gives: Any) -> bool:  # noqa: ANN401 - any type is a shape
    return isinstance(gives, type) and issubclass(gives, ErrorMessage)


def describe(routes: Iterable[Route]) -> Json:
    """Return the OpenAPI document of these rows."""
    signatures = [(route, Signature.of(route.handler)) for route in routes]
    shapes = {
        shape
        for _, signature in signatures
        for content in (signature.takes, *signature.gives.values())
        for shape in _alternatives(content)
        if shape not in {type(None), bytes}
    }
    ordered = [ErrorMessage, *sorted(shapes, key=str)]
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    schema_of = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, Json] = {}
    for route, signature in signatures:
        operation = _operation(route, signature, schema_of)
        operations = paths.setdefault(route.path, {})
        operations[route.method.lower()] = operation
        if route.answers_head:
            operations["head"] = _head_of(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Keystead",
            "version": __version__,
            "description": "A network hardware security module in software, after NetHSM's API.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": API_ROOT}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": _refusals(schema_of[ErrorMessage]),
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
    }


def description_row(routes: tuple[Route, ...]) -> Route:
    """Return the row that gives the description of `routes` and itself.

    The first request makes the description: that takes a fifth of the time in which the process
    loads its code, and most processes end without such a request.
    """

    @cache
    def document() -> bytes:
        return msgspec.json.encode(describe((*routes, row)))

    async def openapi(_: Call[None]) -> Reply[dict[str, Any]]:
        """GET /openapi.json: this description."""
        return Reply(200, document())

    row = Route(
        "GET",
        "/openapi.json",
        openapi,
        ALL_STATES,
        authentication=Authentication.NONE,
        answers_head=True,
        has_tag=True,
    )
    return row


def _operation(route: Route, signature: Signature, schema_of: dict[Any, Json]) -> Json:
    operation: Json = {
        "operationId": _operation_id(route),
        "tags": [route.path.split("/")[1].removesuffix(".json")],
        "summary": _summary(route.handler),
        "security": _security(route),
        "responses": _responses(route, signature, schema_of),
        "x-states": sorted(state.value for state in route.states),
        "x-roles": sorted(role.value for role in route.roles),
        "x-root-only": route.reach is Reach.ROOT_ONLY,
    }
    parameters = [*_path_parameters(route), *_query_parameters(route)]
    if parameters:
        operation["parameters"] = parameters
    if signature.takes is not type(None):
        operation["requestBody"] = {
            "required": True,
            "content": {
                media_type: {"schema": _body_schema(media_type, signature.takes, schema_of)}
                for media_type in route.accepts.types or (JSON,)
            },
        }
    return operation


def _head_of(operation: Json) -> Json:
    responses = {
        status: {key: value for key, value in response.items() if key != "content"}
        for status, response in operation["responses"].items()
    }
    return operation | {"operationId": operation["operationId"] + "_head", "responses": responses}


def _operation_id(route: Route) -> str:
    path = _PARAMETER.sub(r"\1", route.path).replace("*", "_prefix")
    return route.method.lower() + re.sub(r"\W", "_", path)


def _summary(handler: Handler) -> str:
    """Return the text after the method and the path in a handler's docstring."""
    _, separator, text = (handler.__doc__ or "").partition(": ")
    if not separator:
        raise ValueError(f"{handler.__qualname__} does not say what it is for")
    return text[0].upper() + text[1:].rstrip(".")


def _security(route: Route) -> list[Json]:
    match route.authentication:
        case Authentication.NONE:
            return []
        case (
            Authentication.ROLE
            | Authentication.UNLOCK_PASSPHRASE
            | Authentication.ROLE_OR_UNLOCK_PASSPHRASE_IF_FAILED
        ):
            return [{"basic": []}]
        case Authentication.ROLE_WHEN_OPERATIONAL | Authentication.ROLE_OR_UNLOCK_PASSPHRASE:
            return [{"basic": []}, {}]


def _path_parameters(route: Route) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {
                "type": "string",
                "pattern": _PATTERNS.get(name, f"^{_ID}$"),
                "minLength": 1,
                "maxLength": _MAX_LENGTHS.get(name, MAX_ID_LENGTH),
            },
        }
        for name in _PARAMETER.findall(route.path)
    ]


def _query_parameters(route: Route) -> list[Json]:
    return [
        {"name": name, "in": "query", "schema": _query_schema(route, name)} for name in route.query
    ]


def _query_schema(route: Route, name: str) -> Json:
    any_path = _QUERY_SCHEMAS.get(name, {"type": "string"})
    return _QUERY_SCHEMAS.get(f"{route.path}?{name}", any_path)


def _alternatives(shape: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any type is a shape
    """Return the shapes that a body may have."""
    return get_args(shape) if isinstance(shape, UnionType) else (shape,)


def _body_schema(media_type: str, shape: Any, schema_of: dict[Any, Json]) -> Json:  # noqa: ANN401 - same
    """Return the schema of a body: of multipart/form-data, its Parts; else what is none."""
    (fitting,) = (
        one
        for one in _alternatives(shape)
        if (isinstance(one, type) and issubclass(one, Parts)) is (media_type == MULTIPART)
    )
    return _content_schema(JSON if media_type == MULTIPART else media_type, fitting, schema_of)


def _content_schema(media_type: str, shape: Any, schema_of: dict[Any, Json]) -> Json:  # noqa: ANN401 - same
    if media_type == JSON:
        schemas = [schema_of[one] for one in _alternatives(shape)]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    if media_type == JOSE:
        # The schema is that of the payload (JSON Schema, 8.5).
        return {"type": "string", "contentMediaType": JOSE, "contentSchema": schema_of[shape]}
    return {} if media_type == BYTES else {"type": "string"}


def _responses(route: Route, signature: Signature, schema_of: dict[Any, Json]) -> Json:
    responses: Json = {}
    for status in sorted({*signature.gives, *_failures(route, signature)}):
        gives = signature.gives.get(status, type(None))
        if status >= _FIRST_REFUSAL and not _is_refusal(gives):
            responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
            continue
        response: Json = {"description": _REASONS[status]}
        if status not in _BODILESS and gives is not type(None):
            response["content"] = {
                media_type: {"schema": _content_schema(media_type, gives, schema_of)}
                for media_type in (route.produces, *route.also_produces)
            }
        responses[str(status)] = response
    return responses


def _refusals(schema: Json) -> Json:
    return {
        str(status): {"description": reason, "content": {JSON: {"schema": schema}}}
        for status, reason in _REASONS.items()
        if status >= _FIRST_REFUSAL
    }


def _failures(route: Route, signature: Signature) -> set[int]:
    """Return the statuses of errors that dispatch, or any handler of this kind, may return."""
    has_parameters = "{" in route.path or bool(route.query)
    changes = route.method != "GET"
    is_authenticated = route.authentication is not Authentication.NONE
    return {
        status
        for status, may_be in {
            304: route.has_tag,
            400: has_parameters or signature.takes is not type(None),
            401: is_authenticated,
            403: bool(route.roles),
            404: "{" in route.path,
            406: True,
            409: changes,
            412: True,
            413: changes,
            414: True,
            415: bool(route.accepts.types),
            429: is_authenticated,
            503: True,
        }.items()
        if may_be
    }
