"""Real servers for the tests of processes. Tests that are coroutines run on a loop of their own."""

from tests.platform.conftest import pytest_pyfunc_call
from tests.support.server import provisioned_server, server

__all__ = ["provisioned_server", "pytest_pyfunc_call", "server"]
