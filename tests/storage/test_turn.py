"""The turn to change the root: no device loses for ever, and none is refused without a reason."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from keystead.errors import StaleRevision
from keystead.storage.bound import BoundStore
from keystead.storage.key_value_store import MISSING, Change
from keystead.storage.wrapped import WrappedStore
from tests.support.bound import ROOT, Bound, names, run
from tests.support.stores import WatchedStore


class FarAway(WrappedStore):
    """A store whose commits arrive after those of others, if others can commit."""

    async def commit(self, changes: Any, *, checks: Any = ()) -> int:
        root = await self.get(ROOT)
        for _ in range(500):
            if await self.get(ROOT) != root:
                break
        return await self._store.commit(changes, checks=checks)


class Meanwhile(WrappedStore):
    """A store where something happens after the first commit that it refuses, or one read later."""

    def __init__(
        self, store: WatchedStore, happens: Callable[[], Awaitable[Any]], *, at_once: bool
    ):
        super().__init__(store)
        self._happens: Callable[[], Awaitable[Any]] | None = happens
        self._at_once = at_once
        self._is_refused = False

    async def commit(self, changes: Any, *, checks: Any = ()) -> int:
        try:
            return await self._store.commit(changes, checks=checks)
        except StaleRevision:
            self._is_refused = True
            if self._at_once:
                await self._happen()
            raise

    async def get(self, path: str) -> Any:
        found = await self._store.get(path)
        if self._is_refused:
            await self._happen()
        return found

    async def _happen(self) -> None:
        happens, self._happens = self._happens, None
        if happens is not None:
            await happens()


def test_a_slow_device_is_not_kept_from_writing_by_a_busy_one():
    async def scenario():
        busy = Bound()
        await busy.put("/0/key/a")
        slow = await busy.another()
        done = asyncio.Event()

        async def write_always() -> None:
            number = 0
            while not done.is_set():
                number += 1
                await busy.put(f"/0/user/{number % 50}", value=b"%d" % number)

        busy_task = asyncio.ensure_future(write_always())
        slow.store = BoundStore(FarAway(slow.kept), slow.wrong.append)
        slow.store.follow(slow.versions)
        for number in range(5):
            await slow.put(f"/0/key/{number}")
        done.set()
        await busy_task
        assert await busy.store.list("/0/key/", "/0/key0", limit=9) == [*names(5), "/0/key/a"]
        assert await busy.kept.kept.get("/0/root-turn") is None
        assert busy.wrong == slow.wrong == []

    run(scenario)


def test_a_turn_that_nobody_gives_back_is_taken_away(monkeypatch):
    monkeypatch.setattr("keystead.storage.turn.HELD_SECONDS", 0.1)

    async def scenario():
        first = Bound()
        await first.put("/0/key/a")
        second = await first.another()
        await second.versions.turn.take()
        await first.put("/0/key/a", value=b"second")
        assert await first.kept.kept.get("/0/root-turn") is None
        # The device that has lost its turn notices that by itself.
        await second.put("/0/key/a", value=b"third")
        assert (await first.store.get("/0/key/a")).value == b"third"
        await second.versions.turn.take()
        with pytest.raises(StaleRevision):
            await second.store.commit([Change("/0/key/a", b"fourth", MISSING)])
        assert await first.kept.kept.get("/0/root-turn") is None
        assert first.wrong == second.wrong == []

    run(scenario)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("is_used", [True, False])
def test_a_turn_that_ends_while_a_refused_commit_looks_for_it_refuses_nothing(is_used, at_once):
    async def scenario():
        first = Bound()
        await first.put("/0/key/a")

        async def end_turn() -> None:
            await (first.put("/0/key/b") if is_used else first.versions.turn.give_back())

        second = Bound(Meanwhile(first.kept, end_turn, at_once=at_once))
        await second.versions.load()
        await first.versions.turn.take()
        await second.put("/0/key/c")
        assert (await first.store.get("/0/key/c")).value == b"value"
        assert await first.kept.kept.get("/0/root-turn") is None
        assert first.wrong == second.wrong == []

    run(scenario)
