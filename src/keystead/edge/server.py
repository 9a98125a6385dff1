"""Accepts connections, checks their deadlines, and stops gracefully."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from heapq import nsmallest
from operator import attrgetter
from typing import Final

from keystead.edge.connection import HttpConnection
from keystead.edge.context import EdgeContext
from keystead.edge.core_link import CoreLink
from keystead.edge.handshake import Handshake
from keystead.edge.limits import ACCEPTS_PER_TURN, MAX_CONNECTIONS, ROOM_FRACTION, Timeouts
from keystead.edge.pages import Page
from keystead.edge.tls import KeyMemory, TlsSocket, server_context, try_out
from keystead.wire.edge_messages import (
    MAX_REFUSALS,
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
        self._stopping = asyncio.Event()
        self._empty = asyncio.Event()
        self.link = CoreLink(on_identity=self._identity, on_lost=self._core_lost)
        self._all = EdgeContext(
            self.link, timeouts, self._loop, self._loop.time, self._ended, pages
        )

    async def run(self) -> None:
        """Serve until `stop` is called or the core is gone, and every connection has ended."""
        sweep = self._loop.create_task(self._sweep())
        await self._stopping.wait()
        self._ended()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeouts.drain):  # noqa: TID251 - in a task
                await self._empty.wait()
        for connection in list(self._all.connections):
            connection.make_room()
        sweep.cancel()

    def stop(self) -> None:
        """Accept no more connections. Idle ones close now, and others after their response."""
        if self._all.is_stopping:
            return
        self._all.is_stopping = True
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
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
            # Accepted sockets inherit it. A short part of an answer must not wait for the client.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
        if self._context is None or (self._is_full and not self._make_room()):
            self._all.refusals["connection_limit"] += 1
            accepted.close()
            return
        accepted.setblocking(False)
        handshake = Handshake(self._all, accepted, client, self._open)
        if self._proxies and self._is_proxy(client):
            handshake.begin_behind_proxy(self._context)
        else:
            handshake.begin(self._context)

    def _open(self, accepted: socket.socket, tls: TlsSocket, client: str) -> None:
        HttpConnection(self._all, accepted, tls, client).begin()

    @property
    def _is_full(self) -> bool:
        return len(self._all.connections) >= self._max_connections

    def _make_room(self) -> bool:
        """End the connections that have waited longest for their client, also in a handshake.

        Return False if all connections have a running request. So a client that keeps many
        connections open does not keep others out.
        """
        waiting = [one for one in self._all.connections if one.is_waiting]
        count = max(1, self._max_connections // ROOM_FRACTION)
        for one in nsmallest(count, waiting, key=attrgetter("waiting_since")):
            one.make_room()
        self._all.refusals["connection_evicted"] += min(count, len(waiting))
        return bool(waiting)

    def _is_proxy(self, peer: str) -> bool:
        address = ipaddress.ip_address(peer)
        return any(address in network for network in self._proxies)

    def _ended(self) -> None:
        """Note that a connection has ended."""
        if self._all.is_stopping and not self._all.connections:
            self._empty.set()

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
