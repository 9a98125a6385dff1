"""What the processes say to each other: one msgpack message a frame, every field validated on arrival.

Each pair of processes has its own closed set of messages; a frame outside of it ends the connection.
"""

from typing import Literal

import msgspec

# --- edge and core -----------------------------------------------------------------------------


class Request(msgspec.Struct, tag=0, array_like=True, frozen=True):
    """edge → core: one HTTP request, or its head when the body is not complete yet.

    `path` and `query` are as the client sent them (percent-encoded, without `?`). `headers` holds
    only those in FORWARDED_HEADERS, lower-case, each at most once. `client` is the peer's address.
    `content_length` is None for a chunked body. With `more` set, `body` is a first part (perhaps
    empty) and BodyChunk messages with the same `id` follow, as far as WantBody gives credit.
    """

    id: int
    method: str
    path: str
    query: str
    headers: dict[str, str]
    client: str
    body: bytes
    content_length: int | None = 0
    more: bool = False


class BodyChunk(msgspec.Struct, tag=1, array_like=True, frozen=True):
    """edge → core: the next part of a request's body."""

    id: int
    data: bytes
    last: bool


class RequestAborted(msgspec.Struct, tag=2, array_like=True, frozen=True):
    """edge → core: the client went away before its request was complete or answered."""

    id: int


class Welcome(msgspec.Struct, tag=3, array_like=True, frozen=True):
    """core → edge, once, first: the TLS identity to serve. The key never leaves the edge again."""

    tls_key_pem: bytes
    tls_chain_pem: bytes


class Response(msgspec.Struct, tag=4, array_like=True, frozen=True):
    """core → edge: the whole answer to a request. Framing headers are the edge's own business."""

    id: int
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class WantBody(msgspec.Struct, tag=5, array_like=True, frozen=True):
    """core → edge: send up to `credit` more bytes of this request's body."""

    id: int
    credit: int


EdgeToCore = Request | BodyChunk | RequestAborted
CoreToEdge = Welcome | Response | WantBody

FORWARDED_HEADERS = frozenset(
    {
        "authorization",
        "content-type",
        "accept",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
    }
)

# --- core and platform -------------------------------------------------------------------------


class Hello(msgspec.Struct, tag=10, array_like=True, frozen=True):
    """platform → core, once, first: this machine's device key (32 bytes), handed over and forgotten."""

    device_key: bytes


class Get(msgspec.Struct, tag=11, array_like=True, frozen=True):
    """core → platform: read one record."""

    id: int
    path: str


class List(msgspec.Struct, tag=12, array_like=True, frozen=True):
    """core → platform: read paths in [start, stop), in byte order, at most `limit`."""

    id: int
    start: str
    stop: str
    limit: int


class Write(msgspec.Struct, array_like=True, frozen=True):
    """One change: `value` None deletes. `expected` is the revision the record must have.

    0 means that it must not exist; None that it does not matter.
    """

    path: str
    value: bytes | None
    expected: int | None = None


class Commit(msgspec.Struct, tag=13, array_like=True, frozen=True):
    """core → platform: make all these changes durable, or none."""

    id: int
    writes: list[Write]


class Found(msgspec.Struct, tag=14, array_like=True, frozen=True):
    """platform → core: the record read; `value` None when there is none."""

    id: int
    value: bytes | None
    revision: int


class Listed(msgspec.Struct, tag=15, array_like=True, frozen=True):
    """platform → core: the paths found."""

    id: int
    paths: list[str]


class Committed(msgspec.Struct, tag=16, array_like=True, frozen=True):
    """platform → core: the changes are durable; every record written has this revision now."""

    id: int
    revision: int


class Refused(msgspec.Struct, tag=17, array_like=True, frozen=True):
    """platform → core: nothing was changed; `stale` when an expected revision did not hold."""

    id: int
    reason: Literal["stale", "unavailable"]
    message: str


CoreToPlatform = Get | List | Commit
PlatformToCore = Hello | Found | Listed | Committed | Refused

# --- core and supervisor -----------------------------------------------------------------------


class AttachEdge(msgspec.Struct, tag=20, array_like=True, frozen=True):
    """supervisor → core: a socket to a new edge comes with this message (SCM_RIGHTS)."""

    edge: int


class Started(msgspec.Struct, tag=21, array_like=True, frozen=True):
    """core → supervisor: ready to answer, in this state, with this TLS certificate (SHA-256, hex)."""

    state: str
    tls_fingerprint: str


class Wanted(msgspec.Struct, tag=22, array_like=True, frozen=True):
    """core → supervisor: what an administrator asked of the machine; its answer is on its way."""

    action: Literal["reboot", "shutdown", "factory-reset"]


SupervisorToCore = AttachEdge
CoreToSupervisor = Started | Wanted
