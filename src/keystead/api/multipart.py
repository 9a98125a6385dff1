"""multipart/form-data (RFC 7578) of exactly two parts, as key import uses it."""

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from keystead.errors import InvalidInput

_PARTS = 2
_WRONG = (
    "Invalid multipart request: it must have exactly two parts, the JSON arguments and the file."
)


def parse_two_parts(body: bytes, content_type: str) -> tuple[bytes, bytes]:
    """Return the contents of the two parts, ordered by their names (`arguments` before `key_file`).

    InvalidInput when `body` is not well-formed or has more or fewer parts.
    """
    boundary = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise InvalidInput("Invalid multipart request: no boundary in Content-Type.")
    try:
        parts = _parts(body, boundary)
    except (MultipartError, ValueError):
        raise InvalidInput(_WRONG) from None
    if len(parts) != _PARTS:
        raise InvalidInput(_WRONG)
    (_, first), (_, second) = sorted(parts, key=lambda part: part[0])
    return first, second


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
