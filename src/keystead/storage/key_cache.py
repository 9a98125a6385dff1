"""Decrypted, parsed keys: the ones used last, up to a number and a size, each loaded only once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Final

from keystead import algorithms
from keystead.model.ids import NamespaceId
from keystead.model.keys import KeyPath, KeyRecord, Permit

BYTES_A_KEY: Final = 16 * 1024
"""The cache keeps so many bytes for each key that it may keep: a key without a certificate weighs
less, also RSA-8192."""
_PARSED_BYTES: Final = 4 * 1024
_TAG_BYTES: Final = 64
"""What Python adds to the characters of a tag."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the store has it. Its private key works only for the holder of a permit.

    `record.operations` is what is stored; see KeyStore.operations.
    """

    path: KeyPath
    record: KeyRecord = field(repr=False)
    revision: int
    _private: algorithms.PrivateKey = field(repr=False)

    @property
    def algorithm(self) -> algorithms.Algorithm:
        """The row of its key type."""
        return self._private.algorithm

    def public(self) -> algorithms.PublicParts | None:
        """Return the public half as numbers; None if there is none."""
        return self._private.public()

    def public_pem(self) -> bytes:
        """Return the public half as PEM. Raises InvalidInput if there is none."""
        return self._private.public_pem()

    def release(self, permit: Permit) -> algorithms.PrivateKey:
        """Return the key that works. Raises ValueError for the permit of another key."""
        if permit.path != self.path:
            raise ValueError("the permit is for another key")
        return self._private

    def with_record(self, record: KeyRecord, revision: int) -> "StoredKey":
        """Return the same private key with a later record of it."""
        return replace(self, record=record, revision=revision)

    @property
    def weight(self) -> int:
        """About how many bytes of memory it takes, with all that its owner stored beside it."""
        record = self.record
        material = len(record.private.pem or record.private.raw or b"")
        certificate = len(record.certificate.data) if record.certificate else 0
        tags = sum(len(tag) + _TAG_BYTES for tag in record.tags)
        return _PARSED_BYTES + material + certificate + tags


Load = Callable[[], Coroutine[None, None, StoredKey | None]]


class KeyCache:
    """Least recently used goes first. Absences are not kept: they would have no bound.

    Whoever changes a record forgets its key after that, also when the change has failed: a store
    that raises may have made it durable all the same. Forgetting also disowns the
    loads under way, which may have read the old record: they answer their callers, and no more.
    """

    def __init__(self, size: int) -> None:
        """`size` is the greatest number of keys kept, and BYTES_A_KEY for each the most memory."""
        self._size = size
        self._most_bytes = size * BYTES_A_KEY
        self._bytes = 0
        self._keys: OrderedDict[KeyPath, StoredKey] = OrderedDict()
        self._loading: dict[KeyPath, asyncio.Task[StoredKey | None]] = {}

    def get(self, path: KeyPath) -> StoredKey | None:
        """Return a key that is here, and count it as used last."""
        found = self._keys.get(path)
        if found is not None:
            self._keys.move_to_end(path)
        return found

    def holds(self, key: StoredKey) -> bool:
        """Whether this very object is here; that does not count as a use."""
        return self._keys.get(key.path) is key

    def put(self, key: StoredKey) -> None:
        """Keep a key as it is now in the store, unless it alone is over the size."""
        self.forget(key.path)
        if key.weight > self._most_bytes:
            return
        self._keys[key.path] = key
        self._bytes += key.weight
        while len(self._keys) > self._size or self._bytes > self._most_bytes:
            _, oldest = self._keys.popitem(last=False)
            self._bytes -= oldest.weight

    async def load(self, path: KeyPath, load: Load) -> StoredKey | None:
        """Return what `load` returns and keep it; a load of the same key under way is joined."""
        task = self._loading.get(path)
        if task is None:
            task = asyncio.create_task(load())
            self._loading[path] = task
            task.add_done_callback(lambda done: self._loaded(path, done))
        # One caller that gives up must not take the others' load with it.
        return await asyncio.shield(task)

    def forget(self, path: KeyPath) -> None:
        """Drop a key."""
        key = self._keys.pop(path, None)
        if key is not None:
            self._bytes -= key.weight
        self._loading.pop(path, None)

    def forget_namespace(self, namespace: NamespaceId) -> None:
        """Drop all keys of a namespace."""
        for path in [*self._keys, *self._loading]:
            if path.namespace == namespace:
                self.forget(path)

    def clear(self) -> None:
        """Drop everything."""
        self._keys.clear()
        self._bytes = 0
        self._loading.clear()

    def _loaded(self, path: KeyPath, done: asyncio.Task[StoredKey | None]) -> None:
        # Asking for the exception marks it as seen, should every caller have given up.
        failed = done.cancelled() or done.exception() is not None
        if self._loading.get(path) is not done:
            return
        del self._loading[path]
        key = None if failed else done.result()
        if key is not None:
            self.put(key)
