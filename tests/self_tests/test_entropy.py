"""The health tests find sources that are stuck or biased, and pass those that are not."""

import os
from itertools import cycle, islice

import pytest

from keystead.errors import SelfTestFailed
from keystead.self_tests.entropy import (
    MOST_IN_WINDOW,
    MOST_REPEATED,
    SAMPLE_BYTES,
    WINDOW_BYTES,
    healthy_sample,
)

EVEN = bytes(range(256)) * (SAMPLE_BYTES // 256)


def source(sample: bytes):
    return lambda length: sample[:length]


def test_random_bytes_pass_each_time():
    assert all(len(healthy_sample()) == SAMPLE_BYTES for _ in range(1000))


def test_what_is_tested_is_what_is_returned():
    assert healthy_sample(source(EVEN)) == EVEN


def test_a_source_that_gives_too_little_is_found():
    with pytest.raises(SelfTestFailed, match="too few"):
        healthy_sample(lambda length: os.urandom(length - 1))


@pytest.mark.parametrize("place", [*range(20), 500, SAMPLE_BYTES - MOST_REPEATED - 1])
@pytest.mark.parametrize("byte", [b"\0", b"\n", b"\xff"])
def test_a_byte_that_is_repeated_is_found(byte, place):
    sample = bytearray(EVEN)
    sample[place : place + MOST_REPEATED + 1] = byte * (MOST_REPEATED + 1)
    with pytest.raises(SelfTestFailed, match="repetition count"):
        healthy_sample(source(bytes(sample)))


@pytest.mark.parametrize("place", range(100, 100 + 2 * MOST_REPEATED))
def test_a_byte_that_is_repeated_as_often_as_chance_does_passes(place):
    sample = bytearray(EVEN)
    sample[place : place + MOST_REPEATED] = b"?" * MOST_REPEATED
    assert healthy_sample(source(bytes(sample)))


@pytest.mark.parametrize("start", [0, WINDOW_BYTES])
@pytest.mark.parametrize(("times", "passes"), [(MOST_IN_WINDOW, True), (MOST_IN_WINDOW + 1, False)])
def test_a_byte_that_is_preferred_is_found(start, times, passes):
    sample = bytearray(EVEN.replace(b"\0", b"\1"))
    for place in range(times):
        sample[start + 2 * place] = 0
    if passes:
        assert healthy_sample(source(bytes(sample)))
    else:
        with pytest.raises(SelfTestFailed, match="adaptive proportion"):
            healthy_sample(source(bytes(sample)))


def test_a_source_of_few_values_is_found():
    sample = bytes(islice(cycle(b"\1\2\3\4\5\6\7"), SAMPLE_BYTES))
    with pytest.raises(SelfTestFailed):
        healthy_sample(source(sample))
