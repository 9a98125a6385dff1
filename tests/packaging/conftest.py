"""Real servers for the tests of packages and monitoring."""

from tests.support.server import provisioned_server, server

__all__ = ["provisioned_server", "server"]
