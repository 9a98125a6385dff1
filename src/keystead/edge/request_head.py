"""Parses the head of an HTTP/1.1 request strictly by RFC 9112.

It is sans-I/O and pure Python, so it cannot corrupt memory. It refuses everything that two parsers
could read in two ways: bare CR or LF, folded lines, space before a colon, two lengths, two hosts,
and a length together with a transfer coding.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from keystead.edge.limits import MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES
from keystead.wire.edge_messages import FORWARDED_HEADERS, Refusal

# Possessive quantifiers (++, *+) never give back what they took, so matching is linear in time.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_HEAD = re.compile(
    rb"(" + _TOKEN + rb") ([\x21-\x7e]++) HTTP/1\.([01])\r\n"
    rb"((?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+)"
)
_REQUEST_LINE = re.compile(rb"" + _TOKEN + rb" [\x21-\x7e]++ HTTP/([0-9])\.[0-9]\r\n")
_HOST = re.compile(
    r"(?:\[[\w:.%~-]++\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*+)(?::[0-9]*+)?+", re.ASCII
)
"""RFC 3986, section 3.2.2, with any zone in an IPv6 address."""
_LENGTH = re.compile(r"[0-9]{1,18}+")
_ABSOLUTE_TARGET = re.compile(r"https?://[^/?#]+", re.IGNORECASE)

_LISTS: Final = frozenset({"accept", "if-match", "if-none-match", "connection"})
"""Headers that may be repeated: their values are joined with commas. All others may not."""

_READ: Final = FORWARDED_HEADERS | {
    "connection",
    "content-length",
    "expect",
    "host",
    "transfer-encoding",
}


_REASONS: Final[dict[int, Refusal]] = {
    400: "http_400",
    408: "http_408",
    414: "http_414",
    417: "http_417",
    431: "http_431",
    501: "http_501",
    503: "http_503",
    505: "http_505",
}


class RequestRefused(Exception):
    """Makes the edge answer with this status and message, and close the connection."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = _REASONS[status]
        self.message = message


@dataclass(slots=True)
class RequestHead:
    """The parts of a request's head that the edge and the core use."""

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    """Those of FORWARDED_HEADERS that were sent."""
    content_length: int | None
    """None for a chunked body."""
    keep_alive: bool
    expects_continue: bool
    takes_chunks: bool = True
    """Whether the client can read a body in chunks, as HTTP/1.1 has them."""


def parse_request_head(block: bytes) -> RequestHead:
    """Read a request line and headers, from its first byte through the last header's CR LF.

    Raises RequestRefused: 400 malformed or ambiguous; 414, 417, 431, 501, 505 as in RFC 9110.
    """
    match = _HEAD.fullmatch(block)
    if match is None:
        raise _why_malformed(block)
    method, target, minor, lines = match.groups()
    if len(target) > MAX_TARGET_BYTES:
        raise RequestRefused(414, f"The URI is longer than {MAX_TARGET_BYTES} bytes.")
    headers = _read_headers(lines.decode("latin-1"))
    path, _, query = _origin_form(target.decode("ascii")).partition("?")
    is_http_1_1 = minor == b"1"
    host = headers.pop("host", None)
    if host is not None:
        _check_host(host)
    elif is_http_1_1:
        raise RequestRefused(400, "The Host header is missing.")
    expects_continue = _expects_continue(headers.pop("expect", None)) and is_http_1_1
    coding = headers.pop("transfer-encoding", None)
    length = headers.pop("content-length", None)
    if coding is not None:
        _check_chunked(coding, length, minor)
    return RequestHead(
        method=method.decode("ascii"),
        path=path,
        query=query,
        keep_alive=_keeps_alive(headers.pop("connection", None), minor),
        headers=headers,
        content_length=None if coding is not None else _parse_length(length),
        expects_continue=expects_continue,
        takes_chunks=is_http_1_1,
    )


def check_partial_head(data: bytes) -> None:
    """Raise RequestRefused if no more bytes can make `data` the beginning of a head."""
    # Counted, not searched for by a pattern: a client may send a head byte by byte.
    if data.count(b"\n") > data.count(b"\r\n"):
        raise RequestRefused(400, "Lines end with CR LF.")
    if len(data) >= MAX_HEAD_BYTES and b"\r\n" not in data[:MAX_TARGET_BYTES]:
        raise RequestRefused(414, f"The URI is longer than {MAX_TARGET_BYTES} bytes.")
    if len(data) >= MAX_HEAD_BYTES:
        raise RequestRefused(431, f"The headers are longer than {MAX_HEAD_BYTES} bytes.")


def _why_malformed(block: bytes) -> RequestRefused:
    """Return the reason to give for a head that does not match the grammar."""
    request_line = _REQUEST_LINE.match(block)
    if request_line is None:
        return RequestRefused(400, "The request line is malformed.")
    if not block[: request_line.end() - 2].endswith((b"HTTP/1.1", b"HTTP/1.0")):
        return RequestRefused(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    return RequestRefused(400, "A header line is malformed.")


def _read_headers(lines: str) -> dict[str, str]:
    """Return the headers we read, by lower-case name; `lines` matches the grammar."""
    headers: dict[str, str] = {}
    split = lines.split("\r\n")
    if len(split) - 1 > MAX_HEADERS:
        raise RequestRefused(431, f"More than {MAX_HEADERS} header lines.")
    for line in split:
        name, _, value = line.partition(":")
        name = name.lower()
        if name not in _READ:
            continue
        value = value.strip(" \t")
        if name in headers:
            if name not in _LISTS:
                raise RequestRefused(400, f"More than one {name} header.")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _origin_form(target: str) -> str:
    """Return the target's path and query; a proxy's absolute form is accepted (RFC 9112, 3.2.2)."""
    if target[0] == "/" or target == "*":
        return target
    authority = _ABSOLUTE_TARGET.match(target)
    if authority is None:
        raise RequestRefused(400, "The request target is malformed.")
    rest = target[authority.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


@lru_cache(maxsize=64)  # of 16 KiB at most; nearly all requests have the same one
def _check_host(host: str) -> None:
    if not _HOST.fullmatch(host):
        raise RequestRefused(400, "The Host header is malformed.")


def _check_chunked(coding: str, length: str | None, minor: bytes) -> None:
    if length is not None:
        raise RequestRefused(400, "Content-Length and Transfer-Encoding exclude each other.")
    if minor != b"1":
        raise RequestRefused(400, "HTTP/1.0 has no Transfer-Encoding.")
    if coding.lower() != "chunked":
        raise RequestRefused(501, "The only transfer coding is chunked.")


def _parse_length(length: str | None) -> int:
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise RequestRefused(400, "The Content-Length is malformed.")
    return int(length)


def _keeps_alive(connection: str | None, minor: bytes) -> bool:
    """HTTP/1.0's own way to keep a connection is not offered: proxies have got it wrong."""
    if connection is None or minor != b"1":
        return minor == b"1"
    return "close" not in {option.strip(" \t") for option in connection.lower().split(",")}


def _expects_continue(expect: str | None) -> bool:
    if expect is None:
        return False
    if expect.lower() != "100-continue":
        raise RequestRefused(417, "The only expectation that can be met is 100-continue.")
    return True
