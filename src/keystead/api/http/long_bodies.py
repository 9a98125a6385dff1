"""Long JSON bodies: their long strings are taken out and decoded, and what is left is short.

That rest is read as every body is (`decode_json`). All of it happens in steps of bounded work,
between which the event loop serves others, and nothing of the body is copied but the rest and the
decoded strings: see docs/adr/0013-long-bodies.md.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Final, Protocol, TypeVar

import msgspec

from keystead.api.http.encoding import NotBase64, decode_base64, decode_long_base64
from keystead.api.http.json_bodies import decode_json
from keystead.errors import InvalidInput

Shape = TypeVar("Shape")

SHORT_BODY_BYTES: Final = 64 * 1024
"""Bodies up to this length are decoded in one step."""
STEP_BYTES: Final = 32 * 1024
"""The bytes that are examined in one step, which takes a millisecond at most."""
LONGEST_SHORT_STRING: Final = 512
MAX_STRINGS: Final = 1100
"""In a long body: the messages of the longest batch, the other fields and all names."""
MAX_REST_BYTES: Final = (MAX_STRINGS + 2) * (LONGEST_SHORT_STRING + 8)
"""Of a long body without its long strings and its blanks."""

_STAND_IN: Final = "~" * (LONGEST_SHORT_STRING + 1)
"""What the rest has in place of a long string, with its number behind. It is longer than every
string that stays in the rest, and not base64."""
_BLANKS: Final = re.compile(rb"[ \t\r\n]+")
_INSIDE: Final = re.compile(rb'[^"\\]*(?:\\(?:u[0-9A-Fa-f]{4}|[^u])[^"\\]*)*')
"""The inside of a string, up to its closing quote or what cannot be one, escapes in one piece."""
_decode_text: Final = msgspec.json.Decoder(str).decode


class DecodeText(Protocol):
    """Returns the bytes that a text of a decoded body has as base64; asked once for each text."""

    def __call__(self, text: str, *, name: str) -> bytes:
        """Raise InvalidInput, which names the field, if the text is not base64."""
        ...


async def decode_long_json(data: bytes, shape: type[Shape]) -> tuple[Shape, DecodeText]:
    """Return `data` as a `shape`, and what gives the bytes of its base64 texts.

    Only that function can read a long text. Raises InvalidInput if the body does not fit.
    """
    body = _LongBody(data)
    await body.read()
    return decode_json(bytes(body.rest), shape), body.decode_text


class _LongBody:
    """A body on its way through the cut."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.rest = bytearray()
        self._strings = 0
        self._long: dict[str, bytes | NotBase64] = {}
        """The content of each long string, by its placeholder."""
        self._after_long = 0

    def decode_text(self, text: str, *, name: str) -> bytes:
        """Return the bytes of a text of the rest. Raises InvalidInput if it is not base64."""
        content = self._long.pop(text, None)  # It is then the caller's alone.
        if content is None:
            return decode_base64(text, name=name)
        if isinstance(content, NotBase64):
            raise content.of_field(name)
        return content

    async def read(self) -> None:
        """Fill the rest, decode the long strings and let go of the body."""
        position = 0
        while position < len(self._data):
            opening = self._data.find(b'"', position, position + STEP_BYTES)
            end = position + STEP_BYTES if opening < 0 else opening + 1
            self._keep(_BLANKS.sub(b" ", self._data[position:end]))
            position = end if opening < 0 else await self._string(end)
            await asyncio.sleep(0)
        self._data = b""  # The strings that it held are decoded.

    async def _string(self, position: int) -> int:
        """Read the string whose inside begins here; return the position after it."""
        self._strings += 1
        if self._strings > MAX_STRINGS:
            raise InvalidInput(f"Invalid JSON: more than {MAX_STRINGS} strings in a long body.")
        end = self._end_inside(position, LONGEST_SHORT_STRING)
        if self._data.startswith(b'"', end):
            self._keep(self._data[position : end + 1])
            return end + 1
        stand_in = f"{_STAND_IN}{len(self._long)}"
        self._keep(stand_in.encode() + b'"')
        pieces = self._pieces(position)
        try:
            self._long[stand_in] = await decode_long_base64(pieces)
        except NotBase64 as error:
            self._long[stand_in] = error
            for _ in pieces:
                await asyncio.sleep(0)
        return self._after_long

    def _pieces(self, position: int) -> Iterator[str]:
        """Yield the text of the string whose inside begins here; note the position after it."""
        while not self._data.startswith(b'"', position):
            end = self._end_inside(position, STEP_BYTES)
            if end == position:
                raise InvalidInput("Invalid JSON: a string has no end, or a bad escape.")
            yield _unescaped(self._data[position:end])
            position = end
        self._after_long = position + 1

    def _end_inside(self, position: int, most_bytes: int) -> int:
        """Return where the inside of a string ends that begins here, or goes on after a step."""
        inside = _INSIDE.match(self._data, position, position + most_bytes)
        return position if inside is None else inside.end()

    def _keep(self, part: bytes) -> None:
        self.rest += part
        if len(self.rest) > MAX_REST_BYTES:
            raise InvalidInput("Invalid JSON: too much in a long body beside its long strings.")


def _unescaped(inside: bytes) -> str:
    """Return the text of a part of a string. Raises InvalidInput if it is not ASCII."""
    try:
        text: str = _decode_text(b'"%b"' % inside)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Invalid JSON: {error}.") from None
    if not text.isascii():
        raise InvalidInput("Invalid JSON: a long string is not base64.")
    return text
