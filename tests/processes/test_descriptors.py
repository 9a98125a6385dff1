"""Started with closed standard streams, or with few file descriptors."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemons import free_port
from tests.support.server import trusting_anyone, wait_until


def start(
    data: Path, closed: str = "", *, port: int = 0, edges: int = 1, limits: str = ""
) -> subprocess.Popen[bytes]:
    """Start the server from a shell that closes its streams and sets its limits first."""
    serve = f"{sys.executable} -m keystead serve --data {data} --listen 127.0.0.1:{port}"
    return subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", f"{limits} exec {serve} --edges {edges} {closed}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def is_answering(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
            trusting_anyone().wrap_socket(plain).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_it_serves_with_closed_standard_streams_and_ends_by_sigterm(tmp_path, closed):
    port = free_port()
    server = start(tmp_path / "data", closed, port=port)
    try:
        wait_until(lambda: is_answering(port), seconds=60)
    finally:
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=30)
    assert server.returncode == 0
    assert b"edge ended" not in log


@pytest.mark.parametrize(("limit", "edges"), [(16, 1), (127, 1), (140, 8)])
def test_too_few_files_are_refused_in_one_line(tmp_path, limit, edges):
    server = start(tmp_path / "data", edges=edges, limits=f"ulimit -n {limit};")
    out, log = server.communicate(timeout=30)
    assert server.returncode == 1
    assert out == b""
    assert log.startswith(b"keystead: The hard limit on open files")
    assert log.count(b"\n") == 1
    assert not (tmp_path / "data").exists()


def test_a_low_soft_limit_is_raised(tmp_path):
    server = start(tmp_path / "data", limits="ulimit -Hn 512; ulimit -Sn 32;")
    try:
        assert server.stdout is not None
        assert server.stdout.readline().startswith(b"keystead: ready")
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert server.returncode == 0
