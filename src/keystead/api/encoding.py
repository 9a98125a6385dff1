"""Base64 as the API takes it (RFC 4648 section 4, padded) and gives it."""

import binascii

from keystead.errors import InvalidInput


def decode_base64(text: str, *, name: str) -> bytes:
    """Return the bytes; line breaks inside are accepted. InvalidInput names the field `name`."""
    digits = text.replace("\n", "").replace("\r", "")
    try:
        data = binascii.a2b_base64(digits, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{name} is not valid base64: {error}.") from None
    # Strict as it says it is, it lets padding follow where none belongs.
    if len(digits) != (len(data) + 2) // 3 * 4:
        raise InvalidInput(f"{name} is not valid base64: Excess padding.")
    return data


def encode_base64(data: bytes) -> str:
    """Return `data` as one line of padded base64."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")
