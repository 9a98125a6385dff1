"""Lists of stored keys in pages, each of which takes bounded time and memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, cast

from keystead import algorithms
from keystead.algorithms import ShownPublic
from keystead.errors import CorruptRecord
from keystead.model.ids import KeyId, Label, NamespaceId, Tag
from keystead.model.key_selection import EVERY_KEY, KeySelection
from keystead.model.keys import KeyPath, KeyRecord, PrivateMaterial
from keystead.sealing import envelope
from keystead.storage import key_paths, records
from keystead.storage.key_cache import StoredKey
from keystead.storage.key_types import KeyTypes
from keystead.storage.key_value_store import StoredValue
from keystead.storage.public_summaries import PublicSummaries, PublicSummary
from keystead.storage.records import ShownRecord
from keystead.storage.sealed_records import SealedRecords

PAGE_BYTES: Final = 64 * 1024
"""Bytes of records that a list reads at a time. A longer record is read alone."""


SealedPage = Sequence[tuple[KeyPath, StoredValue]]
"""Sealed records that follow each other in a list."""


def may_wait(page: SealedPage) -> bool:
    """Whether a page is short enough to stay in memory while other lists have their turns."""
    return sum([len(entry.value) for _, entry in page]) < 2 * PAGE_BYTES


class ListedKey(NamedTuple):
    """The attributes by which a list selects keys."""

    key_id: KeyId
    tags: frozenset[Tag]
    label: Label


class ShownKey(NamedTuple):
    """All of a key that a list with details shows."""

    key_id: KeyId
    summary: PublicSummary
    was_known: bool
    """Whether it was shown before, and so not opened again."""


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
            ListedKey(
                path.key_id,
                *records.decode_listed(self._opened(path, entry), path=self._name(path)),
            )
            for path, entry in await self.sealed_page(namespace, prefix, after=after)
        ]

    def shown(
        self, page: SealedPage, selection: KeySelection
    ) -> Iterator[tuple[KeyId, ShownKey | None]]:
        """Yield the IDs of a page, each with the key if it is selected, or else None.

        Each key is opened when it is iterated, unless a list has shown this version of it, and
        parsed if its public half is not found otherwise. Raises CorruptRecord in the iteration if a
        key is unreadable.
        """
        return ((path.key_id, self._shown(path, entry, selection)) for path, entry in page)

    def forget(self) -> None:
        """Forget the public halves of the keys that were listed."""
        self._summaries.clear()

    async def sealed_page(
        self, namespace: NamespaceId | None, prefix: str, *, after: KeyId | None
    ) -> SealedPage:
        """Return the sealed records that follow `after`, about PAGE_BYTES of them.

        Empty only at the end.
        """
        if (limits := key_paths.limits(prefix)) is None:
            return []
        folder = key_paths.folder(namespace)
        start, stop = limits
        if after is not None:
            start = max(start, after + "\0")
        found = await self._sealed.scan(folder + start, folder + stop, limit_bytes=PAGE_BYTES)
        return [
            (KeyPath(namespace, cast("KeyId", name[len(folder) :])), entry) for name, entry in found
        ]

    def _shown(self, path: KeyPath, entry: StoredValue, selection: KeySelection) -> ShownKey | None:
        mark = envelope.mark_of(entry.value)
        known = self._summaries.get(path, mark)
        if known is not None:
            has_type = selection.type_name in ("", known.public.type_name)
            if not has_type or not selection.is_met_by(known.label, known.tags):
                return None
            return ShownKey(path.key_id, known, was_known=True)
        plaintext = self._opened(path, entry)
        record = self._selected(path, plaintext, selection)
        if record is None:
            return None
        public = self._stored_public(path, record.private)
        if public is None:
            whole = records.decode_key(plaintext, path=self._name(path))
            public = _shown_public(self._parsed(path, whole, entry.revision))
        summary = PublicSummary.of(record, public)
        self._summaries.put(path, mark, summary)
        return ShownKey(path.key_id, summary, was_known=False)

    def _selected(
        self, path: KeyPath, plaintext: bytes, selection: KeySelection
    ) -> ShownRecord | None:
        """Return what a list shows of a record if it is selected. The key is not parsed."""
        name = self._name(path)
        if selection != EVERY_KEY:
            tags, label = records.decode_listed(plaintext, path=name)
            if not selection.is_met_by(label, tags):
                return None
        record = records.decode_shown(plaintext, path=name)
        if selection.type_name and self._type_of(path, record.private) != selection.type_name:
            return None
        return record

    def _stored_public(self, path: KeyPath, private: PrivateMaterial) -> ShownPublic | None:
        """Return the public half of a key if it is found without parsing the key."""
        if private.public is not None:
            return algorithms.stored_half(self._type_of(path, private), private.public)
        return None if private.pem is None else algorithms.stored_point(private.pem)

    def _type_of(self, path: KeyPath, private: PrivateMaterial) -> str:
        try:
            return self._types.of(private)
        except CorruptRecord:
            raise records.corrupt(self._name(path)) from None

    def _opened(self, path: KeyPath, entry: StoredValue) -> bytes:
        return self._sealed.open(key_paths.name_of(path), entry.value)

    def _name(self, path: KeyPath) -> str:
        return self._sealed.path(key_paths.name_of(path))


def _shown_public(key: StoredKey) -> ShownPublic:
    half = key.public_half(None)
    parts = half.public()
    return ShownPublic(key.algorithm.name, parts, None if parts is None else half.public_pem())
