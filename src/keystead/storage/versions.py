"""Which version of each record is the present one, in a tree of hashes with a sealed root.

    /<generation>/root          a number that grows, and the hash of each page, sealed
    /<generation>/root/<page>   for each record of the page: the hash of its path, that of its value

A record belongs to the page that the hash of its path says. So an older version of a record, of a
page, or of both does not fit the root, and neither does a record that was deleted and put back.
Pages need no seal: they tell no more than paths and sealed values do.
"""

import struct
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Final

import msgspec

from keystead.errors import CorruptRecord, DecryptionFailed, WrongState
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.storage.key_value_store import (
    MISSING,
    Change,
    KeyValueStore,
    Readable,
    Snapshot,
)
from keystead.storage.paths import VERSIONS
from keystead.storage.turn import Turn
from keystead.storage.version_pages import (
    HASH_BYTES,
    NO_PAGE,
    PAGES,
    ROW_BYTES,
    WrittenPages,
    find,
    hash_of,
    hash_of_page,
    page_of,
    replaced,
)

_ROOT: Final = struct.Struct(f">Q{PAGES * HASH_BYTES}s")
"""A commit writes the root, of 8 KiB, and a page, of 6 KiB for each 100,000 records."""
_LISTED: Final = 200
"""Paths that are looked up at a time: about two milliseconds."""
_SCAN_BYTES: Final = 256 * 1024
_BATCH_BYTES: Final = 256 * 1024
_AFTER: Final = "\U0010ffff"


class Following(msgspec.Struct, frozen=True):
    """The root and the pages after a commit, and the changes that write them in it."""

    number: int
    hashes: bytes
    pages: Mapping[int, bytes]
    changes: Sequence[Change]


class Versions:
    """The versions of the records of one generation. Calls that write must not overlap."""

    def __init__(self, store: KeyValueStore, generation: int, key: Secret) -> None:
        """`store` holds all generations. `key` has 32 bytes and seals the root."""
        self._store: Readable = store
        self._key: Secret | None = key
        self._generation = generation
        self.folder: Final = f"/{generation}/"
        self._path = f"/{generation}{VERSIONS}"
        self.turn: Final = Turn(store, f"{self._path}-turn")
        self._revision = MISSING
        self._number = 0
        self._least = 0
        self._hashes = NO_PAGE * PAGES
        self._pages: dict[int, bytes] = {}

    def copied(self) -> "Versions":
        """Return the same versions with a key of their own. Call `look_into` before use."""
        seen = copy(self)
        seen._key, seen._revision = self._require_key().copy(), MISSING  # noqa: SLF001
        seen._pages = dict(self._pages)  # noqa: SLF001
        return seen

    async def look_into(self, snapshot: Snapshot) -> None:
        """Be the versions of the records in a snapshot, which was made after the copy.

        They are for reading. Raises CorruptRecord if the root is missing there, or older.
        """
        self._store = snapshot
        _ = await self.load()

    @property
    def is_open(self) -> bool:
        """Whether the key is still known."""
        return self._key is not None

    def close(self) -> None:
        """Wipe the key, and forget the pages. Later writes raise WrongState."""
        if self._key is not None:
            self._key.wipe()
        self._key = None
        self._pages.clear()

    def covers(self, path: str) -> bool:
        """Return whether a path is that of a record of this generation."""
        return path.startswith(self.folder) and not path.startswith(self._path)

    def page_of(self, path: str) -> int:
        """Return the number of the page that a record has. `path` is without the generation."""
        return page_of(hash_of(f"/{self._generation}{path}".encode()))

    # --- reading ----------------------------------------------------------------------------

    @property
    def position(self) -> tuple[int, int]:
        """The numbers of the generation and of its root. Each later root has a greater position."""
        return self._generation, self._number

    @property
    def is_first(self) -> bool:
        """Whether the first root is still to be made."""
        return self._number == 0

    async def is_stored(self) -> bool:
        """Return whether there is a root, whatever it is."""
        return await self._store.get(self._path) is not None

    async def load(self) -> bool:
        """Read the root. Return whether it is another one than before.

        Raises CorruptRecord if it is missing, older than before, or sealed under another key.
        """
        entry = await self._store.get(self._path)
        if entry is None:
            raise CorruptRecord("The root of the records is missing.")
        if entry.revision == self._revision:
            return False
        number, hashes = self._opened(entry.value)
        if number < self._number:
            raise CorruptRecord("The root of the records is an older one.")
        self._number, self._hashes, self._revision = number, hashes, entry.revision
        self._pages = {
            index: page
            for index, page in self._pages.items()
            if hash_of_page(page) == self._hash(index)
        }
        return True

    async def load_pages(self) -> None:
        """Read all pages that fit the root, so that later reads of records wait for none."""
        indexes = {self._page_path(index): index for index in range(PAGES)}
        start = f"{self._path}/"
        while found := await self._store.scan(
            start, f"{self._path}/{_AFTER}", limit_bytes=_SCAN_BYTES
        ):
            for path, entry in found:
                index = indexes.get(path)
                if index is not None and hash_of_page(entry.value) == self._hash(index):
                    self._pages[index] = entry.value
            start = found[-1].path + "\0"

    def _opened(self, sealed: bytes) -> tuple[int, bytes]:
        try:
            content = envelope.unseal_any(self._require_key(), self._path, sealed)
            number, hashes = _ROOT.unpack(content)
        except (DecryptionFailed, struct.error):
            raise CorruptRecord("The root of the records does not open.") from None
        return number, hashes

    async def is_present(self, path: str, value: bytes | None) -> bool:
        """Return whether this is the present version of a record. None stands for no record."""
        known = await self._known(path)
        return known == (None if value is None else hash_of(value))

    async def is_known(self, path: str) -> bool:
        """Return whether there is a record at this path."""
        return bool(await self._known(path))

    async def _known(self, path: str) -> bytes | None:
        """Return the hash of the value at `path`, None without one, or b"" if that is in doubt."""
        name = hash_of(path.encode())
        page = await self._page(page_of(name))
        if page is None:
            return b""
        at = find(page, name)
        return None if at is None else page[at + HASH_BYTES : at + ROW_BYTES]

    async def _page(self, index: int) -> bytes | None:
        """Return a page, or None if the stored one does not fit the root."""
        page = self._pages.get(index)
        if page is not None:
            return page
        wanted = self._hash(index)
        entry = None if wanted == NO_PAGE else await self._store.get(self._page_path(index))
        page = b"" if entry is None else entry.value
        if wanted != self._hash(index) or wanted != hash_of_page(page):
            return None
        self._pages[index] = page
        return page

    @property
    def page_bytes(self) -> int:
        """The bytes of a page that a commit writes for each of its records, on average."""
        return sum(map(len, self._pages.values())) // PAGES

    async def count(self) -> int:
        """Return how many records there are. Raises CorruptRecord if a page does not fit."""
        await self.load_pages()
        return sum([len(await self._require_page(index)) // ROW_BYTES for index in range(PAGES)])

    async def count_missing(self, store: KeyValueStore) -> int:
        """Return how many records are missing from the store.

        Those of a page that is changed meanwhile are left out. Raises CorruptRecord if the root
        does not open.
        """
        before, counts = self._hashes, [0] * PAGES
        start, last = self.folder, ""
        while found := await store.list(start, self.folder + _AFTER, limit=_LISTED):
            for path in filter(self.covers, found):
                # A path that is listed twice stands for no other one.
                if path > last and await self.is_known(path):
                    counts[page_of(hash_of(path.encode()))] += 1
                last = max(path, last)
            start = found[-1] + "\0"
        _ = await self.load()
        missing = 0
        for index, count in enumerate(counts):
            at = slice(index * HASH_BYTES, (index + 1) * HASH_BYTES)
            page = self._pages.get(index, b"")
            if before[at] == self._hashes[at]:
                missing += max(0, len(page) // ROW_BYTES - count)
        return missing

    # --- writing ----------------------------------------------------------------------------

    async def after(self, changes: Iterable[Change]) -> Following:
        """Return the versions after a commit of `changes`.

        Raises CorruptRecord if a page of theirs does not fit the root.
        """
        pages: dict[int, bytes] = {}
        for change in changes:
            if self.covers(change.path):
                name = hash_of(change.path.encode())
                index = page_of(name)
                page = pages.get(index, self._pages.get(index))
                if page is None:
                    page = await self._require_page(index)
                pages[index] = replaced(page, name, change.value)
        return self._following(pages)

    async def _require_page(self, index: int) -> bytes:
        page = await self._page(index)
        if page is None:
            raise CorruptRecord(f"The record {self._page_path(index)} does not fit the root.")
        return page

    def _following(self, pages: Mapping[int, bytes]) -> Following:
        hashes = bytearray(self._hashes)
        for index, page in pages.items():
            hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES] = hash_of_page(page)
        changes = [Change(self._page_path(index), page or None) for index, page in pages.items()]
        number = max(self._number + 1, self._least)
        root = self._root(self._require_key(), number, hashes)
        return Following(number, bytes(hashes), pages, [*changes, root])

    def continue_from(self, least: int) -> None:
        """Have the next root's number be at least this, above all that other histories have."""
        self._least = least

    def take(self, following: Following, revision: int) -> None:
        """Follow a commit that was made."""
        self._number, self._hashes = following.number, following.hashes
        self._revision = revision
        if self.is_open:
            self._pages.update(following.pages)

    def resealed(self, key: Secret) -> Change:
        """Return the change that seals the root under another key, which is used from now on."""
        if self._key is not None:
            self._key.wipe()
        self._key = key
        return self._root(key, self._number, self._hashes)

    async def made(self) -> AsyncIterator[Sequence[Change]]:
        """Yield, for a commit each, the changes that write the versions of the records there are.

        It takes the store's word for which records there are. See `made_of` for the rest.
        """
        written = WrittenPages()
        start = self.folder
        while found := await self._store.scan(start, self.folder + _AFTER, limit_bytes=_SCAN_BYTES):
            for path, entry in found:
                if self.covers(path):
                    written.note(path, entry.value)
            start = found[-1].path + "\0"
        for changes in self.made_of(written.pages()):
            yield changes

    def made_of(self, pages: Mapping[int, bytes]) -> Iterator[Sequence[Change]]:
        """Yield, for a commit each, the changes that write these pages and their root.

        The last of these changes is that of the root. These versions are known from the first on.
        """
        following = self._following(pages)
        self.take(following, self._revision)
        batch: list[Change] = []
        size = 0
        for change in following.changes:
            batch.append(change)
            size += len(change.value or b"")
            if size >= _BATCH_BYTES or change.path == self._path:
                yield batch
                batch, size = [], 0

    # --- inside -----------------------------------------------------------------------------

    def _root(self, key: Secret, number: int, hashes: bytes | bytearray) -> Change:
        content = _ROOT.pack(number, hashes)
        return Change(self._path, envelope.seal_extended(key, self._path, content), self._revision)

    def _hash(self, index: int) -> bytes:
        return self._hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]

    def _page_path(self, index: int) -> str:
        return f"{self._path}/{index:03}"

    def _require_key(self) -> Secret:
        if self._key is None:
            raise WrongState("The HSM was locked in the meantime.")
        return self._key
