"""Every bound on what a client may make the edge hold, wait for or do, each with its reason."""

from typing import Final

import msgspec

MAX_TARGET_BYTES: Final = 8 * 1024
"""The longest request target. The API's own limit is 2,000 characters, which the core enforces.
This limit keeps much longer targets out of the core."""

MAX_HEAD_BYTES: Final = 16 * 1024
"""The longest request line and headers together. Browsers and proxies stay well below 8 KiB."""

MAX_HEADERS: Final = 100
"""The most header lines of a request. Clients of the API send about ten."""

MAX_INLINE_BODY_BYTES: Final = 16 * 1024
"""The longest body that the edge holds before the core has seen the request. The core authenticates
the client before it asks for a longer body. All bodies of the API fit, except certificates, backups
and long messages. Clients without credentials can fill this much memory for each connection."""

BODY_WINDOW_BYTES: Final = 96 * 1024
"""The bytes of a streamed body that may wait in the edge before it stops reading. It is less
than what glibc maps on its own (see sandbox/memory)."""

MAX_CHUNK_LINE_BYTES: Final = 256
"""The longest size line, with extensions, or trailer line of a chunked body."""

MAX_CHUNK_OVERHEAD_BYTES: Final = 16 * 1024
"""Framing bytes that a chunked body may have beyond MAX_OVERHEAD_PER_BYTE."""

MAX_OVERHEAD_PER_BYTE: Final = 8
"""Framing overhead allowed for each body byte in chunked encoding. Without a limit, chunk
extensions could cost far more to read than the data that they frame."""

MAX_TRAILER_BYTES: Final = 4 * 1024
"""The most trailer bytes after a chunked body. Trailers are ignored."""

MAX_DRAIN_BYTES: Final = 64 * 1024
"""The longest rest of a body that is read and dropped after an early answer, to keep the
connection. That is cheaper than another handshake. With a longer rest, the connection is closed."""

MIN_BODY_BYTES_PER_SECOND: Final = 4 * 1024
"""The rate at which a client must send a body to get more time for it."""

LONG_BODY_BYTES: Final = 1024 * 1024
MIN_LONG_BODY_BYTES_PER_SECOND: Final = 64 * 1024
"""The same rate after the first LONG_BODY_BYTES. A long body takes memory of the core, or the place
of the one update or restore. With this rate, the longest message has 18 minutes, and not five
hours."""

MAX_SLOW_READERS: Final = 400
"""The most slow clients of one edge. For each of them, two parts of a long answer, of 128 KiB, can
wait. If there are more, the client that has been slow for longest is disconnected."""

MAX_CONNECTIONS: Final = 12_000
"""The most connections of one edge, including handshakes. An idle connection takes about 16 KiB."""

FILES_BESIDE_CONNECTIONS: Final = 64
"""Open files of an edge besides connections: standard streams, listeners, files of the event loop,
and connections that are about to be refused."""

LEAST_EDGE_FILES: Final = FILES_BESIDE_CONNECTIONS + 64
"""The fewest open files. With less, an edge could serve too few connections and does not start."""

ROOM_FRACTION: Final = 64
"""At the limit of connections, one in this many is closed to make room: those that have waited
longest for their client and have no request at the core. Several are closed at a time, because
finding them means looking at all connections."""

ACCEPTS_PER_TURN: Final = 4
"""The most connections that are accepted in one turn of the event loop. Each means a handshake of
about a millisecond in the next turn. With 16, a storm of handshakes raised the p99 of other clients
from 25 to 90 ms, without more handshakes being done."""

LISTEN_BACKLOG: Final = 1024
"""Connections that the kernel holds while no edge accepts, as during a restart."""


class Timeouts(msgspec.Struct, frozen=True):
    """How long a client may take, in seconds."""

    handshake: float = 10.0
    """For the TLS handshake, which is one or two round trips."""
    head: float = 10.0
    """From connecting, or a request's first byte, to the end of its headers."""
    idle: float = 75.0
    """Between two requests of a connection. Connection pools usually keep one for less time."""
    body: float = 30.0
    """For a body that is slower than the minimum rate for its length."""
    write: float = 30.0
    """For the client to read a part of an answer that does not fit its window."""
    linger: float = 2.0
    """For the client to stop sending after an answer that ends the connection. Its bytes are
    dropped in that time, for `body` seconds at most. If a connection is closed with unread bytes,
    the kernel discards the answer."""
    drain: float = 20.0
    """For running requests to finish after the edge was told to stop."""
