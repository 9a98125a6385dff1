"""Lists of stored keys in pages, each of which takes bounded time and memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, cast

from keystead.model.ids import KeyId, Label, NamespaceId, Tag
from keystead.model.key_selection import EVERY_KEY, KeySelection
from keystead.model.keys import KeyPath, KeyRecord
from keystead.storage import key_paths, records
from keystead.storage.key_cache import StoredKey
from keystead.storage.key_types import KeyTypes
from keystead.storage.public_summaries import PublicSummaries, PublicSummary
from keystead.storage.sealed_records import Opened, SealedRecords

PAGE_BYTES: Final = 64 * 1024
"""Bytes of records that a list reads at a time. A longer record is read alone."""


class ListedKey(NamedTuple):
    """The attributes by which a list selects keys."""

    key_id: KeyId
    tags: frozenset[Tag]
    label: Label


class ShownKey(NamedTuple):
    """All of a key that a list with details shows."""

    key_id: KeyId
    record: KeyRecord
    summary: PublicSummary


class KeyLists:
    """The keys of a namespace in byte order of their IDs.

    A listed key does not go into the cache of keys, where a long list would replace the keys that
    are in use.
    """

    def __init__(
        self, sealed: SealedRecords, parsed: Callable[[KeyPath, KeyRecord, int], StoredKey]
    ) -> None:
        """Take what parses the key of a record and its revision, or raises CorruptRecord."""
        self._sealed = sealed
        self._parsed = parsed
        self._summaries = PublicSummaries()
        self._types = KeyTypes()

    async def ids(self, namespace: NamespaceId | None, prefix: str = "") -> list[KeyId]:
        """Return the IDs of a namespace's keys that begin with `prefix`."""
        folder = key_paths.folder(namespace)
        if (limits := key_paths.limits(prefix)) is None:
            return []
        start, stop = limits
        names = await self._sealed.names(start=folder + start, stop=folder + stop, below=folder)
        return cast("list[KeyId]", names)

    async def page(
        self, namespace: NamespaceId | None, prefix: str, *, after: KeyId | None
    ) -> Sequence[ListedKey]:
        """Return the next keys of a list, those that follow `after`. Empty only at the end."""
        return [
            ListedKey(path.key_id, *records.decode_listed(opened.plaintext, path=self._name(path)))
            for path, opened in await self._scan(namespace, prefix, after)
        ]

    async def shown_page(
        self,
        namespace: NamespaceId | None,
        prefix: str,
        *,
        after: KeyId | None,
        selection: KeySelection,
    ) -> Iterator[tuple[KeyId, ShownKey | None]]:
        """Return the IDs of a `page`, each with the key if it is selected, or else None.

        Each key is opened when it is iterated, and parsed if need be. Raises CorruptRecord in the
        iteration if a key is unreadable.
        """
        found = await self._scan(namespace, prefix, after)
        return ((path.key_id, self._shown(path, opened, selection)) for path, opened in found)

    def forget(self) -> None:
        """Forget what is public of the keys that were listed."""
        self._summaries.clear()

    async def _scan(
        self, namespace: NamespaceId | None, prefix: str, after: KeyId | None
    ) -> Iterator[tuple[KeyPath, Opened]]:
        """Return the records that follow `after`, about PAGE_BYTES of them, opened one by one."""
        if (limits := key_paths.limits(prefix)) is None:
            return iter(())
        folder = key_paths.folder(namespace)
        start, stop = limits
        if after is not None:
            start = max(start, after + "\0")
        found = await self._sealed.scan(folder + start, folder + stop, limit_bytes=PAGE_BYTES)
        return (
            (KeyPath(namespace, cast("KeyId", name[len(folder) :])), opened)
            for name, opened in found
        )

    def _shown(self, path: KeyPath, opened: Opened, selection: KeySelection) -> ShownKey | None:
        if selection != EVERY_KEY:
            tags, label = records.decode_listed(opened.plaintext, path=self._name(path))
            if not selection.is_met_by(label, tags):
                return None
        record = records.decode_key(opened.plaintext, path=self._name(path))
        if selection.type_name and self._types.of(record.private) != selection.type_name:
            return None
        return ShownKey(path.key_id, record, self._summary(path, record, opened.revision))

    def _summary(self, path: KeyPath, record: KeyRecord, revision: int) -> PublicSummary:
        summary = self._summaries.get(path, revision)
        if summary is None:
            summary = PublicSummary.of(self._parsed(path, record, revision))
            self._summaries.put(path, revision, summary)
        return summary

    def _name(self, path: KeyPath) -> str:
        return self._sealed.path(key_paths.name_of(path))
