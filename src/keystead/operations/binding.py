"""Binds the records of the HSM to a sealed root, so that an older record is never used (ADR 42)."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, NamedTuple

from keystead.errors import CorruptRecord, KeysteadError, StaleRevision, WrongState
from keystead.journal.log import Log
from keystead.model.secret import Secret
from keystead.sealing.domain_key import DOMAIN_KEY_BYTES, StoreLabel, store_key
from keystead.storage.bound_settings import BoundSettings, Judgement
from keystead.storage.conditional import depend_on
from keystead.storage.generations import GenerationStore, NextGeneration
from keystead.storage.key_value_store import MISSING, Change, Check, KeyValueStore, Record
from keystead.storage.local import LocalStore
from keystead.storage.settings import RESTORED_VERSIONS, SettingStore, attended_slot
from keystead.storage.version_pages import hash_of
from keystead.storage.versions import Versions

_TRIES: Final = 100
"""How often a restore is brought into force again because a setting was changed meanwhile."""
_ROOTS_A_SECOND: Final = 2**20
"""More than a store can make."""
_PUT_BACK: Final = "An older record was put back into the store, or a record was removed."


class OpenedRoot(NamedTuple):
    """The versions of the records, and what is to be written before they are changed."""

    versions: Versions
    unwritten: Sequence[Sequence[Change]] = ()
    """The commits that make the root of a store of earlier software."""
    is_restored: bool = False
    """Whether the root is sealed under a key that a restore has made."""


class Binding:
    """Makes and opens the root of the present generation."""

    def __init__(
        self,
        bound_settings: BoundSettings,
        all_generations: KeyValueStore,
        store: GenerationStore,
        local: LocalStore,
        log: Log,
        wall_clock: Callable[[], float],
    ) -> None:
        """`wall_clock` is the machine's clock, in Unix seconds."""
        self._bound = bound_settings.bound
        self._settings = bound_settings
        self._all = all_generations
        self._store = store
        self._local = local
        self._log = log
        self._wall_clock = wall_clock
        self.looking: asyncio.Task[None] | None = None
        """Looks for missing records since the last unlock."""

    def begin(self, domain_key: Secret) -> None:
        """Have the next commit, which provisions, make the first root."""
        self._bound.follow(self._versions(domain_key))
        self._settings.begin()

    def end(self) -> None:
        """Follow no root any more, because another generation is the present one."""
        self._settings.end()
        self._bound.follow(None)

    async def open(self, domain_key: Secret) -> OpenedRoot:
        """Check every record against the root from now on, but for settings of the device.

        Nothing is written before `take_over`. Raises WrongState if the root is missing or is none
        of this HSM's.
        """
        self._settings.end()
        with contextlib.ExitStack() as closing:
            versions = self._versions(domain_key)
            closing.callback(versions.close)
            try:
                root = await self._opened(versions)
            except CorruptRecord as error:
                raise self._refusal(error.message) from None
            await root.versions.load_pages()
            _ = closing.pop_all()
        self._bound.follow(root.versions)
        return root

    async def take_over(self, root: OpenedRoot, domain_key: Secret) -> None:
        """Write the root that was made of a store of earlier software, or of a restored backup."""
        for changes in root.unwritten:
            _ = await self._all.commit(changes)
        if root.unwritten:
            self._log.info("the records are bound to a root from now on")
        own = self._local.settings
        if await own.get(RESTORED_VERSIONS) is not None:
            gone = own.remove(RESTORED_VERSIONS)
            sealed = [root.versions.resealed(_key_of(domain_key))] if root.is_restored else []
            _ = await self._all.commit([*sealed, gone])
        _ = await root.versions.load()

    @property
    def position(self) -> tuple[int, int] | None:
        """The position of the present root, or None while none is followed."""
        return self._bound.position

    async def check_slot(self, config: SettingStore) -> None:
        """Raise WrongState unless the wrapped domain key is the one that was written last.

        It is a record of this device, so the root does not cover it, but `config` has its hash.
        """
        present = hash_of(await self._local.locked_domain_key())
        setting = attended_slot(self._local.device_id)
        wanted = await config.get(setting)
        if wanted is None:  # After a restore, an upgrade, or a change of the device key.
            _ = await self._store.commit([config.put(setting, present)])
        elif wanted != present:
            raise self._refusal("The wrapped domain key is an older one.")

    async def judged_settings(self) -> Judgement:
        """Return whether the device's settings are those that were written last. Log it if not."""
        judgement = await self._settings.judge()
        if judgement.fault:
            self._log.error(
                "the device's settings are not those that were written last", reason=judgement.fault
            )
        return judgement

    async def bind_settings(
        self, judgement: Judgement, versions: Versions, *, is_acknowledged: bool
    ) -> None:
        """Take the device's settings as they were judged, and check them from now on.

        With `is_acknowledged`, the records begin a history of their own: those of the store that
        was given up have a smaller position, however many changes were made there. Raises
        WrongState if a page of the versions does not fit the root.
        """
        if is_acknowledged:
            versions.continue_from(self._new_history())
        try:
            await self._settings.bind(judgement, writes=is_acknowledged)
        except CorruptRecord as error:
            raise self._refusal(error.message) from None
        if judgement.is_new:
            self._log.info("the device's settings are bound to the root from now on")

    def look_for_missing(self, versions: Versions) -> None:
        """Log how many records are missing, as soon as all paths were listed."""
        self.stop()
        self.looking = asyncio.get_running_loop().create_task(self._look(versions))

    def stop(self) -> None:
        """Look no more. The next unlock does it again."""
        if self.looking is not None:
            self.looking.cancel()

    async def _look(self, versions: Versions) -> None:
        depend_on(None)  # This does not depend on the request that unlocks.
        with contextlib.suppress(KeysteadError):  # Locked meanwhile, or the store is out of reach.
            missing = await versions.count_missing(self._all)
            if missing and versions.is_open:
                self._log.error("records are missing from the store", count=str(missing))

    async def present_records(self) -> AsyncGenerator[Record, None]:
        """Yield each record of the present generation, as they are at one moment.

        Raises CorruptRecord if one is older, and at the end if one is missing.
        """
        async with contextlib.aclosing(self._bound.all_records()) as records:
            async for path, entry in records:
                logical = self._store.logical(path)
                if logical is not None:
                    yield Record(logical, entry)

    async def bring_into_force(
        self, following: NextGeneration, changes: Sequence[Change], domain_key: Secret | None
    ) -> None:
        """Switch to the records of a restore with their root, together with `changes`.

        If the domain key is not known before the next unlock, another key seals the root until
        then. Raises what `NextGeneration.bring_into_force` does.
        """
        own = self._local.settings
        if domain_key is not None:
            key, change = _key_of(domain_key), own.remove(RESTORED_VERSIONS)
        else:
            key = Secret(os.urandom(DOMAIN_KEY_BYTES))
            change = own.put(RESTORED_VERSIONS, key)
        await self._bound.load()
        for _ in range(_TRIES):
            carried = await self._settings.carried_to(following.number, changes)
            await following.write(carried.changes)
            versions = Versions(self._all, following.number, key.copy())
            versions.continue_from(self._new_history())
            await _write(following, versions)
            try:
                await following.bring_into_force([*changes, change], checks=carried.checks)
            except StaleRevision:
                if await self._hold(carried.checks):
                    raise
            else:
                key.wipe()
                return
        raise StaleRevision("Settings of the devices change all the time.")

    async def _hold(self, checks: Sequence[Check]) -> bool:
        for check in checks:
            entry = await self._all.get(check.path)
            if (MISSING if entry is None else entry.revision) != check.revision:
                return False
        return True

    def _new_history(self) -> int:
        """Return a number above those of all roots that were made until now.

        If the clock was set back, or that of another member is ahead, it is above those that the
        present root can have by the end of the switch.
        """
        present = 0 if self.position is None else self.position[1] + _ROOTS_A_SECOND
        return max(int(self._wall_clock() * _ROOTS_A_SECOND), present)

    def _versions(self, domain_key: Secret) -> Versions:
        return Versions(self._all, self._store.number, _key_of(domain_key))

    async def _opened(self, versions: Versions) -> OpenedRoot:
        """Return the root under the domain key, of `versions`, or the one of a restore.

        With that one, `versions` are closed.
        """
        slot = await self._local.unbound_slot()
        if slot is not None and not await versions.is_stored():
            *pages, last = [changes async for changes in versions.made()]
            return OpenedRoot(versions, unwritten=[*pages, [*last, *slot]])
        key = await self._local.settings.get(RESTORED_VERSIONS)
        if key is not None:
            restored = Versions(self._all, self._store.number, key)
            with contextlib.suppress(CorruptRecord):  # The root is under the domain key already.
                _ = await restored.load()
                versions.close()
                return OpenedRoot(restored, is_restored=True)
            restored.close()
        _ = await versions.load()
        return OpenedRoot(versions)

    def _refusal(self, reason: str) -> WrongState:
        self._log.error("the store is not the one that was written last", reason=reason)
        return WrongState(f"{_PUT_BACK} {reason} Restore a backup into a new HSM.")


def _key_of(domain_key: Secret) -> Secret:
    return store_key(domain_key, StoreLabel.VERSIONS)


async def _write(following: NextGeneration, versions: Versions) -> None:
    try:
        if await versions.is_stored():  # An earlier try of this restore has made it.
            _ = await versions.load()
        for changes in versions.made_of(following.pages()):
            await following.write(changes)
    finally:
        versions.close()
