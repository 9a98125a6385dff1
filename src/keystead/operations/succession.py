"""One set of records after another: who fills the next one, and who sweeps up after that."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from keystead.errors import Conflict, InvalidInput, KeysteadError, WrongState
from keystead.journal.log import Log
from keystead.model.secret import Secret
from keystead.sealing.domain_key import fingerprint
from keystead.storage.conditional import depend_on
from keystead.storage.generations import GenerationStore, NextGeneration
from keystead.storage.settings import RESTORED_SEAL, SEALS_BACKUPS, SettingStore


class Succession:
    """Lends the next generation to one restore at a time; sweeps away what is left of any."""

    def __init__(self, store: GenerationStore, log: Log) -> None:
        self._store = store
        self._log = log
        self._makes_way: Callable[[], bool] | None = None
        """Has the restore that the next generation is lent to give it up, if it must; None: none.
        """
        self._alone = asyncio.Lock()
        self._sweeping: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def next_generation(self, makes_way: Callable[[], bool]) -> AsyncIterator[NextGeneration]:
        """Lend the next generation, empty; what is not brought into force is swept away after.

        `makes_way` is asked when another wants it: whether this one gives it up, soon then.
        Conflict while it is lent to one that does not.
        """
        if self._makes_way is not None and not self._makes_way():
            raise Conflict("Another restore is under way.")
        self._makes_way = makes_way
        try:
            async with self._alone:
                yield await self._store.begin_next()
        finally:
            if self._makes_way is makes_way:
                self._makes_way = None
            self.sweep_soon()

    def sweep_soon(self) -> None:
        """Remove leftovers in the background, in commits that leave room for others."""
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    def stop(self) -> None:
        """Leave the rest to the next start."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def _sweep(self) -> None:
        depend_on(None)  # Whichever request was the occasion for it.
        try:
            async with self._alone:
                await self._store.sweep()
        except KeysteadError as error:
            # They are in nobody's way; the next start or restore tries again.
            self._log.warning("cannot delete what a restore left over", reason=error.message)


async def require_intact(
    store: GenerationStore, local: SettingStore, domain_key: Secret, log: Log
) -> None:
    """Check the seal of the backup that was restored last, now that its domain key is open.

    Raises WrongState when its records are not those that it was sealed with: the HSM stays Locked.
    """
    restored = await local.get(RESTORED_SEAL)
    if restored is None:
        return
    try:
        restored.require_intact(domain_key)
    except InvalidInput as error:
        # The log has no `exception`, and this has nothing to trace.
        log.error("the restored backup is not intact", reason=error.message)  # noqa: TRY400
        raise WrongState(f"{error.message} Restore another one into a new HSM.") from None
    mark = local.put(SEALS_BACKUPS, fingerprint(domain_key))
    _ = await store.commit([local.remove(RESTORED_SEAL), mark])
