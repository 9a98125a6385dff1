"""The change from one generation of records to the next, and the removal of old records."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from keystead.errors import Conflict, InvalidInput, KeysteadError, WrongState
from keystead.journal.log import Log
from keystead.model.secret import Secret
from keystead.sealing.domain_key import fingerprint
from keystead.storage.conditional import depend_on
from keystead.storage.generations import GenerationStore, NextGeneration
from keystead.storage.key_value_store import Change
from keystead.storage.settings import RESTORED_SEAL, SEALS_BACKUPS, SettingStore


class Succession:
    """Lends the next generation to one restore at a time, and deletes what restores leave over."""

    def __init__(self, store: GenerationStore, log: Log) -> None:
        self._store = store
        self._log = log
        self._makes_way: Callable[[], bool] | None = None
        """Asks the running restore to give up the generation. None if there is none."""
        self._alone = asyncio.Lock()
        self._sweeping: asyncio.Task[None] | None = None
        self._last: NextGeneration | None = None

    @asynccontextmanager
    async def next_generation(self, makes_way: Callable[[], bool]) -> AsyncIterator[NextGeneration]:
        """Lend the next generation, empty. It is deleted later unless it became the current one.

        `makes_way` is called when another restore wants the generation. It returns whether this
        restore gives it up soon. Raises Conflict while a restore has it that does not give it up.
        """
        if self._makes_way is not None and not self._makes_way():
            raise Conflict("Another restore is under way.")
        self._makes_way = makes_way
        try:
            async with self._alone:
                self._last = await self._store.begin_next()
                yield self._last
        finally:
            if self._makes_way is makes_way:
                self._makes_way = None
            self._soon(self._sweep_own)

    def sweep_soon(self) -> None:
        """Delete leftovers in the background, in small commits."""
        self._soon(self._store.sweep)

    def _soon(self, sweep: Callable[[], Awaitable[None]]) -> None:
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep(sweep))

    def stop(self) -> None:
        """Stop deleting. The next start continues."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def _sweep_own(self) -> None:
        """Delete what the last restore has left. One that runs on another member goes on."""
        if self._last is not None:
            await self._last.give_up()
        await self._store.sweep_unclaimed()

    async def _sweep(self, sweep: Callable[[], Awaitable[None]]) -> None:
        depend_on(None)  # This does not depend on the request that started it.
        try:
            async with self._alone:
                await sweep()
        except KeysteadError as error:
            # They do no harm. The next start or restore tries again.
            self._log.warning("cannot delete what a restore left over", reason=error.message)


async def require_intact(local: SettingStore, domain_key: Secret, log: Log) -> list[Change]:
    """Check the seal of the last restored backup, which needs the unwrapped domain key.

    Return the changes after which it is checked no more.

    Raises WrongState if the records are not those that were sealed. The HSM stays Locked then.
    """
    restored = await local.get(RESTORED_SEAL)
    if restored is None:
        return []
    try:
        restored.require_intact(domain_key)
    except InvalidInput as error:
        # The log has no `exception`, and this has nothing to trace.
        log.error("the restored backup is not intact", reason=error.message)  # noqa: TRY400
        raise WrongState(f"{error.message} Restore another one into a new HSM.") from None
    mark = local.put(SEALS_BACKUPS, fingerprint(domain_key))
    return [local.remove(RESTORED_SEAL), mark]
