"""`keystead ssh-agent`: an agent for ssh and git, whose keys are in the HSM."""

import os
import socket
import socketserver
import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keystead.cli.command import Invocation, run_by
from keystead.cli.exit_status import UsageError
from keystead.client.client import Client

if TYPE_CHECKING:
    from keystead.client.ssh_agent import Agent, SshIdentity

_ONLY_ITS_OWNER: Final = 0o177


def add_commands(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead ssh-agent` takes."""
    run_by(parser, _serve)
    parser.add_argument("keys", nargs="+", metavar="KEY", help="a key of the HSM that signs")
    parser.add_argument(
        "--socket",
        type=Path,
        default=Path(os.environ.get("XDG_RUNTIME_DIR", "."), "keystead-ssh-agent"),
        metavar="FILE",
        help="the unix socket (default: %(default)s)",
    )


def _serve(call: Invocation) -> None:
    from keystead.client.ssh_agent import Agent

    agent = Agent([_identity(call.client, one) for one in call.given.keys])
    path: Path = call.given.socket.absolute()
    with _listening(path, agent) as server:
        call.screen.text(f"SSH_AUTH_SOCK={path}; export SSH_AUTH_SOCK;\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        finally:
            path.unlink(missing_ok=True)


def _identity(client: Client, key_id: str) -> "SshIdentity":
    from cryptography.exceptions import UnsupportedAlgorithm

    from keystead.client.private_keys import private_key
    from keystead.client.ssh_agent import SshIdentity

    try:
        return SshIdentity.of(key_id, private_key(client, key_id))
    except (UnsupportedAlgorithm, ValueError):
        raise UsageError(f"SSH has no keys of the type of {key_id}.") from None


class _Server(socketserver.ThreadingUnixStreamServer):
    """A thread for each connection: a signature that waits for the HSM keeps no other."""

    daemon_threads = True


class _Connection(socketserver.StreamRequestHandler):
    def __init__(
        self,
        agent: "Agent",
        request: socket.socket,
        address: str,
        server: socketserver.BaseServer,
    ) -> None:
        self._agent = agent
        super().__init__(request, address, server)

    def handle(self) -> None:
        """Answer messages until the connection ends, or one is too long."""
        from keystead.client.ssh_agent import LENGTH_BYTES, LONGEST_MESSAGE

        while header := self.rfile.read(LENGTH_BYTES):
            length = int.from_bytes(header)
            if length > LONGEST_MESSAGE:
                return
            answer = self._agent.answer(self.rfile.read(length))
            self.wfile.write(len(answer).to_bytes(LENGTH_BYTES) + answer)


def _listening(path: Path, agent: "Agent") -> _Server:
    """Return a server at `path`, to which only its owner can connect.

    Raises UsageError if another agent listens there.
    """
    if path.is_socket():
        _remove_dead(path)
    before = os.umask(_ONLY_ITS_OWNER)
    try:
        return _Server(str(path), partial(_Connection, agent))
    finally:
        os.umask(before)


def _remove_dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise UsageError(f"An agent listens at {path} already: give another --socket.")
