"""Real servers for the tests of processes. Tests that are coroutines run on a loop of their own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform.conftest import pytest_pyfunc_call
from tests.support.etcd import BINARY
from tests.support.server import provisioned_server, server

__all__ = ["provisioned_server", "pytest_pyfunc_call", "server"]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that users without rights reach, with a copy of etcd's programs."""
    directory = Path(tempfile.mkdtemp(prefix="keystead-"))
    directory.chmod(0o755)
    for program in ("etcd", "etcdutl"):
        shutil.copy(BINARY.with_name(program), directory / program)
    yield directory
    shutil.rmtree(directory)
