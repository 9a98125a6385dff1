"""Pages of versions that are filled while records are written."""

import itertools
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from keystead.storage.version_pages import (
    HASH_BYTES,
    ROW_BYTES,
    WrittenPages,
    find,
    hash_of,
    page_of,
    replaced,
)

CHANGES = st.lists(
    st.tuples(
        st.sampled_from([f"/1/key/{number}" for number in range(2000)]), st.none() | st.binary()
    )
)


@given(CHANGES)
def test_written_pages_are_those_of_the_records_that_are_left(
    changes: list[tuple[str, bytes | None]],
) -> None:
    written, expected = WrittenPages(), {}
    for path, value in changes:
        written.note(path, value)
        name = hash_of(path.encode())
        expected[page_of(name)] = replaced(expected.get(page_of(name), b""), name, value)
    assert written.pages() == expected
    left = {path: value for path, value in dict(changes).items() if value is not None}
    assert _rows(written.pages().values()) == sorted(
        hash_of(path.encode()) + hash_of(value) for path, value in left.items()
    )


class Watched(bytes):
    """A page that counts the bytes that are searched."""

    searched = 0

    def find(self, wanted: bytes, start: int = 0, stop: int | None = None) -> int:  # type: ignore[override]
        found = super().find(wanted, start, stop)
        self.searched += (len(self) if found < 0 else found) - start
        return found


def test_a_row_of_many_is_found_where_its_hash_says() -> None:
    names = _names_of_a_page(1000)
    page = b""
    for name in names:
        page = replaced(page, name, b"value")
    rows = [page[at : at + ROW_BYTES] for at in range(0, len(page), ROW_BYTES)]
    assert rows == sorted(rows)
    watched = Watched(page)
    for name in names:
        at = find(watched, name)
        assert at is not None
        assert page[at : at + HASH_BYTES] == name
    assert watched.searched < len(names) * len(page) / 10


def test_rows_of_earlier_software_are_found_in_whatever_order_they_are() -> None:
    names = _names_of_a_page(1000)
    page = b"".join(name + hash_of(b"value") for name in names[1:])
    assert all(page[find(page, name) :].startswith(name) for name in names[1:])
    assert find(page, names[0]) is None
    longer = replaced(page, names[0], b"value")
    assert _rows([longer]) == _rows([page, names[0] + hash_of(b"value")])
    assert all(longer[find(longer, name) :].startswith(name) for name in names)
    assert _rows([replaced(longer, names[0], None)]) == _rows([page])


def _names_of_a_page(count: int) -> list[bytes]:
    """Return so many hashes of paths in one page, in no order."""
    names = (hash_of(b"%d" % number) for number in itertools.count())
    return list(itertools.islice((name for name in names if page_of(name) == 7), count))


def _rows(pages: Iterable[bytes]) -> list[bytes]:
    return sorted(
        page[at : at + ROW_BYTES] for page in pages for at in range(0, len(page), ROW_BYTES)
    )
