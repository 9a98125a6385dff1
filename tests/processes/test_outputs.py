"""Nobody reads what the server writes to its standard output and error."""

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

from keystead.processes.supervisor.outputs import MOST_WAITING_BYTES, never_waiting
from tests.support.server import Server, wait_until

PAGE = 4096
LOGGING = {"ipAddress": "127.0.0.1", "port": 514, "logLevel": "info"}
LINES = [f"{number:099}\n" for number in range(2 * MOST_WAITING_BYTES // 100)]


def pipe() -> tuple[int, int]:
    """Return the ends of a pipe with room for a page: the first is for reading, and never waits."""
    end, writing = os.pipe()
    os.set_blocking(end, False)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PAGE)
    return end, writing


def read(end: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return os.read(end, PAGE)
    return b""


@contextlib.contextmanager
def piped_stderr() -> Iterator[int]:
    """Make sys.stderr a pipe. Gives the end for reading."""
    end, writing = pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(end), contextlib.redirect_stderr(stream):
        yield end


def is_answering(server: Server) -> bool:
    try:
        return server.state() == "Operational"
    except OSError:  # The listener is open; its edge is not there yet.
        return False


async def read_until(end: int, last: str) -> str:
    """Read as the event loop writes on, until the text ends with `last`."""
    text = b""
    while not text.endswith(last.encode()):
        text += read(end)
        await asyncio.sleep(0)
    return text.decode()


def ignore(_: int) -> None:
    """No line is lost."""


def test_lines_wait_for_their_reader():
    async def scenario(stderr: int) -> None:
        for some in LINES[:5000], LINES[5000:5001]:
            sys.stderr.writelines(some)
            assert await read_until(stderr, some[-1]) == "".join(some)

    with piped_stderr() as stderr, never_waiting(ignore):
        asyncio.run(scenario(stderr))


def test_what_waits_is_bounded_and_what_is_lost_is_counted():
    def on_lost(count: int) -> None:
        sys.stderr.write(f"{count} are lost\n")

    async def scenario(stderr: int) -> str:
        sys.stderr.writelines(LINES)
        return await read_until(stderr, "are lost\n")

    with piped_stderr() as stderr, never_waiting(on_lost):
        *kept, last = asyncio.run(scenario(stderr)).splitlines(keepends=True)
    assert kept == LINES[: len(kept)]
    assert last == f"{len(LINES) - len(kept)} are lost\n"
    assert MOST_WAITING_BYTES - 100 <= len(kept) * 100 <= MOST_WAITING_BYTES + PAGE


def test_what_waits_is_written_at_the_end():
    received: list[str] = []
    with piped_stderr() as stderr:
        last = LINES[200]
        reader = threading.Thread(
            target=lambda: received.append(asyncio.run(read_until(stderr, last)))
        )
        with never_waiting(ignore):
            sys.stderr.writelines(LINES[:201])
            reader.start()
        reader.join()
    assert received == ["".join(LINES[:201])]


def test_the_end_comes_although_nobody_reads():
    with piped_stderr() as stderr:
        with never_waiting(ignore):
            sys.stderr.writelines(LINES[:200])
        assert read(stderr).decode() == LINES[0]


def test_without_a_reader_lines_are_lost():
    end, writing = pipe()
    os.close(end)
    stream = os.fdopen(writing, "w")
    with stream, contextlib.redirect_stderr(stream), never_waiting(ignore):
        sys.stderr.writelines(LINES)


def test_the_server_goes_on_although_nobody_reads(tmp_path):
    """One pipe for both streams, as `2>&1 |` makes it."""
    end, writing = pipe()
    os.set_blocking(end, True)
    log_file = tmp_path / "unused"
    data = tmp_path / "data"
    command = [sys.executable, "-m", "keystead", "serve", f"--data={data}", "--listen=127.0.0.1:0"]
    with os.fdopen(end, errors="replace") as reading, os.fdopen(writing, "wb") as output:
        process = subprocess.Popen(  # noqa: S603
            [*command, "--edges=1"], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        server = Server(process, data, log_file, log_file)
        try:
            text = ""
            while (ready := re.search(r"ready on https://127\.0\.0\.1:(\d+)", text)) is None:
                text += reading.readline()
            server.host, server.port = "127.0.0.1", int(ready[1])
            server.provision()
            for _ in range(100):
                server.request("PUT", "/config/logging", json=LOGGING, user="admin")
            os.kill(server.child("edge"), signal.SIGKILL)
            wait_until(lambda: is_answering(server), seconds=60)
            assert server.stop() == 0
        finally:
            process.kill()
