"""The turn to change the root, which a device takes when others are quicker again and again.

In a cluster, each commit of any device replaces the root. A device whose connection is slower could
lose against a busy one for ever. So after some lost attempts it writes a record, `/<n>/root-turn`.
While this is there, no other device's commit is made. Safety does not depend on it: the root is
compared by each commit whatever happens to the turn.
"""

import asyncio
import os
from typing import Final

from keystead.errors import StaleRevision
from keystead.storage.key_value_store import MISSING, Change, Check, KeyValueStore

LOST_ATTEMPTS: Final = 2
"""How often a commit is tried without the turn."""
HELD_SECONDS: Final = 2.0
"""How long a turn is respected. Its device may have crashed, or may be cut off."""
_ASK_AGAIN_SECONDS: Final = 0.01
_TOKEN_BYTES: Final = 8


class Turn:
    """The turn of one device in one generation."""

    def __init__(self, store: KeyValueStore, path: str) -> None:
        self._store = store
        self._path = path
        self._mine = MISSING

    def checks(self) -> list[Check]:
        """Return the condition of a commit: nobody else has the turn."""
        return [] if self._is_mine else [Check(self._path, MISSING)]

    def changes(self) -> list[Change]:
        """Return the change that ends a turn of this device with the commit it was taken for."""
        return [Change(self._path, None, self._mine)] if self._is_mine else []

    def is_over(self) -> None:
        """Note that a commit with `changes` was made."""
        self._mine = MISSING

    async def has_refused(self) -> bool:
        """Return whether a turn is why a commit was stale, after waiting for another's to end."""
        found = await self._store.get(self._path)
        if found is not None and found.revision == self._mine:
            return False
        was_mine, self._mine = self._is_mine, MISSING
        if found is not None:
            await self._until_over(found.revision)
        return was_mine or found is not None

    async def take(self) -> None:
        """Take the turn, after waiting for the device that has it."""
        while not self._is_mine:
            change = Change(self._path, os.urandom(_TOKEN_BYTES), MISSING)
            try:
                self._mine = await self._store.commit([change])
            except StaleRevision:
                _ = await self.has_refused()

    async def give_back(self) -> None:
        """End a turn of this device that was taken in vain."""
        mine, self._mine = self._mine, MISSING
        if mine != MISSING:
            await self._remove(mine)

    @property
    def _is_mine(self) -> bool:
        return self._mine != MISSING

    async def _until_over(self, revision: int) -> None:
        for _ in range(round(HELD_SECONDS / _ASK_AGAIN_SECONDS)):
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
            now = await self._store.get(self._path)
            if now is None or now.revision != revision:
                return
        await self._remove(revision)

    async def _remove(self, revision: int) -> None:
        try:
            _ = await self._store.commit([Change(self._path, None, revision)])
        except StaleRevision:
            return
