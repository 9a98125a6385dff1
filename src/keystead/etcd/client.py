"""The client of the etcd member on this machine, over its Unix socket.

Every call has a deadline of ours. By itself, etcd may let a caller wait for more than seven
seconds.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Generic

from keystead.deadlines import within
from keystead.etcd.calls import Method, Request, Response
from keystead.etcd.connection import EtcdConnection
from keystead.etcd.errors import EtcdInDoubt, EtcdUnavailable
from keystead.etcd.exchange import Exchange, framed, never_sent
from keystead.etcd.protobuf import Malformed, decode, encode

DEADLINE_SECONDS: Final = 1.5
"""A little longer than the election of a new leader. What was sent to the one before is lost, and
is sent again after this time."""
MAX_CALLS: Final = 256
"""The most calls under way. More of them wait for a place, within their deadline."""
MAX_ANSWER_BYTES: Final = 16 * 2**20


class EtcdClient:
    """Calls to one member. It connects when it is first needed, and again after a loss."""

    def __init__(self, socket_path: str) -> None:
        """`socket_path` is the Unix socket where the member listens for clients."""
        self.socket_path: Final = socket_path
        self._connection: EtcdConnection | None = None
        self._connecting: asyncio.Task[EtcdConnection] | None = None
        self._places = asyncio.Semaphore(MAX_CALLS)
        self._is_closed = False

    async def call(
        self,
        method: Method[Request, Response],
        request: Request,
        *,
        seconds: float = DEADLINE_SECONDS,
    ) -> Response:
        """Make a call and return etcd's answer.

        Raises EtcdRefused, EtcdUnavailable if etcd was not asked, or EtcdInDoubt.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        connection = await self._place(end)
        try:
            return await self._ask(connection, method, request, end)
        finally:
            self._places.release()

    async def _ask(
        self,
        connection: EtcdConnection,
        method: Method[Request, Response],
        request: Request,
        end: float,
    ) -> Response:
        loop = asyncio.get_running_loop()
        seconds = max(end - loop.time(), 0.001)
        stream, exchange = connection.begin(_headers(method, seconds))
        timer = loop.call_later(seconds, exchange.expire, seconds)
        try:
            connection.send(stream, framed(encode(request)), is_last=True)
            answer = await exchange.next()
            if answer is None or await exchange.next() is not None:
                raise EtcdInDoubt("etcd has not answered with one message.")
        finally:
            timer.cancel()
            connection.end(stream)
        return _decoded(method, answer)

    @asynccontextmanager
    async def open(
        self, method: Method[Request, Response]
    ) -> AsyncIterator["Stream[Request, Response]"]:
        """Begin a call with streams, and end it with the block.

        Raises EtcdUnavailable if there is no connection in time.
        """
        try:
            connection = await within(DEADLINE_SECONDS, self._connected())
        except TimeoutError as error:
            raise _late() from error
        stream, exchange = connection.begin(_headers(method, None))
        try:
            yield Stream(connection, stream, exchange, method)
        finally:
            connection.end(stream)

    async def close(self) -> None:
        """End the connection. Later calls raise EtcdUnavailable."""
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            await self._connection.close()

    # --- inside ----------------------------------------------------------------------------

    async def _place(self, end: float) -> EtcdConnection:
        """Take one of the places and return a connection, before `end` on the loop's clock."""
        try:
            # Not `within`: a place that is taken when this is cancelled must be given back.
            async with asyncio.timeout_at(end):  # noqa: TID251 - in a task
                _ = await self._places.acquire()
                try:
                    return await self._connected()
                except BaseException:
                    self._places.release()
                    raise
        except TimeoutError as error:
            raise _late() from error

    async def _connected(self) -> EtcdConnection:
        """Return a connection that takes calls. Callers at the same time share the attempt."""
        if self._connection is not None and self._connection.takes_calls:
            return self._connection
        if self._is_closed:
            raise never_sent("the client is closed.")
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(self._connection_tried)
        # A caller that gives up must not end the attempt of the others.
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> EtcdConnection:
        try:
            _, connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: EtcdConnection(max_bytes=MAX_ANSWER_BYTES), self.socket_path
            )
        except OSError as error:
            raise never_sent(str(error)) from error
        return connection

    def _connection_tried(self, tried: asyncio.Task[EtcdConnection]) -> None:
        self._connecting = None
        if not tried.cancelled() and tried.exception() is None:
            self._connection = tried.result()


class Stream(Generic[Request, Response]):
    """A call with any number of messages each way. It has no deadline of its own."""

    def __init__(
        self,
        connection: EtcdConnection,
        stream: int,
        exchange: Exchange,
        method: Method[Request, Response],
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._exchange = exchange
        self._method = method

    def send(self, request: Request, *, is_last: bool = False) -> None:
        """Send a message. After the last one, etcd expects no more."""
        self._connection.send(self._stream, framed(encode(request)), is_last=is_last)

    async def receive(self) -> Response | None:
        """Return the next message, or None at the end.

        Raises EtcdRefused if etcd ends the call with an error, and EtcdUnavailable if the
        connection ends.
        """
        message = await self._exchange.next()
        return None if message is None else _decoded(self._method, message)


def _late() -> EtcdUnavailable:
    return never_sent("no connection in time.")


def _headers(method: Method[Request, Response], seconds: float | None) -> list[tuple[str, str]]:
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method.path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    if seconds is not None:
        headers.append(("grpc-timeout", f"{max(int(seconds * 1000), 1)}m"))
    if method.needs_leader:
        headers.append(("hasleader", "true"))
    return headers


def _decoded(method: Method[Request, Response], message: bytes) -> Response:
    try:
        return decode(method.response, message)
    except Malformed as error:
        raise EtcdInDoubt(f"The answer of etcd cannot be read: {error}") from error
