"""The records of this device alone. They are sealed under its device key and read before unlock."""

from keystead.errors import CorruptRecord, NotFound
from keystead.model.secret import Secret
from keystead.sealing.device import device_id, local_config_key
from keystead.storage import format_version
from keystead.storage.key_value_store import MISSING, Change, KeyValueStore, Record, StoredValue
from keystead.storage.paths import DOMAIN_KEY, LOCAL, list_paths
from keystead.storage.sealed_records import OpenedRecord, SealedRecords
from keystead.storage.settings import (
    IDENTITY_CHAIN,
    IDENTITY_KEY,
    JOURNAL,
    RESTORED_BACKUP_KEY,
    RESTORED_BACKUP_SALT,
    RESTORED_JOURNAL,
    RESTORED_SEAL,
    RESTORED_VERSIONS,
    SEALS_BACKUPS,
    UNATTENDED_BOOT,
    SettingStore,
)

LAYOUT_PATH = "/config/version"
LAYOUT = b"1"
"""NetHSM's number for the layout of paths. It is stored in clear, to be read before unlock."""

_ATTENDED = "attended-and-bound"
_ATTENDED_ALONE = "attended"
"""The slot of earlier software, whose records are bound to no root. Backups have this name."""
_UNATTENDED = "unattended-with-key"
_UNATTENDED_ALONE = "unattended"
"""The slot of earlier software, which the device key alone opens."""
_FIRST_LETTER = "a"
_NOT_IN_BACKUPS = frozenset(
    setting.name
    for setting in (
        UNATTENDED_BOOT,
        RESTORED_BACKUP_SALT,
        RESTORED_BACKUP_KEY,
        RESTORED_SEAL,
        RESTORED_VERSIONS,
        SEALS_BACKUPS,
        IDENTITY_KEY,
        IDENTITY_CHAIN,
        JOURNAL,
        RESTORED_JOURNAL,
    )
)


class LocalStore:
    """The domain key's slots and the settings of one device, under /local/<device id>/."""

    def __init__(self, store: KeyValueStore, device_key: Secret) -> None:
        """`device_key` has 32 bytes."""
        self._store = store
        self.device_id = device_id(device_key)
        root = f"{LOCAL}{self.device_id}"
        self.config_key = local_config_key(device_key)
        """Opens the settings. Backups contain it, so that another device can restore them."""
        self._slots = SealedRecords(store, device_key, f"{root}{DOMAIN_KEY}")
        self._config = SealedRecords(store, self.config_key, f"{root}/config/")
        self.settings = SettingStore(self._config)

    async def moved_to(self, other: "LocalStore") -> list[Change]:
        """Return the changes, for one commit, that seal this device's records as those of `other`.

        Raises CorruptRecord if a record does not open or is unknown to this software.
        """
        slots = (self._slots, other._slots)  # noqa: SLF001 - of its own class
        config = (self._config, other._config)  # noqa: SLF001 - of its own class
        changes: list[Change] = []
        for mine, theirs in (slots, config):
            for name in await mine.names():
                opened = await mine.get(name)
                if opened is not None:
                    changes.append(theirs.put(name, opened.plaintext, expected=MISSING))
                    changes.append(mine.delete(name, expected=opened.revision))
        root = f"{LOCAL}{self.device_id}"
        there = await list_paths(self._store, root + "/", root + "0")
        if unknown := set(there) - {change.path for change in changes}:
            raise CorruptRecord(f"The record {min(unknown)} is unknown to this software.")
        return changes

    async def is_provisioned(self) -> bool:
        """Whether this device has a domain key.

        Raises UnsupportedFormat if the store's layout is newer, and CorruptRecord if the store was
        provisioned under another device key.
        """
        layout = await self._store.get(LAYOUT_PATH)
        if layout is None:
            return False
        format_version.check(layout.value, current=LAYOUT, what="store")
        if await self._attended() is None:
            raise CorruptRecord("The store was provisioned under another device key.")
        return True

    def initial(self) -> Change:
        """Return the change that marks an empty store as one of the current layout.

        The commit raises StaleRevision if the store is provisioned already.
        """
        return Change(LAYOUT_PATH, LAYOUT, MISSING)

    async def locked_domain_key(self) -> bytes:
        """Return the domain key wrapped under the unlock key alone, as it is in a backup."""
        opened = await self._attended()
        if opened is None:
            raise NotFound("This device has no domain key.")
        return opened.plaintext

    async def _attended(self) -> OpenedRecord | None:
        return await self._slots.get(_ATTENDED) or await self._slots.get(_ATTENDED_ALONE)

    async def unbound_slot(self) -> list[Change] | None:
        """Return the changes that replace the attended slot of earlier software, or None.

        Without that slot, the records must have a root: its absence cannot be put back.
        """
        opened = await self._slots.get(_ATTENDED_ALONE)
        if opened is None or await self._slots.get(_ATTENDED) is not None:
            return None
        return [self.put_locked_domain_key(opened.plaintext), self.remove_unbound_slot()]

    def remove_unbound_slot(self) -> Change:
        """Return the change that removes the attended slot of earlier software."""
        return self._slots.delete(_ATTENDED_ALONE)

    async def unattended(self) -> bytes | None:
        """Return the domain key wrapped under the unattended key, or None if there is none."""
        opened = await self._slots.get(_UNATTENDED)
        return None if opened is None else opened.plaintext

    async def unattended_alone(self) -> Secret | None:
        """Return the domain key from the slot of earlier software, or None if there is none."""
        opened = await self._slots.get(_UNATTENDED_ALONE)
        return None if opened is None else Secret(opened.plaintext)

    def put_locked_domain_key(self, locked: bytes) -> Change:
        """Return the change that fills the attended slot."""
        return self._slots.put(_ATTENDED, locked)

    def put_unattended(self, locked: bytes) -> Change:
        """Return the change that lets this device open the domain key with the unattended key."""
        return self._slots.put(_UNATTENDED, locked)

    def remove_unattended_alone(self) -> Change:
        """Return the change that removes the slot of earlier software."""
        return self._slots.delete(_UNATTENDED_ALONE)

    def remove_unattended(self) -> list[Change]:
        """Return the changes that make a restart wait for the unlock passphrase."""
        return [self._slots.delete(_UNATTENDED), self.remove_unattended_alone()]

    async def records_for_backup(self) -> list[Record]:
        """Return the records of this device that a backup contains, sealed as they are.

        Records that unwrap the domain key without the unlock passphrase are not among them.
        """
        names = await self._config.names(start=_FIRST_LETTER)
        paths = [self._config.path(name) for name in names if name not in _NOT_IN_BACKUPS]
        entries = [(path, await self._store.get(path)) for path in paths]
        slot = self._slots.put(_ATTENDED_ALONE, await self.locked_domain_key())
        entries.append((slot.path, StoredValue(slot.value or b"", MISSING)))
        return [Record(path, entry) for path, entry in entries if entry is not None]
