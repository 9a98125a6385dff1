"""A file on another disk that keeps the last checkpoint of the journal, outside of the store.

The core reads and writes it as a record of the store, at a path of its own. An older copy of the
store has an older journal, so the file tells it from the present one.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from keystead.errors import StartRefused, StoreUnavailable, WriteRefused
from keystead.platform import durable
from keystead.storage.key_value_store import Change, Check, KeyValueStore, StoredValue
from keystead.storage.paths import KNOWN_HEAD
from keystead.storage.wrapped import WrappedStore

T = TypeVar("T")

_MAX_BYTES: Final = 4096
_REVISION: Final = 1
"""Of the record, which is replaced whatever is there."""


class SecondPlace(WrappedStore):
    """A KeyValueStore with one record in a file. All others are in another store."""

    def __init__(self, store: KeyValueStore, path: Path) -> None:
        """Start the thread of the file and read it. Raises StartRefused if that fails."""
        super().__init__(store)
        self._path = path
        # A disk that hangs must not delay the store.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="second place")
        try:
            self._thread.submit(self._read).result()
        except OSError as error:
            raise StartRefused(f"The journal's head {path}: {error.strerror}.") from error

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None.

        Raises StoreUnavailable if the file or the store cannot be read.
        """
        if path != KNOWN_HEAD:
            return await self._store.get(path)
        try:
            content = await self._run(self._read)
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}.") from error
        return None if content is None else StoredValue(content, _REVISION)

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none. That of the file comes alone.

        Raises WriteRefused if the disk refuses the file.
        """
        if not changes or changes[0].path != KNOWN_HEAD:
            return await self._store.commit(changes, checks=checks)
        content = changes[0].value or b""
        try:
            await self._run(lambda: durable.create(self._path, content))
        except OSError as error:
            raise WriteRefused(f"{self._path}: {error.strerror}.") from error
        return _REVISION

    def close(self) -> None:
        """End the thread, without waiting for a disk that hangs."""
        self._thread.shutdown(wait=False)

    def _read(self) -> bytes | None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            return file.read(_MAX_BYTES)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
