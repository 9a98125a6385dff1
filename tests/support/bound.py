"""Stores whose records are bound to a root, as processes on one store have them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from keystead.model.secret import Secret
from keystead.storage.bound import BoundStore
from keystead.storage.key_value_store import Change
from keystead.storage.versions import Versions
from tests.support.stores import WatchedStore

KEY = bytes(range(32))
ROOT = "/0/root"


class Bound:
    """A bound store on a store that can be watched, and the records that it found wrong."""

    def __init__(self, kept: Any = None) -> None:
        self.kept = kept or WatchedStore()
        self.wrong: list[str] = []
        self.versions = Versions(self.kept, 0, Secret(bytes(bytearray(KEY))))
        self.store = BoundStore(self.kept, self.wrong.append)
        self.store.follow(self.versions)

    async def put(self, *paths: str, value: bytes = b"value") -> int:
        return await self.store.commit([Change(path, value) for path in paths])

    async def another(self) -> "Bound":
        """Return the store of another process, which has read the root."""
        other = Bound(self.kept)
        await other.versions.load()
        return other


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))


def names(number: int) -> list[str]:
    return [f"/0/key/{index}" for index in range(number)]
