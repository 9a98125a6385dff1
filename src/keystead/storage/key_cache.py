"""A cache of decrypted, parsed keys: the most recently used, up to a number and a size."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Final

from keystead import algorithms
from keystead.model.ids import KeyId, NamespaceId
from keystead.model.keys import KeyPath, KeyRecord, Permit
from keystead.storage.use_limits import UseLimits

BYTES_A_KEY: Final = 16 * 1024
"""The average memory for each key in the cache. A key without a certificate needs less, even with
RSA-8192."""
_PARSED_BYTES: Final = 4 * 1024
_OBJECT_BYTES: Final = 64
"""The memory that Python needs for a text or bytes besides the content."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is in the store. Its private key is released only to the holder of a permit.

    `record.operations` is the stored count. `KeyStore.operations` adds the pending uses.
    """

    path: KeyPath
    record: KeyRecord = field(repr=False)
    revision: int
    _private: algorithms.PrivateKey = field(repr=False)
    limits: UseLimits | None = None
    """What remains of the limits in its policy, if that has any."""
    algorithm: algorithms.Algorithm = field(init=False, repr=False)
    """The row of the key's type in the algorithm table."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "algorithm", self._private.algorithm)

    @property
    def has_public_half(self) -> bool:
        """Whether anyone may know a part of the key."""
        return self._private.public() is not None

    def public_half(self, derivation: str | None) -> algorithms.PublicHalf:
        """Return the public half, or that of the key at a path below this one.

        Raises InvalidInput if there is no such key.
        """
        return self._private if derivation is None else self._private.child(derivation)

    def release(self, permit: Permit) -> algorithms.PrivateKey:
        """Return the private key. Raises ValueError if the permit is for another key."""
        if permit.path != self.path:
            raise ValueError("the permit is for another key")
        return self._private

    def with_record(
        self, record: KeyRecord, revision: int, limits: UseLimits | None = None
    ) -> "StoredKey":
        """Return the same private key with a newer record and its limits."""
        return replace(self, record=record, revision=revision, limits=limits)

    @property
    def weight(self) -> int:
        """About how many bytes of memory the key takes, with everything in its record."""
        return _PARSED_BYTES + sum(len(one) + _OBJECT_BYTES for one in self.record.contents())


Path = tuple[NamespaceId | None, KeyId]
"""A KeyPath, or a plain tuple that equals it. Python makes the latter in a tenth of the time."""
Load = Callable[[], Coroutine[None, None, StoredKey | None]]


class KeyCache:
    """The cache. The least recently used key is evicted first. Missing keys are not cached.

    Code that changes a record calls `forget` after that, even if the change has failed, because a
    store that raises an error may still have made the change durable. `forget` also covers running
    loads, which may have read the old record: their result goes to their callers and not into the
    cache.
    """

    def __init__(self, size: int) -> None:
        """`size` is the most keys that are kept, in at most BYTES_A_KEY of memory for each."""
        self._size = size
        self._most_bytes = size * BYTES_A_KEY
        self._bytes = 0
        self._keys: OrderedDict[Path, StoredKey] = OrderedDict()
        self._loading: dict[Path, asyncio.Task[StoredKey | None]] = {}

    def get(self, path: Path) -> StoredKey | None:
        """Return a cached key, and mark it as the most recently used."""
        found = self._keys.get(path)
        if found is not None:
            self._keys.move_to_end(path)
        return found

    def peek(self, path: KeyPath) -> StoredKey | None:
        """Return a cached key without marking it as used."""
        return self._keys.get(path)

    def holds(self, key: StoredKey) -> bool:
        """Whether this very object is in the cache. This does not mark it as used."""
        return self._keys.get(key.path) is key

    def has(self, path: KeyPath) -> bool:
        """Whether a key is in the cache. This does not mark it as used."""
        return path in self._keys

    def put(self, key: StoredKey) -> None:
        """Keep a key as it is now in the store, unless it is larger than the whole cache."""
        self.forget(key.path)
        if key.weight > self._most_bytes:
            return
        self._keys[key.path] = key
        self._bytes += key.weight
        while len(self._keys) > self._size or self._bytes > self._most_bytes:
            _, oldest = self._keys.popitem(last=False)
            self._bytes -= oldest.weight

    async def load(self, path: KeyPath, load: Load) -> StoredKey | None:
        """Return and cache the result of `load`. Concurrent loads of a key are shared."""
        task = self._loading.get(path)
        if task is None:
            task = asyncio.create_task(load())
            self._loading[path] = task
            task.add_done_callback(lambda done: self._loaded(path, done))
        # A caller that is cancelled must not cancel the load of the others.
        return await asyncio.shield(task)

    def forget(self, path: Path) -> None:
        """Drop a key."""
        key = self._keys.pop(path, None)
        if key is not None:
            self._bytes -= key.weight
        self._loading.pop(path, None)

    def forget_namespace(self, namespace: NamespaceId) -> None:
        """Drop all keys of a namespace."""
        for path in [*self._keys, *self._loading]:
            if path[0] == namespace:
                self.forget(path)

    def clear(self) -> None:
        """Drop everything."""
        self._keys.clear()
        self._bytes = 0
        self._loading.clear()

    def _loaded(self, path: KeyPath, done: asyncio.Task[StoredKey | None]) -> None:
        # exception() marks the error as seen, in case every caller was cancelled.
        failed = done.cancelled() or done.exception() is not None
        if self._loading.get(path) is not done:
            return
        del self._loading[path]
        key = None if failed else done.result()
        if key is not None:
            self.put(key)
