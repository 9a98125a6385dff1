"""The edge process: TLS and HTTP for clients, nothing else. It loads no key-handling code."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

import uvloop

from keystead.edge.limits import MAX_CONNECTIONS, Timeouts
from keystead.edge.server import EdgeServer
from keystead.processes import launch, sandbox
from keystead.wire import control
from keystead.wire.messages import EdgeReady

FILES_BESIDE_CONNECTIONS: Final = 64
"""Standard streams, listeners, the event loop's own, and connections about to be refused."""


async def serve(
    *,
    listeners: Sequence[socket.socket],
    core: socket.socket,
    supervisor: socket.socket,
    max_connections: int,
) -> None:
    """Serve until the supervisor closes its end, or the core is gone."""
    loop = asyncio.get_running_loop()
    protections = sandbox.lock_down("edge")
    ready = EdgeReady(list(protections.in_force), list(protections.missing))
    server = EdgeServer(
        loop=loop,
        listeners=listeners,
        timeouts=Timeouts(),
        max_connections=max_connections,
        on_serving=lambda: control.send(supervisor, ready),
    )

    def stop() -> None:
        loop.remove_reader(supervisor)
        server.stop()

    # The supervisor never writes here: readable means that it closed its end.
    loop.add_reader(supervisor, stop)
    await loop.create_unix_connection(lambda: server.link.protocol, sock=core)
    await server.run()


def main() -> None:
    """Run one edge; the supervisor gives the options."""
    parser = launch.parser("edge")
    parser.add_argument("--core", type=launch.inherited_socket, required=True)
    parser.add_argument("--control", type=launch.inherited_socket, required=True)
    parser.add_argument("--listen", type=launch.inherited_socket, action="append", required=True)
    given = parser.parse_args()
    sockets = [given.core, given.control, *given.listen]
    sandbox.isolate(parent=given.parent, keep=[end.fileno() for end in sockets])
    files = sandbox.allow_files(MAX_CONNECTIONS + FILES_BESIDE_CONNECTIONS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            serve(
                listeners=given.listen,
                core=given.core,
                supervisor=given.control,
                max_connections=files - FILES_BESIDE_CONNECTIONS,
            )
        )


if __name__ == "__main__":
    main()
