"""The trial of an update: its slot is confirmed as soon as the server in it answers."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from keystead.deadlines import within

TRIAL_SECONDS: Final = 600.0
"""How long a new image may take until its server answers. An emulated machine is slow."""

_PAUSE_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 30.0
_MAX_ANSWER_BYTES: Final = 64 * 1024
_QUESTION: Final = (
    b"GET /api/v1/health/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
)


async def becomes_healthy(
    is_healthy: Callable[[], Awaitable[bool]], *, limit_seconds: float = TRIAL_SECONDS
) -> bool:
    """Wait until the server is healthy and return True, or False if that takes too long."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + limit_seconds
    while loop.time() < ends_at:
        if await is_healthy():
            return True
        await asyncio.sleep(_PAUSE_SECONDS)
    return False


async def answers(host: str, port: int) -> bool:
    """Return whether a server answers a client, and has its store open."""
    with suppress(OSError):  # A TimeoutError is one too.
        answer = await _ask(host, port)
        return answer.startswith(b"HTTP/1.1 200 ") and b'"Failed"' not in answer
    return False


async def _ask(host: str, port: int) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # The server is this machine's own, and is told no secret.
    # A handshake that is cancelled would leave its connection open, one more at each attempt.
    reader, writer = await asyncio.open_connection(
        host, port, ssl=context, ssl_handshake_timeout=_ANSWER_SECONDS
    )
    try:
        writer.write(_QUESTION)
        return await within(_ANSWER_SECONDS, reader.read(_MAX_ANSWER_BYTES))
    finally:
        writer.transport.abort()
