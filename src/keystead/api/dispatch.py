"""The walk of a request through the checks, in NetHSM's order, to its handler and back.

Path 404 → state 412 → method 501 → URI 414 → method 405 → authentication 401, 429 → role and
namespace 403 → media type of uploads 415 → size 413 → Accept 406 → the handler: ID 400,
existence 404, media type 415, body 400.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from email.utils import formatdate
from functools import cache, lru_cache, partial
from itertools import count
from typing import Any, Final

from keystead import errors
from keystead.api.http.actions import begin_action, end_action
from keystead.api.http.callers import authenticate, authenticate_by_state, knows_caller
from keystead.api.http.conditions import (
    handle_existing,
    require_conditions,
    require_untagged,
    tagged,
)
from keystead.api.http.negotiation import choose
from keystead.api.http.route import (
    Authentication,
    Call,
    EarlyCheck,
    Reply,
    ResponseCut,
    Route,
    StreamedResponse,
)
from keystead.api.http.router import Match, Router
from keystead.api.http.statuses import (
    STATUS,
    HttpError,
    PathUnknown,
    error_body,
    error_headers,
    header_lines,
)
from keystead.api.http.unread_body import BodyReader, LateBody
from keystead.api.routes import PAGES, ROUTES
from keystead.journal.log import REQUEST, Level
from keystead.model.lifecycle import State
from keystead.operations.freshness import Freshness
from keystead.operations.hsm import Hsm
from keystead.operations.session import Session
from keystead.operations.shares import of_user
from keystead.storage.conditional import depend_on
from keystead.wire.edge_messages import ANSWER_PART_BYTES, Request, Response

MAX_URI_LENGTH: Final = 2000
KNOWN_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)

REFUSALS: Final = frozenset({401, 403, 412, 429})
"""The statuses of requests that were refused because of the caller, the state or the rate."""

# For each request: with Python 3.11, a member of an Enum is not found at the speed of a name.
_ROLE: Final = Authentication.ROLE
_DEBUG: Final = Level.DEBUG
_NO_EARLY_CHECK: Final = EarlyCheck.NONE

OK: Final = 200
NO_CACHE: Final = ("Cache-Control", "no-cache")
PLAIN_TEXT: Final = "text/plain; charset=utf-8"


class Dispatcher:
    """Answers requests: the whole core, seen from the edge."""

    def __init__(self, hsm: Hsm, routes: Iterable[Route] = (*ROUTES, *PAGES)) -> None:
        self._hsm = hsm
        self._log = hsm.log
        self._router = Router(routes)
        self._numbers = count(1)
        self._date = lru_cache(maxsize=1)(_date)
        self._handled: Callable[[Call[Any]], Awaitable[Reply[Any]]] = self._handle
        if hsm.freshness is not None:
            self._handled = partial(self._handle_in_cluster, hsm.freshness)

    async def answer(self, request: Request, body: BodyReader) -> Response | StreamedResponse:
        """Return the response to `request`. Never raises: an unexpected error is a logged 500."""
        hsm = self._hsm
        began = hsm.monotonic()
        REQUEST.set(next(self._numbers))
        call: Call[Any] | None = None
        try:
            call = self._begin(request, body)
            reply = await self._handled(call)
            session = call.operational
            if session is not None and (session.ended or reply.parts is not None):
                reply = _as_still_allowed(call, session, reply)
            lines = _header_lines(call, reply)
        except Exception as error:  # noqa: BLE001 - the last net: a bug must not end the core
            reply, lines = self._failed(error)
        finally:
            depend_on(None)
            if call is not None and call.operational is not None:
                call.operational.request_ends()
        if reply.status in REFUSALS or (call is not None and call.action is not None):
            await self._record(request, call, reply)
        lines += self._date(int(hsm.time.now()))
        hsm.metrics.count_response(reply.status, hsm.monotonic() - began)
        if self._log.threshold >= _DEBUG:
            self._log.debug("request answered", **self._named(request), status=reply.status)
        if reply.parts is None:
            if len(reply.body) > ANSWER_PART_BYTES:
                _own_answer(call, body)
            return Response(request.id, reply.status, lines, reply.body)
        _own_answer(call, body)
        head = Response(request.id, reply.status, lines, b"", remaining=None)
        return StreamedResponse(head, self._watched(reply.parts))

    async def _watched(self, parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """Yield `parts`. If they end early, it is too late for an error status: log the reason."""
        try:
            async with aclosing(parts):
                async for part in parts:
                    yield part
        except errors.KeysteadError as error:
            self._log.warning("response cut short", reason=error.message)
            if isinstance(error, errors.StoreUnavailable):
                self._hsm.recovery.store_lost()
            raise ResponseCut from None
        except Exception as error:  # noqa: BLE001 - the last net: a bug must not end the core
            self._log.bug("response cut short", error)
            raise ResponseCut from None

    def _begin(self, request: Request, body: BodyReader) -> Call[Any]:
        """Return the request with its row. Raises an error if there is no row for it."""
        hsm = self._hsm
        match = self._router.match(request.path)
        row = match.rows.get(request.method)
        if (
            row is None
            or hsm.state not in row.states
            or len(request.path) + len(request.query) > MAX_URI_LENGTH
        ):
            raise _why_not(request, match, hsm.state)
        call: Call[Any] = Call(
            hsm, row, request, match.parameters, body, row.produces, hsm.state, None, hsm.session
        )
        depend_on(call)
        if request.more:
            call.unread_body = LateBody(body, call.require_allowed)
        if call.operational is not None:
            call.operational.request_begins()
        return call

    async def _handle_in_cluster(self, freshness: Freshness, call: Call[Any]) -> Reply[Any]:
        """Wait until this member is up to date, and after a revocation until all members are.

        A member that is cut off must still be stopped and looked into.
        """
        if call.route.roles and State.FAILED not in call.route.states:
            await freshness.require(changes_nothing=call.route.changes_nothing)
        reply = await self._handle(call)
        if call.route.revokes:
            await freshness.everywhere()
        return reply

    async def _handle(self, call: Call[Any]) -> Reply[Any]:
        row, request = call.route, call.request
        if row.authentication is _ROLE:
            if not knows_caller(call):
                await authenticate(call)
        elif row.authentication is not Authentication.NONE:
            await authenticate_by_state(call)
        _require_fit(call)
        if row.changes_nothing:
            # Not before: a failed login has to be counted even if its client is gone.
            call.unread_body.end_with_client()
        else:
            begin_action(call)
        if row.has_tag:
            reply = tagged(call, await handle_existing(call))
        elif "if-match" in request.headers or "if-none-match" in request.headers:
            reply = await self._handle_conditional(call)
        else:
            reply = await row.handler(call)
        if row.method == "GET":
            call.require_allowed()
        return reply

    async def _handle_conditional(self, call: Call[Any]) -> Reply[Any]:
        get = self._router.match(call.request.path).rows.get("GET")
        if get is not None and get.has_tag:
            await require_conditions(call, get)
        else:
            require_untagged(call)
        return await handle_existing(call)

    async def _record(self, request: Request, call: Call[Any] | None, reply: Reply[Any]) -> None:
        if reply.status in REFUSALS:
            self._record_refusal(request, call, reply.status)
        if call is not None and call.action is not None:
            await end_action(call, call.action, reply)

    def _record_refusal(self, request: Request, call: Call[Any] | None, status: int) -> None:
        caller = None if call is None else call.authenticated
        self._hsm.access_record.request_refused(
            caller, address=request.client, status=status, **self._named(request)
        )

    def _named(self, request: Request) -> dict[str, str]:
        """Return the route of the request, without any input of the client."""
        method = request.method if request.method in KNOWN_METHODS else ""
        try:
            row = next(iter(self._router.match(request.path).rows.values()))
        except PathUnknown:
            return {"method": method, "root": "", "path": ""}
        return {"method": method, "root": row.root, "path": row.path}

    def _failed(self, error: Exception) -> tuple[Reply[Any], bytes]:
        """Return the answer to a request that raised `error`."""
        if isinstance(error, PathUnknown):
            return Reply(404, b"Not found"), header_lines([("Content-Type", PLAIN_TEXT)])
        if isinstance(error, HttpError):
            return _refusal(error.status, error.message, error.headers)
        status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)
        if status is None or not isinstance(error, errors.KeysteadError):
            self._log.bug("request failed", error)
            return _refusal(500, "Internal error.")
        if isinstance(error, errors.StoreUnavailable):
            self._hsm.recovery.store_lost()
        if isinstance(error, errors.SelfTestFailed):
            self._hsm.self_test_failed(error.message)
        if isinstance(error, errors.ForbiddenByPolicy) and error.retry_after_seconds is not None:
            later = ("Retry-After", str(error.retry_after_seconds))
            return _refusal(status, error.message, [later])
        if isinstance(error, errors.StoreRolledBack):
            return _refusal(status, error.message, acknowledgeRollback=error.code)
        return _refusal(status, error.message)


def _refusal(
    status: int, message: str, headers: Iterable[tuple[str, str]] = (), **more: str
) -> tuple[Reply[Any], bytes]:
    lines = header_lines([*error_headers(status), *headers])
    return Reply(status, error_body(message, **more)), lines


def _date(seconds: int) -> bytes:
    return header_lines([("Date", formatdate(seconds, usegmt=True))])


def _why_not(request: Request, match: Match, state: State) -> Exception:
    """Return the error for a request without a row: 412, 501, 414 or 405, in this order."""
    method = "GET" if request.method == "HEAD" else request.method
    row = match.rows.get(method) or next(iter(match.rows.values()))
    if state not in row.states:
        return errors.WrongState("Service not available")
    if request.method not in KNOWN_METHODS:
        return HttpError(501, "Method not implemented.")
    if len(request.path) + len(request.query) > MAX_URI_LENGTH:
        return HttpError(414, f"The URI is longer than {MAX_URI_LENGTH} characters.")
    return HttpError(405, "Method not allowed.", (("Allow", ", ".join(sorted(match.rows))),))


def _as_still_allowed(call: Call[Any], session: Session, reply: Reply[Any]) -> Reply[Any]:
    """Return the reply to a caller that is allowed to have it. Raises WrongState if none is.

    What an action has changed before the lock is told: it may be new unlock shares.
    """
    action = call.action
    has_changed = action is not None and action.is_written and not action.is_use
    if session.ended and not (call.route.ends_session or has_changed):
        raise errors.WrongState("The HSM was locked in the meantime.")
    if reply.parts is None:
        return reply
    return Reply(reply.status, headers=reply.headers, parts=_allowed(call, reply.parts))


async def _allowed(
    call: Call[Any], parts: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yield `parts` as long as the caller is allowed to read them."""
    async with aclosing(parts):
        async for part in parts:
            call.require_allowed()
            yield part


def _require_fit(call: Call[Any]) -> None:
    """Raise 415, 413 or 406 if the head asks for something that the row does not support."""
    row, request = call.route, call.request
    if row.accepts.early is not _NO_EARLY_CHECK:
        row.accepts.require_early(request.headers.get("content-type", ""))
    if request.content_length is not None and request.content_length > row.body_limit:
        raise errors.TooLarge(f"The body is over {row.body_limit} bytes.")
    accept = request.headers.get("accept")
    if accept is not None:
        call.produces = _choose_type(row, accept)


def _choose_type(row: Route, accept: str) -> str:
    if not accept.strip():
        return row.produces
    chosen = choose(accept, (row.produces, *row.also_produces))
    if chosen is None:
        raise HttpError(406, f"This gives {' or '.join((row.produces, *row.also_produces))}.")
    return chosen


def _own_answer(call: Call[Any] | None, body: BodyReader) -> None:
    """Count the memory of a long answer for the user who gets it, as that of a long body is."""
    if call is not None and call.authenticated is not None and not call.request.more:
        body.belongs_to(of_user(call.authenticated.user_id))


@cache  # as many entries as there are media types in the route table
def _usual_lines(produced: str) -> bytes:
    return header_lines([("Content-Type", produced), NO_CACHE])


def _header_lines(call: Call[Any], reply: Reply[Any]) -> bytes:
    """Return a reply's headers with the common ones. Its own Content-Type is kept."""
    if reply.status == OK and not reply.headers and not call.route.has_tag:
        return _usual_lines(call.produces)
    headers = list(reply.headers)
    has_type = bool(headers) and any(name == "Content-Type" for name, _ in headers)
    if not has_type and reply.status not in {204, 304}:
        headers.append(("Content-Type", call.produces))
    if not call.route.has_tag:
        headers.append(NO_CACHE)
    return header_lines(headers)
