"""Health tests of the operating system's random bytes (NIST SP 800-90B, 4.4)."""

import os
from collections.abc import Callable
from typing import Final

from keystead.errors import SelfTestFailed

SAMPLE_BYTES: Final = 1024
"""SP 800-90B, 4.3: the least that is tested at start."""
WINDOW_BYTES: Final = 512
"""SP 800-90B, 4.4.2, for samples that are not bits."""
MOST_REPEATED: Final = 8
"""Equal bytes in a row. With 8 bits of entropy a byte, a ninth comes once in 2 ** 64 bytes."""
MOST_IN_WINDOW: Final = 26
"""How often the first byte of a window may be in it: 27 times come once in 2 ** 66 windows."""

_NONE_DIFFERS: Final = bytes(MOST_REPEATED)


def healthy_sample(read: Callable[[int], bytes] = os.urandom) -> bytes:
    """Return SAMPLE_BYTES of `read`. Raises SelfTestFailed if they are not as random bytes are."""
    sample = read(SAMPLE_BYTES)
    if len(sample) != SAMPLE_BYTES:
        raise SelfTestFailed("The entropy source gives too few bytes.")
    if _NONE_DIFFERS in _differences(sample):
        raise SelfTestFailed("The entropy source repeats a byte: repetition count test.")
    for start in range(0, SAMPLE_BYTES, WINDOW_BYTES):
        window = sample[start : start + WINDOW_BYTES]
        if window.count(window[0]) > MOST_IN_WINDOW:
            raise SelfTestFailed("The entropy source prefers a byte: adaptive proportion test.")
    return sample


def _differences(sample: bytes) -> bytes:
    """Return, for each byte but the first, how it differs from the one before: 0 if it is equal.

    All are computed at once, because each new key waits for this test.
    """
    number = int.from_bytes(sample)
    return (number ^ (number >> 8)).to_bytes(len(sample))[1:]
