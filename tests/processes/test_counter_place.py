"""The counter of a TPM as a record of the store."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from keystead.errors import StartRefused, StoreUnavailable, WriteRefused
from keystead.processes.platform.counter_place import CounterPlace, open_counter
from keystead.storage.key_value_store import Change
from keystead.storage.paths import KNOWN_COUNT
from tests.support.memory_store import MemoryStore


class CounterInMemory:
    """A counter that can hang."""

    def __init__(self) -> None:
        self.number = 3
        self.answers = threading.Event()
        self.answers.set()
        self.is_closed = threading.Event()

    def value(self) -> int:
        self.answers.wait(60)
        return self.number

    def increment(self) -> None:
        self.answers.wait(60)
        self.number += 1

    def close(self) -> None:
        self.is_closed.set()


def run(
    counter: CounterInMemory, scenario: Callable[[CounterPlace], Awaitable[None]], patience: float
) -> None:
    async def main() -> None:
        store = CounterPlace(MemoryStore(), counter, patience_seconds=patience)
        try:
            await scenario(store)
        finally:
            counter.answers.set()
            store.close()

    asyncio.run(main())


def test_the_counter_is_a_record_and_everything_else_is_in_the_store() -> None:
    async def scenario(store: CounterPlace) -> None:
        await store.commit([Change(KNOWN_COUNT, b"")])
        found = await store.get(KNOWN_COUNT)
        assert found is not None
        assert found.value == b"4"
        await store.commit([Change("/key/a", b"a")])
        assert await store.list("/", "0", limit=9) == ["/key/a"]
        assert (await store.get("/key/a")) is not None

    counter = CounterInMemory()
    run(counter, scenario, 60)
    assert counter.is_closed.wait(60)


def test_a_counter_that_hangs_is_given_up() -> None:
    async def scenario(store: CounterPlace) -> None:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await store.get(KNOWN_COUNT)
        with pytest.raises(WriteRefused, match="does not answer"):
            await store.commit([Change(KNOWN_COUNT, b"")])
        await store.commit([Change("/key/a", b"a")])

    counter = CounterInMemory()
    counter.answers.clear()
    run(counter, scenario, 0.01)


def test_a_tpm_that_is_missing_ends_the_start() -> None:
    with pytest.raises(StartRefused, match=r"tpm_counter"):
        open_counter("/dev/no-such-tpm")
