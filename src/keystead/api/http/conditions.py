"""Conditional requests (RFC 9110, section 13): entity tags, If-Match, If-None-Match.

A resource's tag is a hash of the response to GET. The conditions of PUT and DELETE refer to the tag
of the GET on the same path, whose handler runs first.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from keystead.api.http.route import NOT_MODIFIED, Call, Reply, Route
from keystead.api.http.statuses import HttpError
from keystead.errors import InvalidInput, NotFound
from keystead.storage.conditional import witnessed

_TAG_DIGITS = 32


def entity_tag(body: bytes) -> str:
    """Return the strong entity tag of a representation, quotes included."""
    return f'"{hashlib.sha256(body).hexdigest()[:_TAG_DIGITS]}"'


def tagged(call: Call[Any], reply: Reply[Any]) -> Reply[Any]:
    """Return a GET's reply with its tag, or the 304 or 412 that its conditions ask for."""
    tag = entity_tag(reply.body)
    if not _if_match_holds(call, tag):
        raise HttpError(412, "The resource does not match If-Match.")
    headers = [*reply.headers, ("ETag", tag)]
    if _is_known(call.request.headers.get("if-none-match"), tag):
        return Reply(NOT_MODIFIED.status, headers=headers)
    return Reply(reply.status, reply.body, headers)


async def handle_existing(call: Call[Any]) -> Reply[Any]:
    """Return the reply of the row's handler. What it does not find is 412 to an If-Match."""
    try:
        return await call.route.handler(call)
    except NotFound:
        if "if-match" in call.request.headers:
            raise HttpError(412, "The resource does not match If-Match.") from None
        raise


async def require_conditions(call: Call[Any], get: Route) -> None:
    """Raise 412 unless the conditions hold for what the GET row of the same path answers now.

    Refuses callers that may not use that GET row, because the result reveals its content. The
    commits of the request depend on the records that were read for it.
    """
    with witnessed() as revisions:
        try:
            call.require_open(get)
            tag = entity_tag((await get.handler(call)).body)
        except (NotFound, InvalidInput):  # Also a path that only a POST takes: /users/{ns}~
            tag = None
    call.compared = revisions
    if not _if_match_holds(call, tag):
        raise HttpError(412, "The resource does not match If-Match.")
    if tag is not None and _is_known(call.request.headers.get("if-none-match"), tag):
        raise HttpError(412, "The resource matches If-None-Match.")


async def require_existence(call: Call[Any], exists: Callable[[], Awaitable[bool]]) -> None:
    """Raise 412 unless the conditions hold for what has no entity tag, and exists or does not.

    The commits of the request depend on the records that were read for `exists`.
    """
    headers = call.request.headers
    wants_new = "*" in _listed(headers.get("if-none-match", ""))
    if not wants_new and "if-match" not in headers:
        return
    with witnessed() as revisions:
        is_there = await exists()
    call.compared = revisions
    if not is_there and "if-match" in headers:
        raise HttpError(412, "The resource does not match If-Match.")
    if is_there and wants_new:
        raise HttpError(412, "The resource matches If-None-Match.")


def require_untagged(call: Call[Any]) -> None:
    """Raise 412 unless the conditions hold for what has no entity tag.

    An If-Match that names tags matches none of them. `If-None-Match: *` forbids to change what is
    there; whether what has an ID in its path is there, its handler knows.
    """
    headers = call.request.headers
    condition = headers.get("if-match")
    if condition is not None and "*" not in _listed(condition):
        raise HttpError(412, "The resource does not match If-Match.")
    is_change_of_known = call.route.method != "GET" and not call.parameters
    if is_change_of_known and "*" in _listed(headers.get("if-none-match", "")):
        raise HttpError(412, "The resource matches If-None-Match.")


def _if_match_holds(call: Call[Any], tag: str | None) -> bool:
    """Compare strongly (RFC 9110, section 13.1.1): a weak tag matches nothing."""
    condition = call.request.headers.get("if-match")
    return condition is None or (tag is not None and not {"*", tag}.isdisjoint(_listed(condition)))


def _is_known(condition: str | None, tag: str) -> bool:
    """Compare If-None-Match weakly (section 13.1.2); a tag without its quotes is taken too."""
    if condition is None:
        return False
    known = {"*", tag, tag.strip('"')}
    return any(one.removeprefix("W/") in known for one in _listed(condition))


def _listed(condition: str) -> list[str]:
    return [one.strip() for one in condition.split(",")]
