"""Syslog over TLS (RFC 5425), to one receiver that proves its identity.

It never delays a request. A bounded queue holds messages that cannot be sent yet. When it is full,
the oldest message is dropped. Syslog has no acknowledgements, so messages that the kernel had taken
when a connection broke are lost as well. Every message carries a sequence number (RFC 5424, 7.3.1),
so that the receiver sees the gap.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from keystead.platform.syslog import FACILITY, TAG

MAX_WAITING: Final = 4096
"""The most messages in the queue. With a few hundred bytes each, they take about a MiB."""
MAX_MESSAGE_BYTES: Final = 8192
"""The length that receivers should accept (RFC 5425, 4.3.1). A longer message is cut."""
CONNECT_SECONDS: Final = 10.0
WRITE_SECONDS: Final = 30.0
"""After this time, the connection to a receiver that has stopped reading is given up."""
MOST_HEARD_BYTES: Final = 4096
"""Of a receiver that sends more than this, the connection is ended."""
COMPLAINT_SECONDS: Final = 60.0
MAX_SEQUENCE: Final = 2**31 - 1
"""RFC 5424, 7.3.1."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait before the next connection, in seconds: doubled each time, up to a limit."""

    first: float = 1.0
    longest: float = 60.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """The receiver of messages. Its certificate must be valid for `host`."""

    host: str
    port: int
    context: ssl.SSLContext


def receiver_context(authorities_pem: bytes | None) -> ssl.SSLContext:
    """Return a context that verifies a receiver by these CAs, or for None by the machine's CAs.

    Raises ValueError or ssl.SSLError if there is no certificate in the PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities_pem is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=authorities_pem.decode("ascii"))
    return context


class TlsSyslog:
    """Sends messages to one receiver for as long as `run` runs."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        host_name: str,
        clock: Callable[[], float],
        complain: Callable[[str, int], None],
        back_off: BackOff = BackOff(),
    ) -> None:
        """`clock` gives Unix seconds. `complain` is told what is wrong, and how many messages were
        dropped so far: at most once a minute, and never through syslog.
        """
        self._receiver = receiver
        self._host_name = host_name
        self._clock = clock
        self._complain = complain
        self._back_off = back_off
        self._queue: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._sequence = 0
        self._next_complaint = 0.0
        self.dropped = 0
        """The number of messages that were dropped because the queue was full."""

    def send(self, severity: int, text: str) -> None:
        """Queue one message without waiting. The oldest message makes room if the queue is full."""
        if len(self._queue) >= MAX_WAITING:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(self._message(severity, text))
        self._news.set()

    async def run(self) -> None:
        """Send queued messages, and connect again after errors, until cancelled."""
        loop = asyncio.get_running_loop()
        delay = self._back_off.first
        while True:
            began = loop.time()
            try:
                await self._connection()
            except TimeoutError:
                self._report("it takes too long")
            except OSError as error:  # ssl.SSLError and certificate errors are among them.
                self._report(str(error))
            # One that accepts and hangs up is not to be called in a tight loop either.
            if loop.time() - began > self._back_off.longest:
                delay = self._back_off.first
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._back_off.longest)

    async def _connection(self) -> None:
        """Connect, and send until the connection ends.

        Raises OSError if it cannot be opened or breaks, and TimeoutError if the receiver does not
        answer in time.
        """
        to = self._receiver
        async with asyncio.timeout(CONNECT_SECONDS):  # noqa: TID251 - in a task
            reader, writer = await asyncio.open_connection(
                to.host, to.port, ssl=to.context, server_hostname=to.host
            )
        # Wait for the kernel after every message: what it has not taken can be sent again.
        # (0 would count an empty buffer as full.)
        writer.transport.set_write_buffer_limits(high=1)
        # A machine that went away without a word is noticed by what it does not acknowledge.
        connected: socket.socket = writer.get_extra_info("socket")
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(WRITE_SECONDS * 1000))
        watching = asyncio.create_task(_until_closed(reader))
        sending = asyncio.create_task(self._send_queue(writer))
        try:
            await asyncio.wait({watching, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            self._report("the receiver closed the connection, or sent data")
        finally:
            for task in (watching, sending):
                task.cancel()
            try:
                await asyncio.gather(watching, sending, return_exceptions=True)
            finally:  # Whoever cancels this again does not leave the connection open.
                writer.transport.abort()

    async def _send_queue(self, writer: asyncio.StreamWriter) -> None:
        while True:
            while self._queue:
                message = self._queue.popleft()
                writer.write(b"%d %b" % (len(message), message))
                try:
                    async with asyncio.timeout(WRITE_SECONDS):  # noqa: TID251 - in a task
                        await writer.drain()
                except BaseException:
                    self._put_back(message)
                    raise
            self._news.clear()
            await self._news.wait()

    def _put_back(self, message: bytes) -> None:
        if len(self._queue) < MAX_WAITING:
            self._queue.appendleft(message)
        else:
            self.dropped += 1

    def _report(self, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next_complaint:
            self._next_complaint = now + COMPLAINT_SECONDS
            self._complain(reason, self.dropped)

    def _message(self, severity: int, text: str) -> bytes:
        """Return a message as RFC 5424, section 6 has it, with no process ID and no message ID."""
        self._sequence = self._sequence % MAX_SEQUENCE + 1
        now = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        stamp = now.replace("+00:00", "Z")
        data = f'[meta sequenceId="{self._sequence}"]'
        head = f"<{FACILITY * 8 + severity}>1 {stamp} {self._host_name or '-'} {TAG} - - {data} "
        return (head + text).encode("ascii", "replace")[:MAX_MESSAGE_BYTES]


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """Wait for the end of the connection, or for more than a receiver has to say.

    RFC 5425, 4.3 has it say nothing. To read all that one sends would take the time of the store.
    """
    heard = 0
    with contextlib.suppress(OSError):
        while heard <= MOST_HEARD_BYTES and (part := await reader.read(MOST_HEARD_BYTES)):
            heard += len(part)
