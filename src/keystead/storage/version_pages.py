"""Pages of versions: for each record, the hash of its path and that of its sealed value.

A record belongs to the page that the hash of its path says.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

PAGES: Final = 512
HASH_BYTES: Final = 16
ROW_BYTES: Final = 2 * HASH_BYTES
NO_PAGE: Final = bytes(HASH_BYTES)
"""Stands for the hash of a page without rows."""


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
    at = page.find(name)
    while at >= 0 and at % ROW_BYTES:
        at = page.find(name, at + 1)
    return None if at < 0 else at


def replaced(page: bytes, name: bytes, value: bytes | None) -> bytes:
    """Return a page with another value at a path. None stands for no record."""
    row = b"" if value is None else name + hash_of(value)
    at = find(page, name)
    return page + row if at is None else page[:at] + row + page[at + ROW_BYTES :]


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
