"""A body of two parts reads the same however the network cuts it into pieces."""

from collections.abc import AsyncIterator

import pytest

from keystead.api.http.multipart import TwoParts
from keystead.errors import InvalidInput
from tests.support.backups import MULTIPART, form

ARGUMENTS = b'{"a": 1}'
FILES = [b"", b"\r", b"\r\n", b"\r\n--", b"\r\n--x-boundary", b"a backup"]


async def read(body: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            yield body[start:end]

    parts = TwoParts(pieces(), MULTIPART["content-type"])
    return await parts.first(limit_bytes=100), b"".join([part async for part in parts.second()])


@pytest.mark.parametrize("file", FILES)
async def test_a_cut_at_any_byte_changes_nothing(file: bytes):
    body = form(file, {"a": 1})
    for cut in range(1, len(body)):
        assert await read(body, [cut]) == (ARGUMENTS, file), cut
    assert await read(body, list(range(1, len(body)))) == (ARGUMENTS, file)


@pytest.mark.parametrize("file", FILES)
async def test_the_line_end_behind_the_last_boundary_may_be_missing(file: bytes):
    assert await read(form(file, {"a": 1}).removesuffix(b"\r\n"), []) == (ARGUMENTS, file)


async def test_a_body_that_ends_anywhere_before_its_last_boundary_is_refused():
    body = form(b"a backup", {"a": 1}).removesuffix(b"--\r\n")
    for end in range(len(body)):
        with pytest.raises(InvalidInput):
            await read(body[:end], [])
