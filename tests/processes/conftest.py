"""Real servers for the tests of processes."""

from tests.support.server import provisioned_server, server

__all__ = ["provisioned_server", "server"]
