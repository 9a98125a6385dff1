"""Where the microseconds of one P-256 signature go: each stage alone, in this process.

What no stage accounts for in a process's CPU time is system calls, TLS and the event loop. Each
figure is the least of several rounds: the machine's other work only ever adds to it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from bench.result import Row
from bench.run import Findings, Run
from keystead.algorithms import SIGN, mechanism_of
from keystead.api.http.encoding import encode_base64
from keystead.api.http.router import Router
from keystead.api.resources.use_keys import decode_request
from keystead.api.routes import ROUTES
from keystead.edge.request_head import parse_request_head
from keystead.edge.response_head import response_head
from keystead.model.ids import parse_key_id
from keystead.model.keys import Permit
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_keys import cached, find
from keystead.wire.edge_messages import CoreToEdge, EdgeToCore, Request, Response
from keystead.wire.frames import EDGE_FRAME_BYTES, FrameDecoder, append_frame
from tests.support.core import Core, WholeBody, basic, start_core, to_json

Result = TypeVar("Result")

ROUNDS: Final = 7
CALLS: Final = 2_000

PATH: Final = "/api/v1/keys/bench/sign"
DIGEST: Final = bytes(range(32))
CLIENT: Final = "127.0.0.1"


@dataclass(frozen=True)
class Stage:
    """A part of the walk of one request, and the processor time it takes."""

    process: str
    name: str
    microseconds: float


def measure_budget(_: Run) -> Findings:
    """Return every stage in the order of a request's walk."""
    with asyncio.Runner() as runner:
        core = runner.run(_signing_core())
        try:
            stages = _stages(runner, core)
        finally:
            core.close()
    return Findings(
        [
            Row(f"Stage of one P-256 sign, {one.process}: {one.name}", "µs", [one.microseconds])
            for one in stages
        ]
    )


async def _signing_core() -> Core:
    core = await start_core()
    await core.provision()
    await core.add_user("operator", "Operator")
    await core.generate("bench", "EC_P256", "ECDSA_Signature")
    return core


def _stages(runner: asyncio.Runner, core: Core) -> list[Stage]:
    operator = ("operator", "passphrase of operator")
    body = to_json({"mode": "ECDSA", "message": encode_base64(DIGEST)})
    headers = {"authorization": basic(operator), "content-type": "application/json"}
    request = Request(1, "POST", PATH, "", headers, CLIENT, body, len(body))
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost:8443\r\n"
        f"Authorization: {headers['authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    ).encode()
    answered = runner.run(core.dispatcher.answer(request, WholeBody(body)))
    if not isinstance(answered, Response) or answered.status != 200:  # noqa: PLR2004
        raise RuntimeError(f"no signature: {answered}")
    response = answered

    session = core.hsm.session
    if session is None:
        raise RuntimeError("the core is not operational")
    caller = _now(session.credentials.authenticate(headers["authorization"], CLIENT))
    context = CallerContext(session, caller, CLIENT, core.hsm.time.now)
    stored = _now(find(context, parse_key_id("bench")))
    key = stored.release(Permit(stored.path))

    sign = mechanism_of(key.algorithm, SIGN, "ECDSA").run
    walk = _least(lambda: _now(core.dispatcher.answer(request, WholeBody(body))))
    inside = [
        Stage("core", "route", _least(lambda: router.match(PATH))),
        Stage(
            "core",
            "authentication: one keyed hash, one lookup",
            _least(lambda: session.credentials.known(headers["authorization"], CLIENT)),
        ),
        Stage(
            "core",
            "body: JSON and base64",
            _least(lambda: decode_request(body, SIGN)),
        ),
        Stage(
            "core",
            "key: ID and cache",
            _least(lambda: cached(context, parse_key_id("bench"))),
        ),
        Stage("core", "signature", _least(lambda: sign(key, DIGEST))),
    ]
    rest = walk - sum(stage.microseconds for stage in inside)
    return [
        Stage("edge", "request head", _least(lambda: parse_request_head(head))),
        Stage("edge", "request to frame", _least(lambda: _frame(request))),
        Stage("core", "frame to request", _decoding(EdgeToCore, request)),
        *inside,
        Stage("core", "checks, handler, answer, counters", rest),
        Stage("core", "response to frame", _least(lambda: _frame(response))),
        Stage("edge", "frame to response", _decoding(CoreToEdge, response)),
        Stage(
            "edge",
            "response head",
            _least(lambda: response_head(200, response.header_lines, length=len(response.body))),
        ),
    ]


router: Final = Router(ROUTES)


def _least(work: Callable[[], object]) -> float:
    """Return the processor time of one call in microseconds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            work()
        best = min(best, time.process_time() - began)
    return best / CALLS * 1e6


def _frame(message: Request | Response) -> bytearray:
    buffer = bytearray()
    append_frame(buffer, message, max_bytes=EDGE_FRAME_BYTES)
    return buffer


def _decoding(union: object, message: Request | Response) -> float:
    decoder = FrameDecoder[object](union, max_bytes=EDGE_FRAME_BYTES)
    frame = bytes(_frame(message))
    return _least(lambda: decoder.feed(frame))


def _now(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("Result", done.value)
    raise RuntimeError("it waits")
