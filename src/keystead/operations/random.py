"""Random bytes for callers, from the operating system's generator."""

import os

from keystead.errors import InvalidInput

MAX_RANDOM_BYTES = 1024


def random_bytes(length: int) -> bytes:
    """Return 1 to 1024 bytes of getrandom(2). Raises InvalidInput for any other length."""
    if not 1 <= length <= MAX_RANDOM_BYTES:
        raise InvalidInput(f"length must be between 1 and {MAX_RANDOM_BYTES}.")
    return os.urandom(length)
