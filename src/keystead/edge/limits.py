"""Every bound on what a client may make the edge hold, wait for or do. One place, each with why."""

from dataclasses import dataclass
from typing import Final

MAX_TARGET_BYTES: Final = 8 * 1024
"""Longest request target. The API's own limit is 2,000 characters, and the core says so itself;
this one only keeps what is far beyond it out of the core."""

MAX_HEAD_BYTES: Final = 16 * 1024
"""Longest request line and headers together: browsers and proxies stay well below 8 KiB."""

MAX_HEADERS: Final = 100
"""Most header lines of a request; clients of the API send about ten."""

MAX_INLINE_BODY_BYTES: Final = 16 * 1024
"""Longest body that is held in the edge before the core has seen the request. Every other body
waits for the core, which authenticates first. All API bodies but certificates, backups and long
messages fit. It bounds what unauthenticated clients can fill: connections x this."""

BODY_WINDOW_BYTES: Final = 256 * 1024
"""How much of a streamed body may wait in the edge before it stops reading from the client."""

MAX_CHUNK_LINE_BYTES: Final = 256
"""Longest size line, extensions included, or trailer line of a chunked body."""

MAX_CHUNK_OVERHEAD_BYTES: Final = 16 * 1024
"""How much longer a body's size lines may get than MAX_OVERHEAD_PER_BYTE allows."""

MAX_OVERHEAD_PER_BYTE: Final = 8
"""Bytes of size lines that each byte of a chunked body makes up for; extensions are the reason to
count. Chunks of one byte have one."""

MAX_TRAILER_BYTES: Final = 4 * 1024
"""Most trailer bytes after a chunked body; all are ignored."""

MAX_DRAIN_BYTES: Final = 64 * 1024
"""Largest rest of a body that is read and dropped to keep a connection, after an early answer:
cheaper than a new TLS handshake. Beyond it the connection is closed: the TLS buffers of one that
has sent much at once stay large, half a megabyte, for as long as it is kept."""

MAX_AHEAD_BYTES: Final = 64 * 1024
"""How much a client may send ahead of its answers for its connection to be kept; the same reason.
One that an upload has made large was authenticated."""

MIN_BODY_BYTES_PER_SECOND: Final = 4 * 1024
"""What a client that has used up its time for a body must send it at, to get more time."""

LONG_BODY_BYTES: Final = 1024 * 1024
MIN_LONG_BODY_BYTES_PER_SECOND: Final = 64 * 1024
"""The same for what follows the first LONG_BODY_BYTES. Such a body takes memory of the core, or the
place of the one update or restore: the longest message has 18 minutes, and not five hours."""

WRITE_STEP_BYTES: Final = 16 * 1024
"""What is given to TLS in one go. Its buffer grows to the longest write and stays so, taken or not:
with an answer of 90 KiB in one write, a connection took 122 KiB instead of 58."""

UNSENT_BYTES: Final = 16 * 1024
"""What TLS may keep of answers before their client counts as slow; 64 KiB more wait below it."""

MAX_SLOW_READERS: Final = 400
"""Clients of one edge that may be slow at a time: each can have two parts of a long answer, of 256
KiB, waiting for it. Beyond it the one that has been slow for longest makes room."""

MAX_CONNECTIONS: Final = 12_000
"""Connections of one edge, handshakes included; about 25 KiB each while idle."""

FILES_BESIDE_CONNECTIONS: Final = 64
"""Open files of an edge: standard streams, listeners, the event loop's own, and connections that
are about to be refused."""

LEAST_EDGE_FILES: Final = FILES_BESIDE_CONNECTIONS + 64
"""An edge that may open fewer files has too few connections to be of use: no start then."""

ROOM_FRACTION: Final = 64
"""At the limit, one connection in so many is closed to make room for others: those that have
waited longest for their client, and have no request at the core. Several at a time, because
finding them takes a look at all."""

ACCEPTS_PER_TURN: Final = 4
"""Connections accepted in one turn of the event loop, so that a rush does not starve the rest: each
means a handshake, of about a millisecond, in the next turn. With 16, a storm of handshakes took the
others' p99 from 25 to 90 ms, and no more of them were done."""

LISTEN_BACKLOG: Final = 1024
"""Connections the kernel holds while no edge accepts, as during a restart in place."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a client may take, in seconds."""

    handshake: float = 10.0
    """TLS handshake: one or two round trips."""
    head: float = 10.0
    """From connecting, or a request's first byte, to the end of its headers."""
    idle: float = 75.0
    """Between two requests of a connection: more than clients' pools usually keep one."""
    body: float = 30.0
    """For a body, as long as it comes slower than MIN_BODY_BYTES_PER_SECOND, or the long one's."""
    write: float = 30.0
    """For the client to take something of an answer that does not fit its window."""
    linger: float = 2.0
    """After an answer that ends the connection, for the client to stop sending; what comes is
    dropped meanwhile, for `body` seconds at most. Closing over unread bytes would make the kernel
    throw the answer away."""
    drain: float = 20.0
    """For requests in flight to finish once the edge is told to stop."""
