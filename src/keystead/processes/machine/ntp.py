"""Asks a time server (SNTP, RFC 4330) how wrong the machine's clock is.

The answers are not authenticated: the network between can give a wrong time.
"""

import asyncio
import os
import socket
import struct
import time
from typing import Final

from keystead.deadlines import within

PORT: Final = 123
ANSWER_SECONDS: Final = 5.0
MAX_DELAY_SECONDS: Final = 2.0
"""An answer that took longer says too little about the time."""

_MESSAGE: Final = struct.Struct("!BBBbII4s8s8s8s8s")
_CLIENT, _SERVER = 3, 4
_VERSION: Final = 4 << 3
_NOT_SYNCHRONISED: Final = 3
_STRATA: Final = range(1, 16)
_ERA_SECONDS: Final = 1 << 32
_SECONDS_TO_1970: Final = 2_208_988_800
_IN_NEXT_ERA: Final = 1 << 31
"""A smaller time is one after February 2036, when the count of seconds starts again."""


def question(nonce: bytes) -> bytes:
    """Return the message to a server. `nonce` (8 bytes) stands for the time, which is no use."""
    empty = bytes(8)
    return _MESSAGE.pack(_VERSION | _CLIENT, 0, 0, 0, 0, 0, b"", empty, empty, empty, nonce)


def clock_error(answer: bytes, nonce: bytes, *, asked: float, answered: float) -> float | None:
    """Return how many seconds the clock is behind the server's, or None for no usable answer.

    `asked` and `answered` are the times of question and answer, by the machine's clock.
    """
    if len(answer) < _MESSAGE.size:
        return None
    first, stratum, *_, origin, received, sent = _MESSAGE.unpack_from(answer)
    if origin != nonce or first & 7 != _SERVER or first >> 6 == _NOT_SYNCHRONISED:
        return None
    if stratum not in _STRATA or not any(sent):
        return None
    arrived, left = _unix_seconds(received), _unix_seconds(sent)
    if not 0 <= (answered - asked) - (left - arrived) <= MAX_DELAY_SECONDS:
        return None
    return ((arrived - asked) + (left - answered)) / 2


def _unix_seconds(stamp: bytes) -> float:
    seconds = int.from_bytes(stamp) / _ERA_SECONDS
    era = _ERA_SECONDS if seconds < _IN_NEXT_ERA else 0
    return seconds + era - _SECONDS_TO_1970


async def ask(server: str, port: int = PORT) -> float | None:
    """Return how many seconds the clock is behind the server's. None: no usable answer came."""
    loop = asyncio.get_running_loop()
    nonce = os.urandom(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end:
        try:
            end.connect((server, port))  # So the kernel takes answers of this server alone.
            asked = time.time()  # noqa: TID251 - the machine's clock is what is set here
            await loop.sock_sendall(end, question(nonce))
            answer = await within(ANSWER_SECONDS, loop.sock_recv(end, _MESSAGE.size))
        except OSError:  # No way to the server, or no answer in time.
            return None
        answered = time.time()  # noqa: TID251 - see above
    return clock_error(answer, nonce, asked=asked, answered=answered)
