"""The head of an HTTP/1.1 response, and responses that the edge gives by itself."""

import json
import time
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_JSON: Final = b"Content-Type: application/json\r\n"
_CLOSING: Final = b"connection: close\r\n"


class Framing(Enum):
    """How a client finds the end of a body."""

    LENGTH = auto()
    """By Content-Length."""
    CHUNKS = auto()
    """By the last chunk, because the length is not known before (RFC 9112, 7.1)."""
    END = auto()
    """By the end of the connection, for HTTP/1.0 clients if the length is not known."""

    def head(self, length: int) -> bytes:
        """Return the header of a body of `length` bytes, as far as that is known."""
        match self:
            case Framing.LENGTH:
                return f"content-length: {length}\r\n".encode()
            case Framing.CHUNKS:
                return b"transfer-encoding: chunked\r\n"
            case Framing.END:
                return b""

    def part(self, data: bytes, *, is_last: bool) -> bytes:
        """Return the bytes that carry the next part of a body."""
        if self is not Framing.CHUNKS:
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk + b"0\r\n\r\n" if is_last else chunk


def response_head(
    status: int,
    header_lines: bytes,
    *,
    length: int,
    framing: Framing = Framing.LENGTH,
    is_last: bool = False,
) -> bytes:
    """Return the status line, the header lines, and the framing of a body of `length` bytes.

    204 and 304 have no body and so no length. `is_last`: no response follows on the connection.
    """
    end = _CLOSING if is_last else b""
    if status not in _BODILESS:
        end = framing.head(length) + end
    return _STATUS_LINES[status] + header_lines + end + b"\r\n"


def own_answer(status: int, message: str) -> bytes:
    """Return a whole last response that the edge gives without asking the core."""
    body = json.dumps({"message": message}).encode()
    return response_head(status, _JSON + date_line(), length=len(body), is_last=True) + body


def date_line() -> bytes:
    """Return the header line of Date (RFC 9110, 6.6.1) by this machine's clock.

    Answers of the core have the HSM's time there, which can be set.
    """
    return time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime()).encode()
