"""Base64 as the API takes it (RFC 4648 section 4, padded) and gives it."""

import binascii

from keystead.errors import InvalidInput


def decode_base64(text: str, *, name: str) -> bytes:
    """Return the bytes; line breaks inside are accepted. InvalidInput names the field `name`."""
    try:
        return binascii.a2b_base64(text.replace("\n", "").replace("\r", ""), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{name} is not valid base64: {error}.") from None


def encode_base64(data: bytes) -> str:
    """Return `data` as one line of padded base64."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")
