"""One set of records after another: who fills the next one, and who sweeps up after that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from keystead.errors import Conflict, KeysteadError
from keystead.journal.log import Log
from keystead.storage.conditional import depend_on
from keystead.storage.generations import GenerationStore, NextGeneration


class Succession:
    """Lends the next generation to one restore at a time; sweeps away what is left of any."""

    def __init__(self, store: GenerationStore, log: Log) -> None:
        self._store = store
        self._log = log
        self._is_lent = False
        self._alone = asyncio.Lock()
        self._sweeping: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def next_generation(self) -> AsyncIterator[NextGeneration]:
        """Lend the next generation, empty; what is not brought into force is swept away after.

        Conflict while it is lent to someone else.
        """
        if self._is_lent:
            raise Conflict("Another restore is under way.")
        self._is_lent = True
        try:
            async with self._alone:
                yield await self._store.begin_next()
        finally:
            self._is_lent = False
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
            self._log.warning("leftovers of a restore are still there", reason=error.message)
