"""The real SDK against a real server."""

from collections.abc import Iterator

import nethsm
import pytest

from tests.support.server import PASSPHRASES, Server, provisioned_server, server

__all__ = ["provisioned_server", "server"]


@pytest.fixture
def admin(provisioned_server: Server) -> Iterator[nethsm.NetHSM]:
    """The SDK as `admin` of an Operational server."""
    with nethsm.connect(
        f"{provisioned_server.host}:{provisioned_server.port}",
        nethsm.Authentication("admin", PASSPHRASES["admin"]),
        verify_tls=False,
    ) as client:
        yield client
