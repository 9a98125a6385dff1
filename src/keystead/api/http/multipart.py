"""multipart/form-data (RFC 7578) with exactly two parts, JSON and a file."""

from collections.abc import AsyncIterator

from keystead.errors import InvalidInput
from keystead.imports import hollow

# The library's other parser can keep parts in files. Python's module for that takes 0.4 MiB.
with hollow("tempfile"):
    from multipart import (
        MultipartError,
        MultipartSegment,
        PushMultipartParser,
        parse_options_header,
    )

_PARTS = 2
_LINE_END = b"\r\n"
_WRONG = (
    "Invalid multipart request: it must have exactly two parts, the JSON arguments and the file."
)


def parse_two_parts(body: bytes, content_type: str) -> tuple[bytes, bytes]:
    """Return the contents of the two parts, ordered by their names (`arguments` before `key_file`).

    Raises InvalidInput if `body` is malformed or has more or fewer parts.
    """
    boundary = _boundary(content_type)
    try:
        parts = _parts(body, boundary)
    except (MultipartError, ValueError):
        raise InvalidInput(_WRONG) from None
    if len(parts) != _PARTS:
        raise InvalidInput(_WRONG)
    (_, first), (_, second) = sorted(parts, key=lambda part: part[0])
    return first, second


class TwoParts:
    """Reads two parts while they arrive, in their order, whatever their names are."""

    def __init__(self, body: AsyncIterator[bytes], content_type: str) -> None:
        """Raise InvalidInput if `content_type` has no boundary."""
        self._events = _events(body, _boundary(content_type))

    async def first(self, *, limit_bytes: int) -> bytes:
        """Return the first part. Raises InvalidInput if it has more than `limit_bytes`."""
        content = bytearray()
        async for part in self._one():
            content += part
            if len(content) > limit_bytes:
                raise InvalidInput(f"The first part, the arguments, is over {limit_bytes} bytes.")
        return bytes(content)

    async def second(self) -> AsyncIterator[bytes]:
        """Yield the second part. Raises InvalidInput unless the request ends with it."""
        async for part in self._one():
            yield part
        async for _ in self._events:
            raise InvalidInput(_WRONG)

    async def _one(self) -> AsyncIterator[bytes]:
        if not isinstance(await anext(self._events, None), MultipartSegment):
            raise InvalidInput(_WRONG)
        async for event in self._events:
            if event is None:
                return
            if isinstance(event, bytes | bytearray):
                yield bytes(event)


async def _events(
    body: AsyncIterator[bytes], boundary: str
) -> AsyncIterator[MultipartSegment | bytes | bytearray | None]:
    try:
        with PushMultipartParser(boundary, max_segment_count=_PARTS + 1, strict=True) as parser:
            async for part in _without_last_line_end(body):
                for event in parser.parse(part):
                    yield event
    except (MultipartError, ValueError):
        raise InvalidInput(_WRONG) from None


async def _without_last_line_end(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the body without a CRLF at its very end.

    Clients write one behind the last boundary. The parser takes it in the same piece as the
    boundary, and refuses it in a piece of its own.
    """
    held = b""
    async for part in body:
        piece = held + part
        held = piece[-len(_LINE_END) :]
        if len(piece) > len(held):
            yield piece[: -len(held)]
    if held not in (b"", _LINE_END):
        yield held


def _boundary(content_type: str) -> str:
    boundary: str | None = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise InvalidInput("Invalid multipart request: no boundary in Content-Type.")
    return boundary


def _parts(body: bytes, boundary: str) -> list[tuple[str, bytes]]:
    """Return every part's name and content."""
    parts: list[tuple[str, bytes]] = []
    content = bytearray()
    name = ""
    with PushMultipartParser(boundary, max_segment_count=_PARTS + 1, strict=True) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                name = event.name
            elif event is None:
                parts.append((name, bytes(content)))
                content.clear()
            else:
                content += event
    return parts
