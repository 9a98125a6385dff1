"""The messages between an edge and the core."""

from typing import Annotated, Final, Literal

import msgspec

from keystead.wire.message import Message

ANSWER_PART_BYTES: Final = 128 * 1024
"""The longest part of an answer that the core sends at once. Edges give credit for one part."""


class Request(Message, tag=0, frozen=True):
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


class BodyChunk(Message, tag=1, frozen=True):
    """The next part of a body: of a request's (edge → core) or of a response's (core → edge)."""

    id: int
    data: bytes
    last: bool


class RequestAborted(Message, tag=2, frozen=True):
    """edge → core: the client disconnected before its request was complete or answered."""

    id: int


class Welcome(Message, tag=3, frozen=True):
    """core → edge, first, and again when it changes: the TLS identity to serve."""

    tls_key_pem: bytes
    tls_chain_pem: bytes


class Response(Message, tag=4, frozen=True):
    """core → edge: the response to a request. The edge adds the framing headers.

    `header_lines` are the headers as the client gets them, each line with its CR LF.
    With `remaining` above 0, `body` is a first part, and that many bytes more follow in BodyChunk
    messages with the same `id`, as far as WantBody gives credit. With `remaining` None, the length
    is not known: the body ends with the last BodyChunk, or is aborted by ResponseAborted.
    """

    id: int
    status: int
    header_lines: bytes
    body: bytes
    remaining: int | None = 0


class ResponseAborted(Message, tag=9, frozen=True):
    """core → edge: the response is incomplete. The edge must make its client notice that."""

    id: int


class WantBody(Message, tag=5, frozen=True):
    """From the receiver of a body to its sender: send up to `credit` bytes more."""

    id: int
    credit: int


class Serving(Message, tag=6, frozen=True):
    """edge → core: new connections get the identity of the last Welcome, one for each of them."""


class TryOut(Message, tag=7, frozen=True):
    """core → edge: test whether clients could connect with this TLS identity."""

    id: int
    tls_key_pem: bytes
    tls_chain_pem: bytes


class TriedOut(Message, tag=8, frozen=True):
    """edge → core: the result of TryOut. `refusal` is the TLS library's reason, or ""."""

    id: int
    refusal: str


Refusal = Literal[
    "tls_plain_http",
    "tls_not_tls",
    "tls_version",
    "tls_cipher",
    "tls_group",
    "tls_signature_algorithm",
    "tls_client_alert",
    "tls_malformed",
    "tls_timeout",
    "tls_closed",
    "proxy_header",
    "connection_limit",
    "connection_evicted",
    "open_files",
    "slow_reader",
    "http_400",
    "http_408",
    "http_414",
    "http_417",
    "http_431",
    "http_501",
    "http_503",
    "http_505",
]
"""Why an edge ended a connection or a handshake without asking the core. `http_…` has the status of
its response."""

MAX_REFUSALS: Final = 1_000_000
"""The most refusals of one kind in a message, which covers half a second."""


class Refusals(Message, tag=35, frozen=True):
    """edge → core: how often each of these has happened since the last message of this kind."""

    counts: dict[Refusal, Annotated[int, msgspec.Meta(ge=1, le=MAX_REFUSALS)]]


EdgeToCore = Request | BodyChunk | RequestAborted | WantBody | Serving | TriedOut | Refusals
CoreToEdge = Welcome | Response | ResponseAborted | BodyChunk | WantBody | TryOut

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
