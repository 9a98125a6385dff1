"""Pages of versions that are filled while records are written."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from keystead.storage.version_pages import ROW_BYTES, WrittenPages, hash_of, page_of, replaced

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


def _rows(pages: Iterable[bytes]) -> list[bytes]:
    return sorted(
        page[at : at + ROW_BYTES] for page in pages for at in range(0, len(page), ROW_BYTES)
    )
