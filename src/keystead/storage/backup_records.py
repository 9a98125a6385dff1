"""Which records a backup contains, and what a restore does with each record of a file.

Shared records are copied from store to file and back, sealed. The records of the device that made
the file are opened with the key in the file, and sealed again for the device that restores it.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from keystead.errors import DecryptionFailed, InvalidInput
from keystead.model.ids import NamespaceId, UserId, parse_key_id, parse_namespace_id
from keystead.sealing import envelope
from keystead.sealing.backup import BackupOrigin
from keystead.sealing.backup_seal import SEAL_PATH, RecordSet, SealedSet
from keystead.storage import device_records, format_version, settings
from keystead.storage.key_value_store import Change, KeyValueStore, Readable, Record
from keystead.storage.local import LAYOUT_PATH
from keystead.storage.sealed_records import remove_range
from keystead.storage.settings import Setting, SettingStore

T = TypeVar("T")

SCAN_BYTES: Final = 64 * 1024
"""Bytes of records that are read and sealed at a time. A backup needs a few times this memory."""
MAX_LOCAL_BYTES: Final = 256 * 1024
"""The longest device-local value that is kept. A chain of certificates has up to 64 KiB."""

_USERS: Final = "/authentication/"
_KEYS: Final = "/key/"
_NAMESPACES: Final = "/namespace/"
_CONFIG: Final = "/config/"
_AFTER: Final = "\U0010ffff"

_OLDEST_LAYOUT: Final = b"0"
_LAYOUTS: Final = (_OLDEST_LAYOUT, b"1")

_RAW: Final[Mapping[str, Callable[[bytes], object]]] = MappingProxyType(
    {
        settings.NETWORK.name: device_records.decode_raw_network,
        settings.LOGGING.name: device_records.decode_raw_logging,
    }
)
"""Settings that version 0 encodes in another way."""


async def shared_records(store: Readable) -> AsyncIterator[Record]:
    """Yield every record that the devices of an HSM share.

    Namespaces come first, and then only keys in these namespaces: those of a deleted namespace may
    still be there.
    """
    namespaces: set[str] = set()
    async for record in _scan(store, _NAMESPACES):
        namespaces.add(record.path.removeprefix(_NAMESPACES))
        yield record
    for root in (_CONFIG, _USERS):
        async for record in _scan(store, root):
            if not record.path.startswith(_CONFIG + settings.ATTENDED_SLOTS):
                yield record
    async for record in _scan(store, _KEYS):
        folder, slash, _ = record.path.removeprefix(_KEYS).partition("/")
        if not slash or folder.removeprefix(".") in namespaces:
            yield record


async def _scan(store: Readable, root: str) -> AsyncIterator[Record]:
    start = root
    while page := await store.scan(start, root + _AFTER, limit_bytes=SCAN_BYTES):
        for record in page:
            yield record
        start = page[-1].path + "\0"


async def adopt_backup_key(store: KeyValueStore, local: SettingStore, config: SettingStore) -> None:
    """Seal the backup key of a restored version 0 file under the unwrapped domain key."""
    key = await local.get(settings.RESTORED_BACKUP_KEY)
    salt = await local.get(settings.RESTORED_BACKUP_SALT)
    if key is None or salt is None:
        return
    _ = await store.commit(
        [
            config.put(settings.BACKUP_KEY, key),
            config.put(settings.BACKUP_SALT, salt),
            local.remove(settings.RESTORED_BACKUP_KEY),
            local.remove(settings.RESTORED_BACKUP_SALT),
        ]
    )


async def remove_stray_keys(store: KeyValueStore) -> list[NamespaceId]:
    """Remove the keys of namespaces that do not exist. Return the first of these namespaces.

    Otherwise, anyone who creates such a namespace later would get its keys.
    """
    strays: list[NamespaceId] = []
    start, stop = f"{_KEYS}.", f"{_KEYS}/"
    while found := await store.list(start, stop, limit=1):
        folder, slash, _ = found[0].removeprefix(_KEYS).partition("/")
        start = f"{_KEYS}{folder}0" if slash else f"{found[0]}\0"
        namespace = NamespaceId(folder.removeprefix("."))
        if not slash or await store.get(_NAMESPACES + namespace) is not None:
            continue
        _ = await remove_range(store, f"{_KEYS}{folder}/", start)
        if len(strays) < _MOST_IGNORED:
            strays.append(namespace)
    return strays


class RestoredRecords:
    """Sorts the records of one file in the order in which they arrive."""

    def __init__(self, origin: BackupOrigin) -> None:
        self._origin = origin
        self._shared_config: frozenset[str] = frozenset()
        self._local_root = _CONFIG
        if origin.device_id is not None:
            self._local_root = f"/local/{origin.device_id}/config/"
            self._shared_config = frozenset(
                _CONFIG + setting.name for setting in (settings.BACKUP_SALT, settings.BACKUP_KEY)
            )
        self._local: dict[str, bytes] = {}
        self._versions: set[str] = set()
        self._set = RecordSet(
            locked_domain_key=origin.locked_domain_key, device_id=origin.device_id
        )
        self._seal: bytes | None = None
        self.ignored: list[str] = []
        """The first paths that this software does not know."""

    def is_shared(self, path: str, value: bytes) -> bool:
        """Whether to store the record as it is. Raises InvalidInput if the path layout is newer.

        Records of the device that made the file are kept for `setting`. All others are dropped.
        """
        if path == SEAL_PATH:
            self._seal = value
            return False
        self._seal = None  # A seal that is not the last record was kept by other software.
        self._set.add(path, value)
        if path == LAYOUT_PATH:
            _check_layout(value)
        elif _is_in_a_store(path):
            if path.endswith(f"/{format_version.NAME}"):
                self._versions.add(path)
            return True
        elif path in self._shared_config:
            return True
        elif not self._keep_local(path, value) and not path.startswith(_KNOWN_USELESS):
            self._ignore(path)
        return False

    @property
    def is_sealed(self) -> bool:
        """Whether the file ends with a seal over its records. The seal is not checked yet."""
        return self._seal is not None

    @property
    def sealed_set(self) -> SealedSet:
        """The seal with what it is checked against. Raises InvalidInput if there is none."""
        if self._seal is None:
            raise InvalidInput("The backup file has no seal over its records.")
        return SealedSet(self._set.summary(), self._seal)

    def setting(self, setting: Setting[T]) -> T | None:
        """Return a setting of the device that made the file, or None if it cannot be read."""
        raw = self._local.get(setting.name)
        if raw is None:
            return None
        decode: Callable[[bytes], Any] = setting.decode
        if self._origin.device_id is None:
            decode = _RAW.get(setting.name, decode)
        try:
            value: T = decode(raw)
        except ValueError:
            self._ignore(self._local_root + setting.name)
            return None
        return value

    def resealed(self, own: SettingStore, *wanted: Setting[Any]) -> list[Change]:
        """Return the changes that copy these settings, if the file has them, to this device."""
        values = [(setting, self.setting(setting)) for setting in wanted]
        return [own.put(setting, value) for setting, value in values if value is not None]

    def require_complete(self) -> None:
        """Raise InvalidInput if the file lacks a record that every backup has."""
        stores = {root + format_version.NAME for root in (_USERS, _KEYS)}
        if not self._versions >= stores or not self._local.get(settings.UNLOCK_SALT.name):
            raise InvalidInput("The backup file is incomplete.")

    def _keep_local(self, path: str, value: bytes) -> bool:
        """Whether the record is one of the device's settings that can be read."""
        name = path.removeprefix(self._local_root)
        if name not in _LOCAL_NAMES or len(value) > MAX_LOCAL_BYTES:
            return False
        key = self._origin.local_config_key
        if key is not None:
            try:
                value = envelope.unseal(key, path, value)
            except DecryptionFailed:
                return False
        self._local[name] = value
        return True

    def _ignore(self, path: str) -> None:
        if len(self.ignored) < _MOST_IGNORED:
            self.ignored.append(path[:_MOST_SHOWN])


_MOST_IGNORED: Final = 20
_MOST_SHOWN: Final = 200
_KNOWN_USELESS: Final = ("/.initialized", "/domain-key/", "/local/", f"{_CONFIG}unattended-boot")
"""Paths of other devices of a cluster, and records that only their own device key opens."""

_LOCAL_NAMES: Final = frozenset(
    setting.name
    for setting in (
        settings.UNLOCK_SALT,
        settings.UNLOCK_SHARES,
        settings.TLS_CHAIN,
        settings.TLS_KEY,
        settings.TIME_OFFSET,
        settings.NETWORK,
        settings.LOGGING,
        settings.NTP,
        settings.CLUSTER_CA,
        settings.BACKUP_SALT,
        settings.BACKUP_KEY,
    )
)


def _check_layout(value: bytes) -> None:
    if value not in _LAYOUTS:
        raise InvalidInput("The backup file has a newer layout than this software supports.")


def _is_in_a_store(path: str) -> bool:
    return any(
        path.startswith(root) and _names_something(path.removeprefix(root), parse)
        for root, parse in _STORES
    )


def _names_something(name: str, parse: Callable[[str], object]) -> bool:
    if name == format_version.NAME:
        return True
    try:
        parse(name)
    except InvalidInput:
        return False
    return True


def _parse_key_name(name: str) -> None:
    folder, slash, key_id = name.rpartition("/")
    if slash:
        if not folder.startswith("."):
            raise InvalidInput("not the folder of a namespace")
        parse_namespace_id(folder[1:])
    parse_key_id(key_id)


def _parse_namespace_name(name: str) -> None:
    parse_namespace_id(name.removeprefix(".deleted/").removeprefix(".quota/"))


_STORES: Final[tuple[tuple[str, Callable[[str], object]], ...]] = (
    (_USERS, UserId.parse),
    (_KEYS, _parse_key_name),
    (_NAMESPACES, _parse_namespace_name),
)
