"""What etcd tells programs other than its clients, over HTTP/1: what it counts, and its members."""

import asyncio
import re
from contextlib import suppress
from typing import Final

from keystead.deadlines import within
from keystead.etcd.client import DEADLINE_SECONDS
from keystead.etcd.errors import EtcdUnavailable

_MAX_BYTES: Final = 4 * 2**20
_STEP_BYTES: Final = 2**16
_CONNECTED: Final = re.compile(
    rb'^etcd_network_active_peers\{Local="[0-9a-f]+",Remote="([0-9a-f]{1,16})"\} ([0-9]+)$',
    re.MULTILINE,
)


async def page(socket: str, path: str, *, seconds: float = DEADLINE_SECONDS) -> bytes:
    """Return a page of the etcd at a Unix socket.

    Raises EtcdUnavailable if there is none within `seconds`, or if it is too long.
    """
    try:
        return await within(seconds, _read(socket, path))
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        raise EtcdUnavailable(f"{path} of etcd cannot be read.") from error


async def _read(socket: str, path: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        _ = await reader.readuntil(b"\r\n\r\n")
        body = bytearray()
        while block := await reader.read(_STEP_BYTES):
            body += block
            if len(body) > _MAX_BYTES:
                raise EtcdUnavailable(f"{path} of etcd is too long.")
        return bytes(body)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def connected(counts: bytes) -> list[int]:
    """Return the numbers of the members that an etcd has connections with, by what it counts."""
    return [int(number, 16) for number, count in _CONNECTED.findall(counts) if int(count)]
