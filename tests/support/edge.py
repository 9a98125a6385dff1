"""An edge in a thread, with a core that a test scripts, and a client that sends raw bytes.

    with running_edge(timeouts=Timeouts(head=0.3)) as edge:
        client = edge.connect()
        client.send(b"GET / HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n")
        answer = client.read_answer()

The scripted core answers every request with what it got, as JSON, once it has the whole body.
`edge.script` replaces that: it is called with every message of the edge, on the edge's event loop.
"""

import asyncio
import contextlib
import json
import queue
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import uvloop

from keystead.api.http.statuses import header_lines
from keystead.certificates.tls_identity import make_tls_identity
from keystead.edge.limits import Timeouts
from keystead.edge.pages import Page, load_pages
from keystead.edge.server import EdgeServer, Network
from keystead.wire.connection import Connection
from keystead.wire.edge_messages import (
    BodyChunk,
    CoreToEdge,
    EdgeToCore,
    Refusal,
    Refusals,
    Request,
    Response,
    Serving,
    WantBody,
    Welcome,
)
from keystead.wire.frames import EDGE_FRAME_BYTES
from tests.support.server import Answer, trusting_anyone, wait_until

CREDIT = 100_000
MAX_SENDS = 10_000


@cache
def identity() -> tuple[bytes, bytes]:
    key, chain = make_tls_identity("edge")
    return key.reveal(), chain


class RawClient:
    """A TLS connection that sends exactly what it is told to."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls
        self._unread = bytearray()

    def send(self, data: bytes) -> None:
        self.tls.sendall(data)

    def read_answer(self, *, to_head: bool = False) -> Answer:
        """The next response, its body by Content-Length; none after HEAD, 204, 304 and 100."""
        while b"\r\n\r\n" not in self._unread:
            self._fill()
        end = self._unread.index(b"\r\n\r\n")
        head = bytes(self._unread[:end])
        del self._unread[: end + 4]
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in headers.items()}
        length = 0 if to_head else int(headers.get("content-length", "0"))
        while len(self._unread) < length:
            self._fill()
        body = bytes(self._unread[:length])
        del self._unread[:length]
        return Answer(int(status_line.split(" ")[1]), headers, body)

    def send_until_blocked(self, data: bytes) -> int:
        """Send `data` again and again until nobody has taken any for a second; return the count."""
        count = 0
        self.tls.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while count < MAX_SENDS:
                self.tls.sendall(data)
                count += 1
        return count

    def is_closed(self) -> bool:
        """Wait for the server to close; False when it sends something instead."""
        if self._unread:
            return False
        try:
            return self.tls.recv(1) == b""
        except (ConnectionError, ssl.SSLEOFError):
            return True

    def is_silent(self, *, seconds: float) -> bool:
        """Whether nothing comes, not even the end, for so long."""
        self.tls.settimeout(seconds)
        try:
            self._fill()
        except TimeoutError:
            return True
        finally:
            self.tls.settimeout(60)
        return False

    def close(self) -> None:
        self.tls.close()

    def _fill(self) -> None:
        received = self.tls.recv(65536)
        if not received:
            raise EOFError(f"closed after {self._unread!r}")
        self._unread += received


@dataclass
class Edge:
    """A running edge and the scripted core behind it."""

    port: int = 0
    script: Callable[["Edge", EdgeToCore], None] = lambda edge, message: edge.echo(message)
    received: list[EdgeToCore] = field(default_factory=list)
    """All that is about requests."""
    server: EdgeServer = field(init=False)
    core: Connection[EdgeToCore, CoreToEdge] = field(init=False)
    loop: asyncio.AbstractEventLoop = field(init=False)
    clients: list[RawClient] = field(default_factory=list)
    refusals: Counter[Refusal] = field(default_factory=Counter)
    """What it has refused by itself."""
    times_serving: int = 0
    """How often it said that it serves what it was welcomed with."""
    _bodies: dict[int, tuple[Request, bytearray]] = field(default_factory=dict)

    # --- for tests -------------------------------------------------------------------------

    def connect(self, context: ssl.SSLContext | None = None) -> RawClient:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as plain:
            client = RawClient((context or trusting_anyone()).wrap_socket(plain))
        self.clients.append(client)
        return client

    def ask(self, data: bytes) -> Answer:
        """One exchange on a connection of its own."""
        client = self.connect()
        client.send(data)
        return client.read_answer()

    def on_loop(self, act: Callable[[], Any]) -> Any:
        """Call `act` on the edge's event loop and return its result."""
        results: queue.Queue[Any] = queue.Queue()
        self.loop.call_soon_threadsafe(lambda: results.put(act()))
        return results.get(timeout=60)

    def say(self, message: CoreToEdge) -> None:
        """Send a message as the core."""
        self.on_loop(lambda: self.core.send(message))

    def welcome(self, key: bytes, chain: bytes) -> None:
        """Have it serve another identity; return once it does."""
        before = self.times_serving
        self.say(Welcome(key, chain))
        wait_until(lambda: self.times_serving > before, seconds=10)

    def received_of(self, kind: type) -> list[Any]:
        return [message for message in list(self.received) if isinstance(message, kind)]

    def wait_for(self, kind: type, *, count: int = 1) -> Any:
        """The `count`-th message of this kind from the edge."""
        give_up = time.monotonic() + 10
        while len(self.received_of(kind)) < count:
            assert time.monotonic() < give_up, f"no {kind.__name__} in {self.received}"
            time.sleep(0.005)
        return self.received_of(kind)[count - 1]

    # --- scripts ---------------------------------------------------------------------------

    def keep_silent(self) -> None:
        """Have the core answer nothing until `echo_again`."""
        self.script = lambda _edge, _message: None

    def echo_again(self) -> None:
        self.script = Edge.echo

    def answer_all(self, status: int, *headers: tuple[str, str], body: bytes = b"no") -> None:
        """Have the core answer every request at once, without asking for its body."""

        def script(edge: "Edge", message: EdgeToCore) -> None:
            if isinstance(message, Request):
                edge.core.send(Response(message.id, status, header_lines(headers), body))

        self.script = script

    # --- the scripted core -----------------------------------------------------------------

    def echo(self, message: EdgeToCore) -> None:
        """Answer with what was asked, once all of it is here."""
        match message:
            case Request(more=True):
                self._bodies[message.id] = (message, bytearray())
                self.core.send(WantBody(message.id, CREDIT))
            case Request():
                self.answer(message, message.body)
            case BodyChunk():
                request, body = self._bodies[message.id]
                body += message.data
                if message.last:
                    self.answer(request, bytes(body))
                else:
                    self.core.send(WantBody(message.id, len(message.data)))

    def answer(self, request: Request, body: bytes) -> None:
        told = {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": request.headers,
            "client": request.client,
            "length": len(body),
            "body": body[:100].decode("latin-1"),
        }
        content = json.dumps(told).encode()
        self.core.send(Response(request.id, 200, b"Content-Type: application/json\r\n", content))

    def _receive(self, message: EdgeToCore) -> None:
        if isinstance(message, Serving):
            self.times_serving += 1
            return
        if isinstance(message, Refusals):
            self.refusals.update(message.counts)
            return
        self.received.append(message)
        self.script(self, message)


@contextlib.contextmanager
def running_edge(
    *,
    timeouts: Timeouts | None = None,
    max_connections: int = 100,
    proxies: Sequence[Network] = (),
    pages: Mapping[str, Page] | None = None,
) -> Iterator[Edge]:
    """Run an edge until the block ends; every client it made is closed then.

    Without `pages` it has those of the console.
    """
    edge, ready = Edge(), threading.Event()
    timeouts = timeouts or Timeouts(linger=0.2, drain=2)
    failures: list[BaseException] = []
    shown = load_pages() if pages is None else pages

    def run() -> None:
        try:
            uvloop.run(_serve(edge, ready, timeouts, max_connections, proxies, shown))
        except BaseException as error:  # noqa: BLE001 - shown to the test below
            failures.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(10)
        assert not failures, failures
        yield edge
    finally:
        for client in edge.clients:
            client.close()
        if not failures:
            with contextlib.suppress(RuntimeError):  # It has ended by itself.
                edge.loop.call_soon_threadsafe(edge.server.stop)
        thread.join(10)
    assert not failures, failures


async def _serve(
    edge: Edge,
    ready: threading.Event,
    timeouts: Timeouts,
    max_connections: int,
    proxies: Sequence[Network],
    pages: Mapping[str, Page],
) -> None:
    loop = asyncio.get_running_loop()
    unforeseen: list[str] = []
    loop.set_exception_handler(lambda _, context: unforeseen.append(str(context)))
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.setblocking(False)
    edge.port, edge.loop = listener.getsockname()[1], loop
    edge.server = EdgeServer(
        listeners=[listener],
        timeouts=timeouts,
        on_serving=ready.set,
        max_connections=max_connections,
        proxies=proxies,
        pages=pages,
    )
    edge.core = Connection[EdgeToCore, CoreToEdge](
        EdgeToCore,
        max_bytes=EDGE_FRAME_BYTES,
        on_message=edge._receive,  # noqa: SLF001 - both are this file's
        on_lost=lambda _: None,
    )
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    await loop.create_unix_connection(lambda: edge.core, sock=ours)
    await loop.create_unix_connection(lambda: edge.server.link.protocol, sock=theirs)
    edge.core.send(Welcome(*identity()))
    await edge.server.run()
    edge.core.close()
    await asyncio.sleep(0)
    assert not unforeseen, unforeseen
