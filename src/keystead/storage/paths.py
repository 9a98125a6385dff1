"""Paths of records, and what they alone tell. The platform reads them and opens no record.

So nothing that opens records is imported here: the platform would load it and never use it.
"""

from typing import Final

from keystead.storage.key_value_store import KeyValueStore

LOCAL: Final = "/local/"
"""The root of the records of single devices."""
AFTER_LOCAL: Final = "/local0"
"""The end of the range below LOCAL: 0 follows the slash in ASCII."""
DOMAIN_KEY: Final = "/domain-key/"
"""Where the slots of the domain key are below a device's root. An Unprovisioned HSM has none."""
JOURNAL: Final = "/journal/"
"""The root of this device's journal, which is in no generation."""
ACTIONS: Final = "/journal/open/"
"""The root of the records of actions, each of which is written with the changes that it made."""
AFTER_ACTIONS: Final = "/journal/open0"
"""The end of the range below ACTIONS. Nothing of the journal comes after it."""
VERSIONS: Final = "/root"
"""The root of the versions of a generation's records, and the beginning of its pages' paths."""
SETTINGS: Final = "/device/"
"""The root of what a generation knows of the settings of each device."""
KNOWN_HEAD: Final = "/elsewhere/journal-head"
"""The last checkpoint of the journal, if it is also kept outside of the store."""
KNOWN_COUNT: Final = "/elsewhere/count"
"""The value of the TPM's counter, if it is used."""
_PAGE: Final = 1000
"""Paths that are listed at a time."""


def is_of_journal(path: str) -> bool:
    """Return whether a record is in this device's journal. Records of actions are not yet."""
    return JOURNAL <= path < ACTIONS


async def list_paths(store: KeyValueStore, start: str, stop: str, *, below: str = "") -> list[str]:
    """Return every path in [start, stop), in byte order, without its prefix `below`."""
    found: list[str] = []
    while page := await store.list(start, stop, limit=_PAGE):
        found += [path[len(below) :] for path in page] if below else page
        if len(page) < _PAGE:
            break
        start = page[-1] + "\0"
    return found


async def devices(store: KeyValueStore) -> frozenset[str] | None:
    """Return the IDs of all devices with records in the store, or None if the store is empty.

    Raises StoreUnavailable if the store cannot be read.
    """
    if not await store.list("", "\U0010ffff", limit=1):
        return None
    paths = await list_paths(store, LOCAL, AFTER_LOCAL)
    return frozenset(path.removeprefix(LOCAL).partition("/")[0] for path in paths)
