"""The head of an HTTP/1.1 response, and the answers the edge gives by itself."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_JSON: Final = [("Content-Type", "application/json")]

CLOSING: Final = "connection: close\r\n"
"""The framing of the last response of a connection."""


def response_head(
    status: int, headers: Sequence[tuple[str, str]], *, length: int, framing: str = ""
) -> bytes:
    """Return the status line, `headers` as given, and the framing of a body of `length` bytes.

    204 and 304 have no body and so no length. `framing` is "" or CLOSING. ValueError for a header
    that would split the response.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a line break inside a header")
    if status not in _BODILESS:
        framing = f"content-length: {length}\r\n{framing}"
    return f"{_STATUS_LINES[status]}{lines}{framing}\r\n".encode("latin-1")


def own_answer(status: int, message: str) -> bytes:
    """Return a whole last response that the edge gives without asking the core."""
    body = json.dumps({"message": message}).encode()
    return response_head(status, _JSON, length=len(body), framing=CLOSING) + body
