"""Accepts connections, runs handshakes, checks deadlines, and stops gracefully."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from heapq import nsmallest
from operator import itemgetter
from typing import Final

from keystead.edge.connection import HttpConnection
from keystead.edge.context import EdgeContext, Watched
from keystead.edge.core_link import CoreLink
from keystead.edge.handshake import ATTEMPT, Handshake
from keystead.edge.limits import ACCEPTS_PER_TURN, MAX_CONNECTIONS, ROOM_FRACTION, Timeouts
from keystead.edge.pages import Page
from keystead.edge.proxy_protocol import read_header
from keystead.edge.tls import KeyMemory, server_context, try_out
from keystead.wire.edge_messages import (
    MAX_REFUSALS,
    Refusal,
    Refusals,
    Serving,
    TriedOut,
    TryOut,
    Welcome,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SWEEP_SECONDS: Final = 0.5
"""The precision of timeouts."""


class EdgeServer:
    """Serves HTTPS on inherited listening sockets, with responses from the core."""

    def __init__(
        self,
        *,
        listeners: Sequence[socket.socket],
        timeouts: Timeouts,
        on_serving: Callable[[], None],
        max_connections: int = MAX_CONNECTIONS,
        proxies: Sequence[Network] = (),
        pages: Mapping[str, Page],
    ) -> None:
        """`on_serving` is called once the TLS identity has come and connections are accepted.

        Requests for `pages` are answered without the core.
        Connections from `proxies` begin with a PROXY protocol header, and no others do.
        """
        self._loop = asyncio.get_running_loop()
        self._listeners = listeners
        self._timeouts = timeouts
        self._on_serving = on_serving
        self._max_connections = max_connections
        self._proxies = proxies
        self._key_memory = KeyMemory()
        self._context: ssl.SSLContext | None = None
        self._handshakes: dict[Watched, asyncio.Task[None]] = {}
        """Under way, each for a connection that is not open yet."""
        self._stopping = asyncio.Event()
        self._empty = asyncio.Event()
        self.link = CoreLink(on_identity=self._identity, on_lost=self._core_lost)
        self._all = EdgeContext(
            self.link, timeouts, self._loop.time, self._opened, self._ended, pages
        )

    async def run(self) -> None:
        """Serve until `stop` is called or the core is gone, and every connection has ended."""
        sweep = self._loop.create_task(self._sweep())
        await self._stopping.wait()
        self._ended()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeouts.drain):  # noqa: TID251 - in a task
                await self._empty.wait()
        sweep.cancel()

    def stop(self) -> None:
        """Accept no more connections. Idle ones close now, and others after their response."""
        if self._all.is_stopping:
            return
        self._all.is_stopping = True
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        for handshake in self._handshakes.values():
            handshake.cancel()
        for connection in list(self._all.connections):
            connection.stop()
        self._stopping.set()

    # --- the core --------------------------------------------------------------------------

    def _identity(self, message: Welcome | TryOut) -> None:
        if isinstance(message, Welcome):
            self._welcome(message)
            self.link.send(Serving())
        else:
            refusal = try_out(message.tls_key_pem, message.tls_chain_pem, self._key_memory)
            self.link.send(TriedOut(message.id, refusal))

    def _welcome(self, welcome: Welcome) -> None:
        """Serve the identity to new connections. Open connections keep theirs."""
        is_first = self._context is None
        self._context = server_context(welcome.tls_key_pem, welcome.tls_chain_pem, self._key_memory)
        if is_first and not self._all.is_stopping:
            for listener in self._listeners:
                self._listen(listener)
            self._on_serving()

    def _core_lost(self, _reason: str) -> None:
        self.stop()

    # --- connections -----------------------------------------------------------------------

    def _listen(self, listener: socket.socket) -> None:
        if not self._all.is_stopping:
            self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):  # Taken by another edge, or gone.
                return
            except OSError:  # Out of descriptors or memory: let some connections end first.
                self._all.refusals["open_files"] += 1
                self._loop.remove_reader(listener)
                self._loop.call_later(SWEEP_SECONDS, self._listen, listener)
                return
            self._take(accepted, _unmapped(address[0]))

    def _take(self, accepted: socket.socket, client: str) -> None:
        if self._is_full and not self._make_room():
            self._all.refusals["connection_limit"] += 1
            accepted.close()
            return
        accepted.setblocking(False)
        connection = HttpConnection(self._all, client)
        task = self._loop.create_task(self._shake_hands(accepted, connection))
        self._handshakes[connection] = task
        task.add_done_callback(partial(self._shaken, accepted, connection))

    @property
    def _is_full(self) -> bool:
        return len(self._all.connections) + len(self._handshakes) >= self._max_connections

    def _make_room(self) -> bool:
        """End the connections that have waited longest for their client, also in a handshake.

        Return False if all connections have a running request. So a client that keeps many
        connections open does not keep others out.
        """
        waiting = [
            (one.waiting_since, one.make_room) for one in self._all.connections if one.is_waiting
        ]
        waiting += [(one.waiting_since, partial(self._give_up, one)) for one in self._handshakes]
        count = max(1, self._max_connections // ROOM_FRACTION)
        for _, end in nsmallest(count, waiting, key=itemgetter(0)):
            end()
        self._all.refusals["connection_evicted"] += min(count, len(waiting))
        return bool(waiting)

    def _give_up(self, connection: Watched) -> None:
        self._handshakes.pop(connection).cancel()

    def _opened(self, connection: Watched) -> None:
        """Note that a handshake has ended well."""
        self._handshakes.pop(connection, None)
        self._all.connections.add(connection)

    def _shaken(
        self, accepted: socket.socket, connection: Watched, task: asyncio.Task[None]
    ) -> None:
        if task.cancelled():
            accepted.close()
        self._handshakes.pop(connection, None)
        self._ended()

    def _ended(self) -> None:
        """Note that a connection or a handshake has ended."""
        if self._all.is_stopping and not self._all.connections and not self._handshakes:
            self._empty.set()

    async def _shake_hands(self, accepted: socket.socket, connection: HttpConnection) -> None:
        attempt = Handshake(partial(self._refused, connection))
        ATTEMPT.set(attempt)
        try:
            await self._learn_client(accepted, connection, attempt)
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._timeouts.handshake,
                ssl_shutdown_timeout=self._timeouts.linger,
            )
        except (OSError, TimeoutError) as error:  # No TLS, no common suite, too slow or gone.
            accepted.close()
            if not attempt.is_refused:
                is_slow = isinstance(error, ConnectionAbortedError | TimeoutError)
                attempt.refuse("tls_timeout" if is_slow else "tls_closed")

    async def _learn_client(
        self, accepted: socket.socket, connection: HttpConnection, attempt: Handshake
    ) -> None:
        """Read the client's address from the proxy. Raises ConnectionError for a bad header."""
        if not self._proxies or not self._is_proxy(connection.client):
            return
        header = read_header()
        async with asyncio.timeout(self._timeouts.handshake):  # noqa: TID251 - in a task
            wanted = next(header)
            try:
                while True:
                    wanted = header.send(await self._receive(accepted, wanted))
            except StopIteration as end:
                connection.client = str(end.value or connection.client)
            except ValueError:
                attempt.refuse("proxy_header")
                raise ConnectionAbortedError from None

    def _is_proxy(self, peer: str) -> bool:
        address = ipaddress.ip_address(peer)
        return any(address in network for network in self._proxies)

    async def _receive(self, accepted: socket.socket, count: int) -> bytes:
        """Return exactly this many bytes. Raises ConnectionResetError at an earlier end."""
        data = b""
        while len(data) < count:
            part = await self._loop.sock_recv(accepted, count - len(data))
            if not part:
                raise ConnectionResetError
            data += part
        return data

    def _refused(self, connection: Watched, reason: Refusal) -> None:
        """Count a failed handshake. Its client has a moment to read the alert and close."""
        self._all.refusals[reason] += 1
        if (handshake := self._handshakes.get(connection)) is not None:
            self._loop.call_later(self._timeouts.linger, handshake.cancel)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self._loop.time()
            late = [c for c in self._all.connections if c.deadline <= now]
            for connection in late:
                connection.timed_out()
            self._report()

    def _report(self) -> None:
        """Report refusals to the core."""
        refusals = self._all.refusals
        if refusals and self.link.is_writable and not self.link.is_lost:
            counts = {one: min(count, MAX_REFUSALS) for one, count in refusals.items() if count}
            self.link.send(Refusals(counts))
            refusals.clear()


def _unmapped(address: str) -> str:
    """Return an IPv4 client's address as such, not as a socket for IPv6 has it."""
    return address.removeprefix("::ffff:") if "." in address else address
