"""The keys of the journal at unlock: those in the store, those that a restore left, or new ones."""

import msgspec

from keystead.errors import DecryptionFailed
from keystead.model.secret import Secret
from keystead.sealing.journal_keys import JournalKeys
from keystead.storage.journal_records import put_keys, stored_keys
from keystead.storage.key_value_store import Change, KeyValueStore
from keystead.storage.paths import ACTIONS, JOURNAL
from keystead.storage.sealed_records import remove_range
from keystead.storage.settings import RESTORED_JOURNAL, SettingStore


class FoundKeys(msgspec.Struct, frozen=True):
    """The keys of the journal, and what the first write to it has to do."""

    keys: JournalKeys
    changes: list[Change]
    """What seals the keys under the domain key, if they are not."""
    fault: str = ""
    """What was wrong with the journal that was here."""


async def find_keys(store: KeyValueStore, local: SettingStore, domain_key: Secret) -> FoundKeys:
    """Return the keys of the journal in `store`, or new ones.

    A journal whose keys are missing can be neither read nor continued. Its records are deleted,
    and a new journal begins, which says so. Records of actions stay: they may be those of other
    devices of the cluster.
    """
    try:
        keys = await stored_keys(store, domain_key)
    except DecryptionFailed:
        keys = await _left_by_restore(local)
        if keys is not None:
            return FoundKeys(keys, [put_keys(keys, domain_key), local.remove(RESTORED_JOURNAL)])
    if keys is not None:
        return FoundKeys(keys, [])
    removed = await remove_range(store, JOURNAL, ACTIONS)
    fault = "the keys of the journal that was here did not open, or were missing" if removed else ""
    keys = JournalKeys.new()
    return FoundKeys(keys, [put_keys(keys, domain_key)], fault)


async def present_keys(
    store: KeyValueStore, local: SettingStore, domain_key: Secret
) -> JournalKeys | None:
    """Return the keys of the journal in `store`, or None if there are none that open."""
    try:
        return await stored_keys(store, domain_key)
    except DecryptionFailed:
        return await _left_by_restore(local)


async def _left_by_restore(local: SettingStore) -> JournalKeys | None:
    stored = await local.get(RESTORED_JOURNAL)
    return None if stored is None else JournalKeys(stored)
