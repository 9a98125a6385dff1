"""Reads the body of an HTTP/1.1 request, by its length or in chunks (RFC 9112, 6 and 7).

It is sans-I/O: bytes in, the body's bytes out. Bytes after the body belong to the next request.
"""

import re
from collections.abc import Callable
from typing import Final, Protocol

from keystead.edge.limits import (
    MAX_CHUNK_LINE_BYTES,
    MAX_CHUNK_OVERHEAD_BYTES,
    MAX_OVERHEAD_PER_BYTE,
    MAX_TRAILER_BYTES,
)
from keystead.edge.request_head import RequestRefused

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15}+)[ \t]*+(?:;[\t\x20-\x7e\x80-\xff]*+)?")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+")
_CRLF: Final = b"\r\n"


class RequestBody(Protocol):
    """A body on its way in."""

    is_complete: bool
    rest: bytes
    """The bytes that follow the end of the body."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return those that belong to the body.

        Raises RequestRefused if the body is malformed.
        """
        ...

    def left(self) -> int | None:
        """Return the number of bytes still to come, or None if it is not known yet."""
        ...


class SizedBody:
    """A body of the length that Content-Length gave."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_complete = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return those that belong to the body."""
        part = data[: self._left]
        self._left -= len(part)
        if self._left == 0:
            self.is_complete = True
            self.rest += data[len(part) :]
        return part

    def left(self) -> int | None:
        """Return how many bytes of the body are still to come."""
        return self._left


class ChunkedBody:
    """A body in chunks. Extensions and trailers are checked for form, then dropped."""

    def __init__(self) -> None:
        self._unparsed = b""
        self._left_of_chunk = 0
        self._next: Callable[[bytes, int, list[bytes]], int | None] = self._size_line
        self._trailer_bytes = 0
        self._overhead_allowed = MAX_CHUNK_OVERHEAD_BYTES
        self.is_complete = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return those that belong to the body.

        Raises RequestRefused if the body is malformed.
        """
        data = self._unparsed + data
        parts: list[bytes] = []
        position = 0
        while not self.is_complete:
            after = self._next(data, position, parts)
            if after is None:
                break
            position = after
        self._unparsed = b"" if self.is_complete else data[position:]
        if self.is_complete:
            self.rest += data[position:]
        return b"".join(parts)

    def left(self) -> int | None:
        """Return None: only the last chunk tells."""
        return None

    # Each step reads at `position`, may append to `parts`, sets the step after it, and returns the
    # position it stopped at, or None when it needs more bytes.

    def _size_line(self, data: bytes, position: int, _parts: list[bytes]) -> int | None:
        end = _line_end(data, position)
        if end is None:
            return None
        size = _SIZE_LINE.fullmatch(data, position, end)
        if size is None:
            raise RequestRefused(400, "A chunk's size is malformed.")
        self._left_of_chunk = int(size[1], 16)
        self._count_overhead(end - position)
        self._next = self._chunk if self._left_of_chunk else self._trailer
        return end + len(_CRLF)

    def _count_overhead(self, line_bytes: int) -> None:
        """Refuse a body that is mostly framing, whose work no body limit counts."""
        balance = self._overhead_allowed + MAX_OVERHEAD_PER_BYTE * self._left_of_chunk - line_bytes
        if balance < 0:
            raise RequestRefused(400, "The chunks are too small for their size lines.")
        self._overhead_allowed = min(balance, MAX_CHUNK_OVERHEAD_BYTES)

    def _chunk(self, data: bytes, position: int, parts: list[bytes]) -> int | None:
        part = data[position : position + self._left_of_chunk]
        if not part:
            return None
        parts.append(part)
        self._left_of_chunk -= len(part)
        if not self._left_of_chunk:
            self._next = self._chunk_end
        return position + len(part)

    def _chunk_end(self, data: bytes, position: int, _parts: list[bytes]) -> int | None:
        found = data[position : position + len(_CRLF)]
        if not _CRLF.startswith(found):
            raise RequestRefused(400, "A chunk is longer than its size.")
        if found != _CRLF:
            return None
        self._next = self._size_line
        return position + len(_CRLF)

    def _trailer(self, data: bytes, position: int, _parts: list[bytes]) -> int | None:
        end = _line_end(data, position)
        if end is None:
            return None
        self._trailer_bytes += end - position
        if end == position:
            self.is_complete = True
        elif self._trailer_bytes > MAX_TRAILER_BYTES:
            raise RequestRefused(431, f"More than {MAX_TRAILER_BYTES} bytes of trailers.")
        elif not _TRAILER_LINE.fullmatch(data, position, end):
            raise RequestRefused(400, "A trailer is malformed.")
        return end + len(_CRLF)


def _line_end(data: bytes, position: int) -> int | None:
    """Return where the line that begins at `position` ends, None when its end has not arrived."""
    end = data.find(_CRLF, position, position + MAX_CHUNK_LINE_BYTES)
    if end >= 0:
        return end
    if len(data) - position >= MAX_CHUNK_LINE_BYTES:
        raise RequestRefused(
            400, f"A chunk's size line is longer than {MAX_CHUNK_LINE_BYTES} bytes."
        )
    return None
