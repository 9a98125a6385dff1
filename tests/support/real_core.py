"""A core process as the supervisor starts it, with edges whose other ends a test holds.

    with running_core(tmp_path) as core:         # and a real platform, on tmp_path / "data"
        edge = core.attach()                     # the AttachEdge message of the supervisor
        edge.ask("GET", "/health/alive")

`edge.send_bytes` sends whatever a captured edge could; `edge.heard` is all that the core ever sent.
"""

import contextlib
import json as json_module
import os
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from keystead.platform.data_directory import DataDirectory
from keystead.processes import launch
from keystead.processes.platform.settings import PlatformSettings, SettingsFile
from keystead.processes.sandbox import ProcessKind
from keystead.processes.supervisor import ownership
from keystead.processes.supervisor.memory import MOST_CHECKS
from keystead.wire import control
from keystead.wire.control_messages import AttachEdge, CoreToSupervisor, Started
from keystead.wire.edge_messages import (
    BodyChunk,
    CoreToEdge,
    Request,
    Response,
    Serving,
    WantBody,
    Welcome,
)
from keystead.wire.frames import EDGE_FRAME_BYTES, FrameDecoder, append_frame
from tests.support.core import headers_of
from tests.support.server import Answer, basic, wait_until

SECONDS = 60
"""Patience, not a measure: scrypt runs at low priority, and on a busy machine others come first."""
CREDIT = 256 * 1024
ANY_LENGTH = 2**32


class EdgeEnd:
    """The edge's end of its socket to the core."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(SECONDS)
        self.socket = end
        self.heard = bytearray()
        """Every byte that the core has sent."""
        self._decoder = FrameDecoder[CoreToEdge](CoreToEdge, max_bytes=EDGE_FRAME_BYTES)
        self._inbox: deque[CoreToEdge] = deque()
        self._last_id = 0

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, *messages: msgspec.Struct) -> None:
        self.send_bytes(framed(*messages))

    def receive(self) -> CoreToEdge:
        """The next message; EOFError at the end."""
        while not self._inbox:
            self._inbox += self._decoder.feed(self._receive_bytes())
        return self._inbox.popleft()

    def serve(self) -> None:
        """Take the identity, as an edge does first."""
        assert isinstance(self.receive(), Welcome)
        self.send(Serving())

    def ask(  # noqa: PLR0913
        self,
        method: str,
        path: str,
        *,
        user: tuple[str, str] | None = None,
        json: Any = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        client: str = "192.0.2.1",
    ) -> Answer:
        """Send a request, with its body in parts as the core wants them; return the answer."""
        sent = dict(headers or {})
        if json is not None:
            body = json_module.dumps(json).encode()
            sent.setdefault("content-type", "application/json")
        if user is not None:
            sent["authorization"] = basic(*user)
        self._last_id += 1
        number = self._last_id
        path, _, query = path.partition("?")
        path = "/api/v1" + path
        more = bool(body)
        self.send(Request(number, method, path, query, sent, client, b"", len(body), more))
        return self._answer(number, body)

    def _answer(self, number: int, body: bytes) -> Answer:
        received, response, last = b"", None, False
        while not last:
            match self.receive():
                case WantBody(id=id_, credit=credit) if id_ == number:
                    part, body = body[:credit], body[credit:]
                    self.send(BodyChunk(number, part, last=not body))
                case Response(id=id_) as response if id_ == number:
                    received, last = response.body, response.remaining == 0
                    self.send(WantBody(number, CREDIT))
                case BodyChunk(id=id_, data=data, last=last) if id_ == number:
                    received += data
                    self.send(WantBody(number, CREDIT))
        assert response is not None
        headers = {name.lower(): value for name, value in headers_of(response).items()}
        return Answer(response.status, headers, received)

    def drain(self, seconds: float) -> None:
        """Read what comes until nothing has for so long, or until the end."""
        self.socket.settimeout(seconds)
        with contextlib.suppress(TimeoutError, EOFError):
            while True:
                self._receive_bytes()
        self.socket.settimeout(SECONDS)

    def is_closed(self) -> bool:
        """Read to the end; False when there is none in time."""
        self.socket.settimeout(SECONDS)
        with contextlib.suppress(EOFError):
            try:
                while True:
                    self._receive_bytes()
            except TimeoutError:
                return False
        return True

    def close(self) -> None:
        self.socket.close()

    def _receive_bytes(self) -> bytes:
        try:
            data = self.socket.recv(1024 * 1024)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        self.heard += data
        return data


@dataclass
class RealCore:
    """A core process, and the supervisor's end of its control socket."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    data: Path
    log_file: Path
    log_keeper: threading.Thread
    edges: list[EdgeEnd] = field(default_factory=list)

    def attach(self) -> EdgeEnd:
        """Hand the core a new edge's socket; return the edge's end."""
        core_end, edge_end = socket.socketpair()
        with core_end:
            number = len(self.edges)
            control.send(self.control, AttachEdge(number), descriptor=core_end.fileno())
        edge = EdgeEnd(edge_end)
        self.edges.append(edge)
        return edge

    def attach_honest(self) -> EdgeEnd:
        edge = self.attach()
        edge.serve()
        return edge

    def wait_started(self) -> Started:
        decoder = msgspec.msgpack.Decoder[CoreToSupervisor](CoreToSupervisor)
        self.control.settimeout(SECONDS)
        received = control.receive(self.control, decoder)
        assert received is not None, f"the core ended:\n{self.log()}"
        assert isinstance(received[0], Started), received[0]
        return received[0]

    def memory_mib(self, name: str = "VmRSS") -> int:
        """A line of /proc/<pid>/status: VmRSS is what it has now, VmHWM the most it ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0]) // 1024

    def log(self) -> str:
        return self.log_file.read_text()

    def wait_logged(self, text: str) -> None:
        wait_until(lambda: text in self.log(), seconds=SECONDS, what=self.log)

    def wait_ended(self) -> int:
        """Return the exit status, once all that it said is in the log."""
        status = self.process.wait(SECONDS)
        self.log_keeper.join()
        return status


@contextlib.contextmanager
def core_on(platform_end: socket.socket, directory: Path) -> Iterator[RealCore]:
    """A core whose platform is at the other end of `platform_end`, which is closed here."""
    log_file = directory / "core.log"
    ours, theirs = control.pair()
    with theirs, platform_end:
        files = [("control", theirs), ("platform", platform_end)]
        process, keeper = _start("core", files, [f"--checks={MOST_CHECKS}"], log_file)
    core = RealCore(process, ours, directory / "data", log_file, keeper)
    try:
        yield core
    finally:
        for edge in core.edges:
            edge.close()
        _end(process, ours)


@contextlib.contextmanager
def running_core(directory: Path) -> Iterator[RealCore]:
    """A core and a platform, started; the data is in `directory`/data."""
    os.umask(0o077)
    core_end, platform_end = socket.socketpair()
    ours, theirs = control.pair()
    with ExitStack() as stack:
        data = DataDirectory.open(directory / "data")
        stack.callback(data.close)
        settings = SettingsFile.of(PlatformSettings())
        stack.callback(os.close, settings.descriptor)
        with theirs, platform_end:
            files = [
                ("control", theirs),
                ("core", platform_end),
                ("data-lock", data),
                ("settings", settings),
            ]
            user = ownership.hand_over(data.path)
            options = [f"--data={data.path}", *([] if user is None else [f"--user={user}"])]
            platform, _ = _start("platform", files, options, directory / "platform.log")
        stack.callback(_end, platform, ours)
        core = stack.enter_context(core_on(core_end, directory))
        core.wait_started()
        yield core


def framed(*messages: msgspec.Struct) -> bytes:
    buffer = bytearray()
    for message in messages:
        append_frame(buffer, message, max_bytes=EDGE_FRAME_BYTES)
    return bytes(buffer)


def in_frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4) + payload


def _start(
    role: ProcessKind,
    files: Sequence[tuple[str, launch.File]],
    options: Sequence[str],
    log_file: Path,
) -> tuple[subprocess.Popen[bytes], threading.Thread]:
    """Start a process of ours, and keep what it says in a file; it may only write to a pipe.

    The thread ends when the process has, and all is in the file.
    """
    reading, writing = os.pipe()
    log_file.touch()

    def keep() -> None:
        with os.fdopen(reading, "rb", 0) as said, log_file.open("ab", 0) as log:
            while line := said.read(65536):
                log.write(line)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        return launch.start(role, files=files, options=options, log=writing), keeper
    finally:
        os.close(writing)


def _end(process: subprocess.Popen[bytes], supervisor_end: socket.socket) -> None:
    supervisor_end.close()
    try:
        process.wait(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
