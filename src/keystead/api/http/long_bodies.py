"""Long JSON bodies: their one long string is taken out and decoded, and what is left is short.

That rest is read as every body is (`decode_json`). All of it happens in steps of bounded work,
between which the event loop serves others, and nothing of the body is copied but the rest and the
decoded string: see docs/adr/0013-long-bodies.md.
"""

import re
from collections.abc import Generator, Iterator
from typing import Final, TypeVar

import msgspec

from keystead.api.http.encoding import decode_base64, decode_long_base64
from keystead.api.http.json_bodies import decode_json
from keystead.errors import InvalidInput

Shape = TypeVar("Shape")

SHORT_BODY_BYTES: Final = 64 * 1024
"""Bodies up to it are read in one go."""
STEP_BYTES: Final = 32 * 1024
"""What is looked at in one go, in a millisecond at worst."""
LONGEST_SHORT_STRING: Final = 8 * 1024
MAX_REST_BYTES: Final = 32 * 1024
"""Of a long body without its long string and its blanks: it is a mode, an IV, a signature."""

_STAND_IN: Final = "A" * (LONGEST_SHORT_STRING + 1)
"""What the rest has in place of the long string: longer than every string that stays in it."""
_BLANKS: Final = re.compile(rb"[ \t\r\n]+")
_INSIDE: Final = re.compile(rb'[^"\\]*(?:\\(?:u[0-9A-Fa-f]{4}|[^u])[^"\\]*)*')
"""The inside of a string, up to its closing quote or what cannot be one, escapes in one piece."""
_decode_text: Final = msgspec.json.Decoder(str).decode


async def decode_long_json(data: bytes, shape: type[Shape], *, name: str) -> tuple[Shape, bytes]:
    """Return `data` as a `shape`, and the bytes that its field `name` has as base64.

    The field itself has a meaningless text when it was long. Raises InvalidInput for what does not
    fit, and when there is more than one long string, or another field has it.
    """
    body = _LongBody(data)
    content = await decode_long_base64(body.pieces(), name=name)
    decoded = decode_json(bytes(body.rest), shape)
    text: str = getattr(decoded, name)
    if not body.has_long_string:
        return decoded, decode_base64(text, name=name)
    if text != _STAND_IN:
        raise InvalidInput(f"Invalid JSON: of a long body, only {name} may be long.")
    return decoded, content


class _LongBody:
    """A body on its way through the cut."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.rest = bytearray()
        self.has_long_string = False

    def pieces(self) -> Iterator[str]:
        """Yield the text of the long string, a piece a step; a step without any yields ''."""
        data, position = self._data, 0
        while position < len(data):
            opening = data.find(b'"', position, position + MAX_REST_BYTES)
            end = position + MAX_REST_BYTES if opening < 0 else opening + 1
            self._keep(_BLANKS.sub(b" ", data[position:end]))
            position = end
            if opening < 0:
                yield ""
                continue
            closing = self._end_inside(position, LONGEST_SHORT_STRING)
            if data.startswith(b'"', closing):
                self._keep(data[position : closing + 1])
                position = closing + 1
            else:
                position = yield from self._long_string(position)

    def _long_string(self, position: int) -> Generator[str, None, int]:
        """Yield the text of the string whose inside begins here; return the position after it."""
        if self.has_long_string:
            raise InvalidInput("Invalid JSON: two long strings.")
        self.has_long_string = True
        self._keep(_STAND_IN.encode() + b'"')
        while not self._data.startswith(b'"', position):
            end = self._end_inside(position, STEP_BYTES)
            if end == position:
                raise InvalidInput("Invalid JSON: a string has no end, or a bad escape.")
            yield _unescaped(self._data[position:end])
            position = end
        return position + 1

    def _end_inside(self, position: int, most_bytes: int) -> int:
        """Return where the inside of a string ends that begins here, or goes on after a step."""
        inside = _INSIDE.match(self._data, position, position + most_bytes)
        return position if inside is None else inside.end()

    def _keep(self, part: bytes) -> None:
        self.rest += part
        if len(self.rest) > MAX_REST_BYTES:
            raise InvalidInput("Invalid JSON: too much in a long body beside its long string.")


def _unescaped(inside: bytes) -> str:
    """Return the text of a part of a string; InvalidInput unless it is ASCII, as base64 is."""
    try:
        text: str = _decode_text(b'"%b"' % inside)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Invalid JSON: {error}.") from None
    if not text.isascii():
        raise InvalidInput("Invalid JSON: a long string is not base64.")
    return text
