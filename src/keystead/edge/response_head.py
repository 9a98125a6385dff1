"""The head of an HTTP/1.1 response, and responses that the edge gives by itself."""

import json
from collections.abc import Sequence
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_JSON: Final = [("Content-Type", "application/json")]

_CLOSING: Final = "connection: close\r\n"


class Framing(Enum):
    """How a client finds the end of a body."""

    LENGTH = auto()
    """By Content-Length."""
    CHUNKS = auto()
    """By the last chunk, because the length is not known before (RFC 9112, 7.1)."""
    END = auto()
    """By the end of the connection, for HTTP/1.0 clients if the length is not known."""

    def head(self, length: int) -> str:
        """Return the header of a body of `length` bytes, as far as that is known."""
        match self:
            case Framing.LENGTH:
                return f"content-length: {length}\r\n"
            case Framing.CHUNKS:
                return "transfer-encoding: chunked\r\n"
            case Framing.END:
                return ""

    def part(self, data: bytes, *, is_last: bool) -> bytes:
        """Return the bytes that carry the next part of a body."""
        if self is not Framing.CHUNKS:
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk + b"0\r\n\r\n" if is_last else chunk


def response_head(
    status: int,
    headers: Sequence[tuple[str, str]],
    *,
    length: int,
    framing: Framing = Framing.LENGTH,
    is_last: bool = False,
) -> bytes:
    """Return the status line, `headers` as given, and the framing of a body of `length` bytes.

    204 and 304 have no body and so no length. `is_last`: no response follows on the connection.
    ValueError for a header that would split the response.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a line break inside a header")
    end = _CLOSING if is_last else ""
    if status not in _BODILESS:
        end = framing.head(length) + end
    return f"{_STATUS_LINES[status]}{lines}{end}\r\n".encode("latin-1")


def own_answer(status: int, message: str) -> bytes:
    """Return a whole last response that the edge gives without asking the core."""
    body = json.dumps({"message": message}).encode()
    return response_head(status, _JSON, length=len(body), is_last=True) + body


HTTPS_ONLY: Final = own_answer(400, "This is HTTPS: the address begins with https://.")
"""For a client that speaks HTTP without TLS, in the clear."""
