"""Base64 as the API takes it (RFC 4648 section 4, padded) and gives it."""

import asyncio
import binascii
from typing import Final

from keystead.errors import InvalidInput

STEP_BYTES: Final = 192 * 1024
"""What is decoded or encoded in one go, in less than a millisecond; divisible by 3."""
_STEP_DIGITS: Final = STEP_BYTES // 3 * 4


def decode_base64(text: str, *, name: str) -> bytes:
    """Return the bytes; line breaks inside are accepted. InvalidInput names the field `name`."""
    digits = _without_line_breaks(text)
    try:
        data = binascii.a2b_base64(digits, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{name} is not valid base64: {error}.") from None
    # Strict as it says it is, it lets padding follow where none belongs.
    if len(digits) != (len(data) + 2) // 3 * 4:
        raise InvalidInput(f"{name} is not valid base64: Excess padding.")
    return data


async def decode_long_base64(text: str, *, name: str) -> bytes:
    """Return the same, in steps between which the event loop serves others."""
    digits = _without_line_breaks(text)
    data = bytearray()
    for start in range(0, len(digits), _STEP_DIGITS):
        if len(data) != start // 4 * 3:
            raise InvalidInput(f"{name} is not valid base64: Discontinuous padding.")
        data += decode_base64(digits[start : start + _STEP_DIGITS], name=name)
        await asyncio.sleep(0)
    return bytes(data)


def encode_base64(data: bytes) -> str:
    """Return `data` as one line of padded base64."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


async def encode_long_base64(data: bytes) -> bytes:
    """Return the same as ASCII, in steps between which the event loop serves others."""
    digits = bytearray()
    for start in range(0, len(data), STEP_BYTES):
        digits += binascii.b2a_base64(data[start : start + STEP_BYTES], newline=False)
        await asyncio.sleep(0)
    return bytes(digits)


def _without_line_breaks(text: str) -> str:
    if "\n" in text or "\r" in text:
        return text.replace("\n", "").replace("\r", "")
    return text
