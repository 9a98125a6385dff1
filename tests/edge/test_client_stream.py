"""What happens to the bytes of a stream when its client does not keep up, is gone, or sends on."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest
import uvloop

from keystead.edge.client_stream import RECORD_BYTES, ClientStream
from keystead.edge.tls import KeyMemory, serve_tls, server_context
from tests.support.edge import identity
from tests.support.server import trusting_anyone


@dataclass
class Owner:
    """What the stream tells its owner."""

    received: bytes = b""
    events: list[str] = field(default_factory=list)
    fails: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._note("data")
        if self.fails:
            raise RuntimeError("it failed")

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def connection_lost(self) -> None:
        self._note("lost")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, event: str) -> None:
        async with asyncio.timeout(10):
            while event not in self.events:
                await self._news.wait()
                self._news.clear()


@dataclass
class Pair:
    """A stream and its client."""

    stream: ClientStream
    owner: Owner
    accepted: socket.socket
    client: ssl.SSLSocket

    def read_all(self) -> bytes:
        """What the client gets, to the end."""
        parts = []
        while part := self.client.recv(65536):
            parts.append(part)
        return b"".join(parts)


@contextlib.contextmanager
def connected() -> Iterator[Pair]:
    accepted, plain = socket.socketpair()
    for end in (accepted, plain):
        end.settimeout(10)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    side = serve_tls(server_context(*identity(), KeyMemory()), accepted)
    shaking = threading.Thread(target=side.do_handshake)
    shaking.start()
    client = trusting_anyone().wrap_socket(plain)
    shaking.join(10)
    accepted.setblocking(False)
    owner = Owner()
    stream = ClientStream(asyncio.get_running_loop(), accepted, side, owner)
    try:
        yield Pair(stream, owner, accepted, client)
    finally:
        client.close()
        stream.abort()


def on_a_loop(test: Callable[[Pair], Awaitable[None]]) -> list[str]:
    """Run `test` with a pair; return the errors that the event loop was told of."""
    unforeseen: list[str] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: unforeseen.append(repr(context.get("exception")))
        )
        with connected() as pair:
            await test(pair)

    uvloop.run(run())
    return unforeseen


def fill(accepted: socket.socket) -> int:
    """Leave the TLS library no room for a byte; return how many bytes that took."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            count += accepted.send(b"x")
    return count


def test_what_a_client_does_not_take_waits_and_comes_whole_and_in_order_before_the_end():
    data = bytes(range(256)) * 1000

    async def test(pair: Pair) -> None:
        pair.stream.write(b"head", data)
        pair.stream.write(b"tail")
        pair.stream.close()
        pair.stream.write(b"too late")
        await pair.owner.until("pause")
        assert not pair.stream.is_writable
        reading = asyncio.get_running_loop().run_in_executor(None, pair.read_all)
        await pair.owner.until("lost")
        assert await reading == b"head" + data + b"tail"
        assert pair.owner.events == ["pause", "resume", "lost"]

    assert on_a_loop(test) == []


@pytest.mark.parametrize("waits", [False, True])
def test_the_end_of_tls_is_sent_when_there_is_room_for_it(waits):
    async def test(pair: Pair) -> None:
        filled = fill(pair.accepted)
        if waits:
            pair.stream.write(b"last")
            assert pair.owner.events == ["pause"]
        pair.stream.close()
        await asyncio.sleep(0)
        assert "lost" not in pair.owner.events
        plain = socket.socket(fileno=pair.client.detach())
        got = b""
        while part := await asyncio.get_running_loop().run_in_executor(None, plain.recv, 65536):
            got += part
        plain.close()
        assert got[:filled] == b"x" * filled
        records = 2 if waits else 1
        assert got[filled:].count(b"\x17\x03\x03") == records  # In TLS 1.3 alerts look like data.
        await pair.owner.until("lost")

    assert on_a_loop(test) == []


def test_a_client_that_sends_on_gets_the_end_first_and_is_dropped_when_it_closes():
    async def test(pair: Pair) -> None:
        pair.client.sendall(b"more")
        pair.stream.close()
        assert pair.read_all() == b""
        pair.client.sendall(bytes(3 * RECORD_BYTES))
        assert pair.owner.events == []
        pair.client.close()
        await pair.owner.until("lost")
        assert pair.owner.received == b""

    assert on_a_loop(test) == []


@pytest.mark.parametrize("waits", [False, True])
def test_a_client_that_is_gone_is_lost_at_the_next_write(waits):
    async def test(pair: Pair) -> None:
        pair.stream.pause_reading()
        if waits:
            pair.stream.write(b"", bytes(1_000_000))
            assert pair.owner.events == ["pause"]
        pair.client.close()
        pair.stream.write(b"x")
        await pair.owner.until("lost")
        pair.stream.write(b"x")
        pair.stream.resume_reading()
        pair.stream.abort()
        await asyncio.sleep(0)
        assert pair.owner.events.count("lost") == 1

    assert on_a_loop(test) == []


def test_what_is_no_record_ends_the_connection():
    async def test(pair: Pair) -> None:
        plain = socket.socket(fileno=pair.client.detach())
        plain.sendall(bytes(100))
        await pair.owner.until("lost")
        plain.close()
        assert pair.owner.events == ["lost"]

    assert on_a_loop(test) == []


def test_an_owner_that_fails_loses_its_connection():
    async def test(pair: Pair) -> None:
        pair.owner.fails = True
        pair.client.sendall(b"data")
        await pair.owner.until("lost")
        assert pair.owner.events == ["data", "lost"]

    assert on_a_loop(test) == ["RuntimeError('it failed')"]


def test_a_client_that_takes_none_of_the_tls_librarys_own_answers_is_left():
    asked = []

    class AnswersFirst:
        def read(self, size: int) -> bytes:
            asked.append(size)
            raise ssl.SSLWantWriteError

    async def test(pair: Pair) -> None:
        pair.stream._tls = AnswersFirst()  # noqa: SLF001 - Python's TLS clients send no new keys
        pair.client.send(b"x")
        await pair.owner.until("lost")

    assert on_a_loop(test) == []
    assert len(asked) == 1
