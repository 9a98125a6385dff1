"""Pages of versions: for each record, the hash of its path and that of its sealed value.

A record belongs to the page that the hash of its path says. The rows of a page are in the order of
these hashes, but for rows that earlier software has added at the end.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Mapping
from math import isqrt
from typing import Final

PAGES: Final = 512
HASH_BYTES: Final = 16
ROW_BYTES: Final = 2 * HASH_BYTES
NO_PAGE: Final = bytes(HASH_BYTES)
"""Stands for the hash of a page without rows."""

_FEW_ROWS: Final = 64
"""In so many rows, the search from the first one on is as fast."""
_PART_BITS: Final = 39
"""The bits of a hash that say where its row is in its page, as `_part` takes them."""


def hash_of(content: bytes) -> bytes:
    """Return the hash of a path, a value or a page: BLAKE2b with 16 bytes (RFC 7693)."""
    return hashlib.blake2b(content, digest_size=HASH_BYTES).digest()


def hash_of_page(page: bytes) -> bytes:
    """Return the hash of a page, for the root."""
    return hash_of(page) if page else NO_PAGE


def page_of(name: bytes) -> int:
    """Return the number of the page of the path with this hash."""
    return int.from_bytes(name[:2]) % PAGES


def find(page: bytes, name: bytes) -> int | None:
    """Return where the row of the path with this hash begins, or None."""
    rows = len(page) // ROW_BYTES
    if rows > _FEW_ROWS:
        # The hash says about where it is: of 1,000 rows, all but some are within four standard
        # deviations, of half the square root of the number of rows.
        place, reach = rows * _part(name) >> _PART_BITS, 2 * isqrt(rows)
        first = max(0, place - reach)
        at = _find_between(page, name, first * ROW_BYTES, (place + reach) * ROW_BYTES)
        if at >= 0:
            return at
    at = _find_between(page, name, 0, len(page))
    return None if at < 0 else at


def _part(name: bytes) -> int:
    """Return how much of all hashes in its page is before this one, in parts of 2 ** _PART_BITS.

    The other nine of the first bits are those of the page's number.
    """
    return name[0] >> 1 << 32 | int.from_bytes(name[2:6])


def _find_between(page: bytes, name: bytes, start: int, stop: int) -> int:
    at = page.find(name, start, stop)
    while at >= 0 and at % ROW_BYTES:
        at = page.find(name, at + 1, stop)
    return at


def _place_for(page: bytes, name: bytes) -> int:
    """Return where the row of a path with this hash is to be added."""

    def name_of(row: int) -> bytes:
        return page[row * ROW_BYTES : row * ROW_BYTES + HASH_BYTES]

    return ROW_BYTES * bisect_left(range(len(page) // ROW_BYTES), name, key=name_of)


def replaced(page: bytes, name: bytes, value: bytes | None) -> bytes:
    """Return a page with another value at a path. None stands for no record."""
    row = b"" if value is None else name + hash_of(value)
    at = find(page, name)
    if at is not None:
        return page[:at] + row + page[at + ROW_BYTES :]
    at = _place_for(page, name) if row else 0
    return page[:at] + row + page[at:]


class WrittenPages:
    """The pages of records that were written one after the other, from the first on."""

    def __init__(self) -> None:
        self._pages: dict[int, bytes] = {}

    def note(self, path: str, value: bytes | None) -> None:
        """Take `value` for the present version of a record. None stands for no record."""
        name = hash_of(path.encode())
        index = page_of(name)
        self._pages[index] = replaced(self._pages.get(index, b""), name, value)

    def pages(self) -> Mapping[int, bytes]:
        """Return the pages, by their numbers."""
        return self._pages
