"""Base64 in the form of the API (RFC 4648 section 4, padded)."""

import asyncio
import binascii
from collections.abc import Iterable
from io import BytesIO
from typing import Final

from keystead.errors import InvalidInput
from keystead.model.base64_text import strictly_decoded

STEP_BYTES: Final = 192 * 1024
"""The bytes that are encoded in one step, in less than a millisecond. Divisible by 3."""


class NotBase64(Exception):
    """Raised if a text is not base64, with the reason."""

    def of_field(self, name: str) -> InvalidInput:
        """Return the InvalidInput error for the field `name`."""
        return InvalidInput(f"{name} is not valid base64: {self}.")


def decode_base64(text: str, *, name: str) -> bytes:
    """Return the bytes. Line breaks are accepted. Raises InvalidInput, which names `name`."""
    try:
        return strictly_decoded(text)
    except ValueError:
        pass
    # It has line breaks, or is no base64: only now the steps are taken that a signature can spare.
    try:
        return _decode(text)
    except NotBase64 as error:
        raise error.of_field(name) from None


def _decode(text: str) -> bytes:
    digits = _without_line_breaks(text)
    try:
        return strictly_decoded(digits)
    except ValueError as error:
        raise NotBase64(str(error)) from None


async def decode_long_base64(pieces: Iterable[str]) -> bytes:
    """Return the bytes of a text in pieces. The event loop serves others in between.

    Raises NotBase64 if the text is not padded base64.
    """
    data = BytesIO()  # Unlike a bytearray, it returns its content without a copy.
    waiting = ""
    for piece in pieces:
        digits = waiting + _without_line_breaks(piece)
        whole = len(digits) // 4 * 4
        _append(data, digits[:whole])
        waiting = digits[whole:]
        await asyncio.sleep(0)
    _append(data, waiting)
    return data.getvalue()


def _append(data: BytesIO, digits: str) -> None:
    """Decode a part of a text. Only the last part may have padding."""
    if digits and data.tell() % 3:
        raise NotBase64("Discontinuous padding")
    data.write(_decode(digits))


def encode_base64(data: bytes) -> str:
    """Return `data` as one line of padded base64."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


async def encode_long_base64(data: bytes, *, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return `data` as base64 in ASCII, in steps between which the event loop serves others.

    The result begins with `before` and ends with `after`, because adding them later would be a
    copy.
    """
    encoded = BytesIO()
    encoded.write(before)
    for start in range(0, len(data), STEP_BYTES):
        encoded.write(binascii.b2a_base64(data[start : start + STEP_BYTES], newline=False))
        await asyncio.sleep(0)
    encoded.write(after)
    return encoded.getvalue()


def _without_line_breaks(text: str) -> str:
    if "\n" in text or "\r" in text:
        return text.replace("\n", "").replace("\r", "")
    return text
