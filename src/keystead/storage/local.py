"""What belongs to this device alone and is read before unlock, sealed by its device key."""

from keystead.errors import CorruptRecord, NotFound
from keystead.model.secret import Secret
from keystead.sealing import domain_key as domain_keys
from keystead.sealing.device import device_id, local_config_key
from keystead.storage import format_version
from keystead.storage.key_value_store import MISSING, Change, KeyValueStore, Record
from keystead.storage.sealed_records import SealedRecords, list_paths
from keystead.storage.settings import (
    RESTORED_BACKUP_KEY,
    RESTORED_BACKUP_SALT,
    RESTORED_SEAL,
    SEALS_BACKUPS,
    UNATTENDED_BOOT,
    SettingStore,
)

_ROOT = "/local/"
_AFTER_ROOT = "/local0"
"""The character after the slash."""
LAYOUT_PATH = "/config/version"
LAYOUT = b"1"
"""NetHSM's number for the layout of paths; in clear, because it is read before anything opens."""

_ATTENDED = "attended"
_UNATTENDED = "unattended-with-key"
_UNATTENDED_ALONE = "unattended"
"""Of earlier software: the device key opens it alone."""
_FIRST_LETTER = "a"
_NOT_IN_BACKUPS = frozenset(
    setting.name
    for setting in (
        UNATTENDED_BOOT,
        RESTORED_BACKUP_SALT,
        RESTORED_BACKUP_KEY,
        RESTORED_SEAL,
        SEALS_BACKUPS,
    )
)


class LocalStore:
    """The domain key's slots and the settings of one device, under /local/<device id>/."""

    def __init__(self, store: KeyValueStore, device_key: Secret) -> None:
        """`device_key` has 32 bytes."""
        self._store = store
        self.device_id = device_id(device_key)
        root = f"{_ROOT}{self.device_id}"
        self.config_key = local_config_key(device_key)
        """Opens the settings; it travels in backups, for whoever restores them elsewhere."""
        self._slots = SealedRecords(store, device_key, f"{root}/domain-key/")
        self._config = SealedRecords(store, self.config_key, f"{root}/config/")
        self.settings = SettingStore(self._config)

    async def moved_to(self, other: "LocalStore") -> list[Change]:
        """Return the changes that seal all that is this device's as `other`'s, for one commit.

        CorruptRecord when a record does not open, or is not one of this software.
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
        root = f"{_ROOT}{self.device_id}"
        there = await list_paths(self._store, root + "/", root + "0")
        if unknown := set(there) - {change.path for change in changes}:
            raise CorruptRecord(f"The record {min(unknown)} is not one of this software.")
        return changes

    async def is_provisioned(self) -> bool:
        """Whether this device has a domain key.

        Raises UnsupportedFormat when the store's layout is newer, CorruptRecord when the store
        was provisioned under another device key.
        """
        layout = await self._store.get(LAYOUT_PATH)
        if layout is None:
            return False
        format_version.check(layout.value, current=LAYOUT, what="store")
        if await self._slots.get(_ATTENDED) is None:
            raise CorruptRecord("The store was provisioned under another device key.")
        return True

    def initial(self) -> Change:
        """Return the change that marks an empty store as one of the current layout.

        It fails with StaleRevision on a store that is provisioned already.
        """
        return Change(LAYOUT_PATH, LAYOUT, MISSING)

    async def locked_domain_key(self) -> bytes:
        """Return the domain key as it is in a backup: locked by the unlock key alone."""
        opened = await self._slots.get(_ATTENDED)
        if opened is None:
            raise NotFound("This device has no domain key.")
        return opened.plaintext

    async def unattended(self) -> bytes | None:
        """Return the domain key locked by the unattended key, None if unattended boot is off."""
        opened = await self._slots.get(_UNATTENDED)
        return None if opened is None else opened.plaintext

    async def unattended_alone(self) -> Secret | None:
        """Return the domain key from the slot of earlier software, None if there is none."""
        opened = await self._slots.get(_UNATTENDED_ALONE)
        return None if opened is None else Secret(opened.plaintext)

    def put_attended(self, domain_key: Secret, unlock_key: Secret) -> Change:
        """Return the change that fills the attended slot."""
        return self.put_locked_domain_key(domain_keys.lock(domain_key, unlock_key))

    def put_locked_domain_key(self, locked: bytes) -> Change:
        """Return the change that fills the attended slot from a backup."""
        return self._slots.put(_ATTENDED, locked)

    def put_unattended(self, locked: bytes) -> Change:
        """Return the change that lets this device open the domain key with the unattended key."""
        return self._slots.put(_UNATTENDED, locked)

    def remove_unattended_alone(self) -> Change:
        """Return the change that removes the slot of earlier software."""
        return self._slots.delete(_UNATTENDED_ALONE)

    def remove_unattended(self) -> list[Change]:
        """Return the changes that have a restart wait for the unlock passphrase."""
        return [self._slots.delete(_UNATTENDED), self.remove_unattended_alone()]

    async def records_for_backup(self) -> list[Record]:
        """Return the records of this device that a backup has, sealed as they are.

        Not whatever lets this device open the domain key without the unlock passphrase.
        """
        names = await self._config.names(start=_FIRST_LETTER)
        paths = [self._config.path(name) for name in names if name not in _NOT_IN_BACKUPS]
        paths.append(self._slots.path(_ATTENDED))
        entries = [(path, await self._store.get(path)) for path in paths]
        return [Record(path, entry) for path, entry in entries if entry is not None]


async def devices(store: KeyValueStore) -> frozenset[str] | None:
    """Return the IDs of all devices that have records in the store; None when it has none at all.

    Raises StoreUnavailable.
    """
    if not await store.list("", "\U0010ffff", limit=1):
        return None
    paths = await list_paths(store, _ROOT, _AFTER_ROOT)
    return frozenset(path.removeprefix(_ROOT).partition("/")[0] for path in paths)
