"""Random bytes for callers, from the operating system's generator."""

from keystead.errors import InvalidInput
from keystead.self_tests.entropy import SAMPLE_BYTES, healthy_sample

MAX_RANDOM_BYTES = SAMPLE_BYTES


def random_bytes(length: int) -> bytes:
    """Return 1 to 1024 bytes of getrandom(2). Raises InvalidInput for any other length.

    Raises SelfTestFailed if they are not as random bytes are.
    """
    if not 1 <= length <= MAX_RANDOM_BYTES:
        raise InvalidInput(f"length must be between 1 and {MAX_RANDOM_BYTES}.")
    return healthy_sample()[:length]
