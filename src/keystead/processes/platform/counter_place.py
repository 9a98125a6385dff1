"""The TPM's counter as a record, which tells an older store from the present one.

The core reads it at a path of its own. Each commit to this path raises it by one.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from keystead.deadlines import within
from keystead.errors import KeysteadError, StoreUnavailable, WriteRefused
from keystead.processes.platform.tpm_package import opening_tpm_of
from keystead.storage.key_value_store import Change, Check, KeyValueStore, StoredValue
from keystead.storage.paths import KNOWN_COUNT
from keystead.storage.wrapped import WrappedStore

T = TypeVar("T")

PATIENCE_SECONDS: Final = 30.0
"""The time for the TPM. A slow TPM needs a second, and a hanging one must not block an unlock."""
_REVISION: Final = 1


class Counter(Protocol):
    """A counter that only grows. Its methods raise KeysteadError."""

    def value(self) -> int:
        """Return the value."""
        ...

    def increment(self) -> None:
        """Raise the value by one."""
        ...

    def close(self) -> None:
        """Give up the connection."""
        ...


def open_counter(device: str) -> Counter:
    """Return the counter of the TPM at this device file.

    Raises StartRefused if the TPM or its package is missing, or the TPM refuses it.
    """
    with opening_tpm_of("journal.tpm_counter"):
        from keystead.platform.tpm_counter import TpmCounter  # noqa: PLC0415 - an optional extra

        return TpmCounter(f"device:{device}")


class CounterPlace(WrappedStore):
    """A KeyValueStore with one record in a counter. All others are in another store."""

    def __init__(
        self,
        store: KeyValueStore,
        counter: Counter,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Start the thread of the counter."""
        super().__init__(store)
        self._counter = counter
        self._patience_seconds = patience_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="counter")
        # The thread is there before the sandbox forbids threads.
        self._thread.submit(int).result()

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None.

        Raises StoreUnavailable if the counter or the store cannot be read.
        """
        if path != KNOWN_COUNT:
            return await self._store.get(path)
        try:
            value = await self._run(self._counter.value)
        except (KeysteadError, TimeoutError) as error:
            raise StoreUnavailable(_reason(error)) from error
        return StoredValue(b"%d" % value, _REVISION)

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none. That of the counter comes alone.

        Raises WriteRefused if the TPM refuses it or does not answer in time.
        """
        if not changes or changes[0].path != KNOWN_COUNT:
            return await self._store.commit(changes, checks=checks)
        try:
            await self._run(self._counter.increment)
        except (KeysteadError, TimeoutError) as error:
            raise WriteRefused(_reason(error)) from error
        return _REVISION

    def close(self) -> None:
        """End the thread, without waiting for a TPM that hangs."""
        self._thread.submit(self._counter.close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        return await within(self._patience_seconds, running)


def _reason(error: KeysteadError | TimeoutError) -> str:
    return error.message if isinstance(error, KeysteadError) else "The TPM does not answer."
