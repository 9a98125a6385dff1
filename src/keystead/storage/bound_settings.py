"""The settings of this device are the present ones: an older one that was put back is refused.

They are read before unlock, and belong to no generation. So each commit that changes some of them
also writes one record of the generation, which the root covers (`storage/bound`):

    /<generation>/device/<device id>    for each setting, the hash of its sealed value

It needs no seal: it tells no more than the names and the sealed values do.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from keystead.errors import CorruptRecord, StaleRevision
from keystead.storage.bound import BoundStore
from keystead.storage.key_value_store import MISSING, Change, Check, KeyValueStore, StoredValue
from keystead.storage.paths import LOCAL, SETTINGS, list_paths
from keystead.storage.settings import ATTENDED_SLOTS, RESTORED_VERSIONS
from keystead.storage.version_pages import hash_of
from keystead.storage.wrapped import WrappedStore

_SCAN_BYTES: Final = 256 * 1024
_SLOTS: Final = f"/config/{ATTENDED_SLOTS}"
_AFTER: Final = "\U0010ffff"
_WRONG: Final = "Settings of the device are not those that were written last: {}."
_UNREADABLE: Final = "What is known of the device's settings is not what was written last."

Hashes = Mapping[str, bytes]
"""The hashes of the sealed settings, by their names."""


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hashes: dict[str, bytes]
    version: Literal[1] = 1


class _Known(NamedTuple):
    hashes: Hashes
    revision: int


class Judgement(NamedTuple):
    """What the settings are at unlock."""

    fault: str
    """Which of them are not those that were written last, or ""."""
    hashes: Hashes
    is_new: bool = False
    """Whether nothing is known of them yet."""


class Carried(NamedTuple):
    """The records that another generation begins with, and what they depend on."""

    changes: list[Change]
    checks: list[Check]


class BoundSettings(WrappedStore):
    """A KeyValueStore around a BoundStore. It checks settings from `begin` to `end`."""

    def __init__(
        self,
        bound: BoundStore,
        store: KeyValueStore,
        device: str,
        on_wrong: Callable[[str], None],
        *,
        is_alone: bool = False,
    ) -> None:
        """`store` is the one that `bound` is around. `on_wrong` gets the paths of wrong records.

        `is_alone` says that no other device uses the store.
        """
        super().__init__(bound)
        self.bound: Final = bound
        self._below = store
        self._device = device
        self._folder = f"{LOCAL}{device}/config/"
        self._unbound = self._folder + RESTORED_VERSIONS.name
        self._on_wrong = on_wrong
        self._is_alone = is_alone
        self._has_begun = False
        self._changing: Final = asyncio.Lock()
        """Held by a change: of many at once, each would make all others stale."""

    def begin(self) -> None:
        """Check settings from now on, while the records of a generation are checked."""
        self._has_begun = True

    def end(self) -> None:
        """Check settings no more."""
        self._has_begun = False

    # --- at unlock --------------------------------------------------------------------------

    async def judge(self) -> Judgement:
        """Compare the settings with what is known of them."""
        present = await self._present()
        try:
            known = await self._known()
        except CorruptRecord:
            return Judgement(_UNREADABLE, present)
        if known is None:
            return Judgement("", present, is_new=True)
        names = {*present, *known.hashes}
        wrong = sorted(name for name in names if present.get(name) != known.hashes.get(name))
        fault = _WRONG.format(", ".join(wrong)) if wrong else ""
        return Judgement(fault, known.hashes if not wrong else present)

    async def bind(self, judgement: Judgement, *, writes: bool) -> None:
        """Take the settings that were judged for the present ones, and begin to check them.

        With `writes`, there is a new root in any case. The settings are not read again: the store
        might show others now. What is known of this device under
        earlier device keys is deleted. Raises CorruptRecord if a page of the versions does not fit
        the root.
        """
        changes = await self._of_earlier_keys() if self._is_alone else []
        if judgement.fault or judgement.is_new or writes:
            changes.append(Change(self._path(), _encoded(judgement.hashes)))
        if changes:
            _ = await self.bound.commit(changes)
        self.begin()

    # --- from then on -----------------------------------------------------------------------

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None. Raises CorruptRecord for an older one."""
        entry, revision = await self.bound.get(path), MISSING
        while self._covers(path) and (known := await self._known()) is not None:
            if known.hashes.get(self._name(path)) == (entry and hash_of(entry.value)):
                break
            # A change may be under way. If not, this entry belongs to what is known.
            if known.revision == revision:
                self._on_wrong(path)
                raise CorruptRecord(f"The record {path} is not the one that was written last.")
            entry, revision = await self.bound.get(path), known.revision
        return entry

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none. Raises what the other store does.

        Raises CorruptRecord if what is known of the settings is not what was written last.
        """
        if not any(self._covers(change.path) for change in changes):
            return await self.bound.commit(changes, checks=checks)
        try:
            async with self._changing:
                return await self._commit(changes, checks)
        except CorruptRecord:
            # Another member may have restored a backup. Then the checks do not hold.
            _ = await self._below.commit([], checks=checks)
            raise

    async def _commit(self, changes: Sequence[Change], checks: Sequence[Check]) -> int:
        while True:
            path, known = self._path(), await self._known()
            revision = MISSING if known is None else known.revision
            following = Change(path, await self._after(known, changes), revision)
            try:
                return await self.bound.commit([*changes, following], checks=checks)
            except StaleRevision:
                now = await self._below.get(path)
                if now is None or now.revision == revision:
                    raise
                # Another change of settings came first. It is made, so they all come to an end.

    async def carried_to(self, generation: int, changes: Sequence[Change]) -> Carried:
        """Return what another generation has to know of all devices' settings, after `changes`.

        The switch to that generation must depend on the checks: otherwise a device may have
        changed a setting meanwhile.
        """
        path = _path_of(generation, self._device)
        if self.bound.generation is None:
            return Carried([Change(path, await self._after(None, changes))], [])
        # The own record is asked for by name: a list would just lack one that was removed.
        known = await self._known()
        own = Change(path, await self._after(known, changes))
        check = Check(self._path(), MISSING if known is None else known.revision)
        carried = Carried([own], [check])
        folder = _path_of(self.bound.generation, "")
        for path in await list_paths(self.bound, folder, f"{folder[:-1]}0"):
            device = path.removeprefix(folder)
            entry = None if device == self._device else await self.bound.get(path)
            if entry is not None:
                carried.changes.append(Change(_path_of(generation, device), entry.value))
                carried.checks.append(Check(path, entry.revision))
        return carried

    # --- inside -----------------------------------------------------------------------------

    def _covers(self, path: str) -> bool:
        is_setting = path.startswith(self._folder) and path != self._unbound
        return is_setting and self._has_begun and self.bound.generation is not None

    def _name(self, path: str) -> str:
        return path.removeprefix(self._folder)

    def _path(self) -> str:
        return _path_of(self._generation, self._device)

    @property
    def _generation(self) -> int:
        return self.bound.generation or 0

    async def _of_earlier_keys(self) -> list[Change]:
        changes: list[Change] = []
        for folder in (_path_of(self._generation, ""), f"/{self._generation}{_SLOTS}"):
            paths = await list_paths(self._below, folder, folder + _AFTER)
            changes += [Change(path, None) for path in paths if path != folder + self._device]
        return changes

    async def _known(self) -> _Known | None:
        entry = await self.bound.get(self._path())
        return None if entry is None else _decoded(entry)

    async def _present(self) -> Hashes:
        """Return the hashes of the settings in the store, whether or not they are the last ones."""
        hashes: dict[str, bytes] = {}
        start, stop = self._folder, f"{self._folder[:-1]}0"
        while found := await self._below.scan(start, stop, limit_bytes=_SCAN_BYTES):
            hashes |= {self._name(path): hash_of(entry.value) for path, entry in found}
            start = found[-1].path + "\0"
        _ = hashes.pop(RESTORED_VERSIONS.name, None)
        return hashes

    async def _after(self, known: _Known | None, changes: Sequence[Change]) -> bytes:
        hashes = dict(await self._present() if known is None else known.hashes)
        for path, value in ((change.path, change.value) for change in changes):
            if path.startswith(self._folder) and path != self._unbound:
                _ = hashes.pop(self._name(path), None)
                if value is not None:
                    hashes[self._name(path)] = hash_of(value)
        return _encoded(hashes)


def _path_of(generation: int, device: str) -> str:
    return f"/{generation}{SETTINGS}{device}"


def _encoded(hashes: Hashes) -> bytes:
    return msgspec.msgpack.encode(_Stored(dict(sorted(hashes.items()))))


def _decoded(entry: StoredValue) -> _Known:
    try:
        stored = msgspec.msgpack.decode(entry.value, type=_Stored)
    except msgspec.MsgspecError:
        raise CorruptRecord("The hashes of the device's settings cannot be read.") from None
    return _Known(stored.hashes, entry.revision)
