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


def healthy_sample(read: Callable[[int], bytes] = os.urandom) -> bytes:
    """Return SAMPLE_BYTES of `read`. Raises SelfTestFailed if they are not as random bytes are."""
    sample = read(SAMPLE_BYTES)
    if len(sample) != SAMPLE_BYTES:
        raise SelfTestFailed("The entropy source gives too few bytes.")
    if _repeats_a_byte(sample):
        raise SelfTestFailed("The entropy source repeats a byte: repetition count test.")
    for start in range(0, SAMPLE_BYTES, WINDOW_BYTES):
        window = sample[start : start + WINDOW_BYTES]
        if window.count(window[0]) > MOST_IN_WINDOW:
            raise SelfTestFailed("The entropy source prefers a byte: adaptive proportion test.")
    return sample


def _repeats_a_byte(sample: bytes) -> bool:
    """Return whether more than MOST_REPEATED bytes in a row are equal.

    So many have among them a byte whose place is a multiple of MOST_REPEATED, and the one after
    it. These pairs are compared all at once, because each new key waits for this test.
    """
    firsts, seconds = sample[::MOST_REPEATED], sample[1::MOST_REPEATED]
    differences = int.from_bytes(firsts) ^ int.from_bytes(seconds)
    of_pairs = differences.to_bytes(len(firsts))
    pair = of_pairs.find(0)
    while pair >= 0:
        place = pair * MOST_REPEATED
        around = sample[max(0, place + 1 - MOST_REPEATED) : place + 1 + MOST_REPEATED]
        if sample[place : place + 1] * (MOST_REPEATED + 1) in around:
            return True
        pair = of_pairs.find(0, pair + 1)
    return False
