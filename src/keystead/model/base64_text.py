"""Base64 with its padding (RFC 4648, 4), as it stands in requests."""

import binascii


def strictly_decoded(digits: str) -> bytes:
    """Return the bytes. Raises ValueError unless `digits` is base64 and nothing more."""
    data = binascii.a2b_base64(digits, strict_mode=True)
    # Strict as it says it is, it lets padding follow where none belongs.
    if len(digits) != (len(data) + 2) // 3 * 4:
        raise ValueError("Excess padding")
    return data
