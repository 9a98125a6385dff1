"""The edge process, for TLS and HTTP only. It loads no key-handling code."""

import asyncio
import ipaddress
import os
import socket
import ssl
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uvloop

from keystead.edge.limits import FILES_BESIDE_CONNECTIONS, MAX_CONNECTIONS, Timeouts
from keystead.edge.pages import Page, load_pages
from keystead.edge.server import EdgeServer, Network
from keystead.processes import launch, sandbox
from keystead.processes.sandbox import Sandbox
from keystead.wire import control
from keystead.wire.control_messages import EdgeReady


class _Options(launch.Options, frozen=True, kw_only=True):
    core: socket.socket
    listen: tuple[socket.socket, ...]
    proxy: tuple[str, ...] = ()


async def serve(  # noqa: PLR0913 - what `main` has gathered before the files are out of reach
    *,
    listeners: Sequence[socket.socket],
    core: socket.socket,
    supervisor: socket.socket,
    max_connections: int,
    proxies: Sequence[Network],
    pages: Mapping[str, Page],
    confinement: Sandbox,
) -> int:
    """Serve until the supervisor closes its end or the core is gone. Return the exit status."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_say_where)
    server = EdgeServer(
        listeners=listeners,
        timeouts=Timeouts(),
        max_connections=max_connections,
        proxies=proxies,
        pages=pages,
        on_serving=lambda: control.send(supervisor, ready),
    )
    protections = confinement.lock_down()
    ready = EdgeReady(list(protections.in_force), list(protections.missing), max_connections)

    def stop() -> None:
        loop.remove_reader(supervisor)
        server.stop()

    # The supervisor never writes to this socket. It is readable once the other end is closed.
    loop.add_reader(supervisor, stop)
    await loop.create_unix_connection(lambda: server.link.protocol, sock=core)
    await server.run()
    return 0


def _say_where(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Print the type of an unexpected error and where it happened.

    The event loop's own handler would print the error's message, which may quote a request.
    """
    error = context.get("exception")
    frames = traceback.extract_tb(error.__traceback__) if error else []
    where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    sys.stderr.write(f"edge[{os.getpid()}] unexpected error {type(error).__name__} at {where}\n")


def _load_tls_settings() -> None:
    """Let the TLS library read its settings before files are out of reach."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def main() -> None:
    """Run one edge, with options from the supervisor."""
    given = launch.read_options(_Options, sys.argv[1:])
    sockets = [given.core, given.control, *given.listen]
    confinement = Sandbox("edge", is_filtered=given.is_filtered)
    sandbox.end_first()  # Clients decide how much memory it takes, and it is replaced alone.
    with launch.telling_refusal(given.control):
        confinement.isolate(parent=given.parent, keep=[end.fileno() for end in sockets])
        files = sandbox.allow_files(MAX_CONNECTIONS + FILES_BESIDE_CONNECTIONS)
        _load_tls_settings()
        pages = load_pages()
        confinement.confine(user=sandbox.own_user("edge"))
        launch.run(
            serve(
                listeners=given.listen,
                core=given.core,
                supervisor=given.control,
                max_connections=min(MAX_CONNECTIONS, files - FILES_BESIDE_CONNECTIONS),
                proxies=[ipaddress.ip_network(network) for network in given.proxy],
                pages=pages,
                confinement=confinement,
            ),
            loop_factory=uvloop.new_event_loop,
        )
