"""Namespaces, and their deletion with all their keys, which a crash only delays.

A deletion first replaces the namespace's record by a mark, in one commit. From then on no key can
be created in it, because that depends on the record. Then the keys are deleted in batches, which
depend on the absence of the record, and at last the mark. If a crash leaves a mark, the deletion is
finished at the next unlock, or before the namespace is created again.

A captured platform could hide keys from the list by which they are deleted, and show them later to
a new namespace of this name. So the mark goes only when all records of one moment were seen.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from keystead.errors import (
    AlreadyExists,
    Conflict,
    CorruptRecord,
    NotFound,
    SnapshotUnavailable,
    StaleRevision,
    WriteRefused,
)
from keystead.model.ids import NamespaceId
from keystead.model.quota import UNLIMITED, Quota
from keystead.storage import key_paths, records
from keystead.storage.key_value_store import MISSING, Change, Check, KeyValueStore, Record
from keystead.storage.retry import retry_when_stale
from keystead.storage.sealed_records import (
    AFTER_LAST_ID,
    FIRST_ID,
    PageOf,
    SealedRecords,
    remove_range,
)

_MARKS = ".deleted/"
_QUOTAS = ".quota/"
_LEFT = "Keys of an earlier namespace with this name may be hidden in the store."

PresentRecords = Callable[[], AsyncGenerator[Record, None]]
"""Yields each record as it is at one moment. Raises CorruptRecord if one is missing or another."""


class NamespaceStore:
    """All namespaces except the root."""

    def __init__(
        self,
        store: KeyValueStore,
        sealed: SealedRecords,
        present: PresentRecords | None,
        page_of: PageOf,
    ) -> None:
        """`present` of None: lists of the store are trusted."""
        self._store = store
        self._sealed = sealed
        self._present = present
        self._page_of = page_of

    async def exists(self, namespace: NamespaceId) -> bool:
        """Whether the namespace was created and not deleted since."""
        return await self._revision(namespace) != MISSING

    async def is_stored(self, namespace: NamespaceId) -> bool:
        """Whether `list` has the namespace. Raises CorruptRecord if its record is an older one."""
        return await self._sealed.revision(namespace) != MISSING

    async def condition(self, namespace: NamespaceId) -> Check:
        """Return the condition that the namespace, there or not, and its quota do not change."""
        return Check(self._sealed.path(namespace), await self._revision(namespace))

    async def require(self, namespace: NamespaceId) -> Check:
        """Return `condition`. Raises NotFound if the namespace does not exist."""
        condition = await self.condition(namespace)
        if condition.revision == MISSING:
            raise NotFound(f"Namespace {namespace} does not exist.")
        return condition

    async def list(self) -> list[NamespaceId]:
        """Return all namespaces."""
        return [NamespaceId(name) for name in await self._sealed.names()]

    async def create(self, namespace: NamespaceId) -> None:
        """Create a namespace without keys.

        Raises AlreadyExists if it exists, and Conflict if keys of a namespace that was deleted may
        be hidden.
        """
        created = records.encode_namespace(namespace)

        async def attempt() -> None:
            if await self.exists(namespace):
                raise AlreadyExists(f"Namespace {namespace} already exists.")
            mark = await self._sealed.revision(_MARKS + namespace)
            # Keys that are there, for whatever reason, do not belong to the new namespace.
            await self._purge(namespace)
            if mark != MISSING:
                await self._purge_hidden(namespace)
            _ = await self._store.commit(
                [
                    self._sealed.put(namespace, created, expected=MISSING),
                    self._sealed.delete(_MARKS + namespace, expected=mark),
                    self._sealed.delete(_QUOTAS + namespace),
                ]
            )

        await retry_when_stale(attempt)

    async def quota(self, namespace: NamespaceId) -> Quota:
        """Return the namespace's quota. Raises CorruptRecord if it is unreadable."""
        name = _QUOTAS + namespace
        opened = await self._sealed.get(name)
        if opened is None:
            return UNLIMITED
        return records.decode_quota(opened.plaintext, path=self._sealed.path(name))

    async def set_quota(self, namespace: NamespaceId, quota: Quota) -> None:
        """Set the namespace's quota. Raises NotFound if there is no such namespace."""

        async def attempt() -> None:
            condition = await self.require(namespace)
            record = records.encode_namespace(namespace)
            _ = await self._store.commit(
                [
                    self._sealed.put(namespace, record, expected=condition.revision),
                    self._sealed.put(_QUOTAS + namespace, records.encode_quota(quota)),
                ]
            )

        async with self._sealed.changing(namespace):
            await retry_when_stale(attempt)

    async def begin_deletion(self, namespace: NamespaceId) -> None:
        """Delete the namespace's record. Its keys are deleted later.

        Raises NotFound if there is none.
        """

        async def attempt() -> None:
            condition = await self.require(namespace)
            _ = await self._store.commit(
                [
                    self._sealed.delete(namespace, expected=condition.revision),
                    self._sealed.delete(_QUOTAS + namespace),
                    self._sealed.put(_MARKS + namespace, records.encode_namespace(namespace)),
                ]
            )

        await retry_when_stale(attempt)

    async def finish_deletion(self, namespace: NamespaceId) -> str:
        """Delete the keys of a deleted namespace, unless it was created again since.

        Return why some may be left, or "". Those cannot be used: see `create`.
        """
        mark = await self._sealed.revision(_MARKS + namespace)
        if mark == MISSING:
            return ""
        try:
            await self._purge(namespace)
            await self._purge_hidden(namespace)
            _ = await self._store.commit(
                [self._sealed.delete(_MARKS + namespace, expected=mark)],
                checks=[self._is_gone(namespace)],
            )
        except StaleRevision:
            # The namespace was created again, which deletes the old keys first. Or it was deleted
            # again, and that deletion deletes the rest.
            return ""
        except (Conflict, SnapshotUnavailable) as error:
            return error.message
        return ""

    async def finish_deletions(self) -> None:
        """Finish what a crash interrupted, if the store can write now.

        Keys that are left cannot be used: their namespace is gone, and creating it deletes them.
        """
        marks = await self._sealed.names(start=_MARKS + FIRST_ID, stop=_MARKS + AFTER_LAST_ID)
        with suppress(WriteRefused):
            for mark in marks:
                _ = await self.finish_deletion(NamespaceId(mark.removeprefix(_MARKS)))

    async def _revision(self, namespace: NamespaceId) -> int:
        opened = await self._sealed.get(namespace)
        if opened is None:
            return MISSING
        path = self._sealed.path(namespace)
        records.check_namespace(namespace, opened.plaintext, path=path)
        return opened.revision

    async def _purge(self, namespace: NamespaceId) -> None:
        folder = key_paths.ROOT + key_paths.folder(namespace)
        gone = self._is_gone(namespace)
        _ = await remove_range(
            self._store,
            folder + FIRST_ID,
            folder + AFTER_LAST_ID,
            checks=[gone],
            page_of=self._page_of,
        )

    async def _purge_hidden(self, namespace: NamespaceId) -> None:
        """Delete the keys that the store does not list.

        Raises Conflict if a record is missing, and SnapshotUnavailable as the store does.
        """
        if self._present is None:
            return
        folder = key_paths.ROOT + key_paths.folder(namespace)
        first, stop, gone = folder + FIRST_ID, folder + AFTER_LAST_ID, self._is_gone(namespace)
        try:
            async with aclosing(self._present()) as present:
                async for path, _ in present:
                    if first <= path < stop:
                        _ = await self._store.commit([Change(path, None)], checks=[gone])
        except CorruptRecord as error:
            raise Conflict(f"{_LEFT} {error.message}") from None

    def _is_gone(self, namespace: NamespaceId) -> Check:
        return Check(self._sealed.path(namespace), MISSING)
