"""Pages of etcd are read whole, within a time and a size."""

import asyncio
from pathlib import Path

import pytest

from keystead.etcd.errors import EtcdUnavailable
from keystead.etcd.pages import connected, page

HEAD = b"HTTP/1.0 200 OK\r\n\r\n"


async def read(socket: Path, answer: bytes, *, seconds: float = 60, ends: bool = True) -> bytes:
    """Read a page of a server that answers this, and then ends or is silent."""
    is_over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\r\n\r\n") == b"GET /metrics HTTP/1.0\r\n\r\n"
        writer.write(answer)
        if not ends:
            await is_over.wait()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(socket))
    async with server:
        try:
            return await page(str(socket), "/metrics", seconds=seconds)
        finally:
            is_over.set()


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "socket"


def test_a_page_is_read_to_its_end(socket: Path) -> None:
    body = bytes(3 * 2**20)
    assert asyncio.run(read(socket, HEAD + body)) == body


def test_a_page_that_is_too_long_is_refused(socket: Path) -> None:
    with pytest.raises(EtcdUnavailable, match="too long"):
        _ = asyncio.run(read(socket, HEAD + bytes(5 * 2**20)))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 200", bytes(2**20)])
def test_what_is_no_page_is_refused(socket: Path, answer: bytes) -> None:
    with pytest.raises(EtcdUnavailable, match="cannot be read"):
        _ = asyncio.run(read(socket, answer))


def test_a_page_that_does_not_end_is_given_up(socket: Path) -> None:
    with pytest.raises(EtcdUnavailable, match="cannot be read"):
        _ = asyncio.run(read(socket, HEAD + b"half", seconds=0.05, ends=False))


def test_without_a_server_there_is_no_page(socket: Path) -> None:
    with pytest.raises(EtcdUnavailable, match="cannot be read"):
        _ = asyncio.run(page(str(socket), "/metrics"))


def test_members_are_connected_if_a_connection_is_counted() -> None:
    counts = b"""# HELP etcd_network_active_peers The current number.
etcd_network_active_peers{Local="1",Remote="c2c33231831e4eaf"} 1
etcd_network_active_peers{Local="1",Remote="b"} 0
etcd_network_active_peers{Local="1",Remote="c"} 2
etcd_network_active_peers{Local="1",Remote="d"} NaN
other{Local="1",Remote="e"} 1
"""
    assert connected(counts) == [0xC2C33231831E4EAF, 0xC]
    assert connected(b"") == []
