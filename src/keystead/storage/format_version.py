"""The format version of each store, so that newer formats are refused."""

from keystead.errors import UnsupportedFormat
from keystead.storage.key_value_store import MISSING, Change
from keystead.storage.sealed_records import SealedRecords

NAME = ".version"
CURRENT = b"0"
"""NetHSM's number for the record formats in `records`."""


def check(stored: bytes, *, current: bytes, what: str) -> None:
    """Raise UnsupportedFormat unless `stored`, a decimal number, is the `current` version."""
    if stored == current:
        return
    if stored.isdigit():
        raise UnsupportedFormat(
            f"The {what} has format version {stored.decode()}; "
            f"this software reads up to {current.decode()}."
        )
    raise UnsupportedFormat(f"The {what} has no readable format version.")


async def check_store(records: SealedRecords, *, what: str) -> None:
    """Raise UnsupportedFormat if the store is newer than this software or has no version."""
    opened = await records.get(NAME)
    if opened is None:
        raise UnsupportedFormat(f"The {what} has no format version.")
    check(opened.plaintext, current=CURRENT, what=what)


def initial(records: SealedRecords) -> Change:
    """Return the change that makes an empty store one of the current version."""
    return records.put(NAME, CURRENT, expected=MISSING)
