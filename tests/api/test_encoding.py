"""Base64 in one go and in steps: the same."""

import asyncio
import base64
import os
from collections.abc import Iterator

import pytest

from keystead.api.http.encoding import (
    STEP_BYTES,
    NotBase64,
    decode_base64,
    decode_long_base64,
    encode_long_base64,
)
from keystead.errors import InvalidInput

STEP_DIGITS = STEP_BYTES // 3 * 4
SIZES = [0, 1, 2, 3, STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 3 * STEP_BYTES + 2]


def in_pieces(text: str, size: int = STEP_DIGITS) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_encoded_in_steps_is_decoded_in_steps(size):
    data = os.urandom(size)
    encoded = await encode_long_base64(data)
    assert encoded == base64.b64encode(data)
    assert await decode_long_base64(in_pieces(encoded.decode(), 1001)) == data


async def test_line_breaks_are_accepted_wherever_they_are():
    data = os.urandom(2 * STEP_BYTES)
    lines = base64.encodebytes(data).decode()
    for text in (lines, lines.replace("\n", "\r\n")):
        decoded = await decode_long_base64(in_pieces(text))
        assert decoded == decode_base64(text, name="x") == data


@pytest.mark.parametrize(
    ("position", "digits"),
    [(0, "===="), (STEP_BYTES // 3 * 4 - 1, "="), (-1, "?"), (-4, "QQ=="[::-1])],
)
async def test_what_is_refused_in_one_go_is_refused_in_steps(position, digits):
    text = list("A" * (STEP_BYTES * 4))
    text[position : position + len(digits) or None] = digits
    with pytest.raises(InvalidInput, match="x is not valid base64"):
        decode_base64("".join(text), name="x")
    with pytest.raises(NotBase64):
        await decode_long_base64(in_pieces("".join(text)))


async def test_what_goes_around_it_is_put_there_without_another_copy():
    encoded = await encode_long_base64(b"abc", before=b'{"x":"', after=b'"}')
    assert encoded == b'{"x":"YWJj"}'


async def test_padding_at_the_end_of_a_step_is_refused():
    step = "A" * (STEP_BYTES // 3 * 4 - 4) + "QQ=="
    with pytest.raises(NotBase64, match="padding"):
        await decode_long_base64([step, step])


async def test_others_are_served_meanwhile():
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    await decode_long_base64(in_pieces("A" * (STEP_BYTES * 8)))
    decoding = turns
    await encode_long_base64(bytes(STEP_BYTES * 6))
    other.cancel()
    assert decoding >= 6
    assert turns - decoding >= 6
