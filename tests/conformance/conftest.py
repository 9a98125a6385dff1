"""The real SDK against a real server."""

from collections.abc import Iterator
from contextlib import ExitStack

import nethsm
import pytest

from tests.support.server import PASSPHRASES, Server, provisioned_server, running_server, server

__all__ = ["provisioned_server", "server"]


class Hsm:
    """A server, and the SDK as each of its users. The name of a user says its passphrase."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._clients = ExitStack()
        self.admin = self.client("admin", PASSPHRASES["admin"])

    def client(self, name: str | None = None, passphrase: str | None = None) -> nethsm.NetHSM:
        """Return the SDK as this user, or as nobody."""
        auth = None
        if name is not None:
            auth = nethsm.Authentication(name, passphrase or f"passphrase of {name}")
        return self._clients.enter_context(
            nethsm.connect(f"{self.server.host}:{self.server.port}", auth, verify_tls=False)
        )

    def add_user(self, name: str, role: nethsm.Role) -> nethsm.NetHSM:
        """Add a user, and return the SDK as that user."""
        self.admin.add_user(f"The {name}", role, f"passphrase of {name}", name)
        return self.client(name)

    def close(self) -> None:
        self._clients.close()


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hsm]:
    """An Operational server, the same for the whole module."""
    with running_server(tmp_path_factory.mktemp("hsm")) as server:
        server.provision()
        hsm = Hsm(server)
        yield hsm
        hsm.close()


@pytest.fixture(scope="module")
def operator(hsm: Hsm) -> nethsm.NetHSM:
    """The SDK as an Operator without a namespace."""
    return hsm.add_user("operator", nethsm.Role.OPERATOR)


@pytest.fixture
def admin(provisioned_server: Server) -> Iterator[nethsm.NetHSM]:
    """The SDK as `admin` of an Operational server of the test's own."""
    with nethsm.connect(
        f"{provisioned_server.host}:{provisioned_server.port}",
        nethsm.Authentication("admin", PASSPHRASES["admin"]),
        verify_tls=False,
    ) as client:
        yield client
