"""The store of a cluster: records in etcd, which a majority of its members has on disk.

Reads are linearizable: they see every commit that any member has acknowledged before. Records have
`/store` before their paths, so that nothing else in etcd is in their ranges.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from keystead.errors import SnapshotUnavailable, StoreUnavailable, WriteRefused
from keystead.etcd import calls
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import AnswerTooLarge, EtcdRefused, EtcdUnavailable
from keystead.etcd.messages import KeyValue, RangeRequest, RangeResponse
from keystead.storage.backends.etcd_writer import PATIENCE_SECONDS, EtcdJob, EtcdWriter
from keystead.storage.key_value_store import Change, Check, Record, Snapshot, StoredValue

ROOT: Final = "/store"

MAX_PENDING: Final = 1024
"""The most commits that may be queued or running. More of them wait for a place."""

_AHEAD_BYTES: Final = 2**20
"""About how much a scan reads at once. For each range etcd counts all of the rest, so pages of the
size that callers want would take a time that grows with the square of their number."""
_AHEAD_SECONDS: Final = 1.0
_MAX_AHEAD: Final = 8
_FIRST_RECORDS: Final = 64
_MAX_RECORDS: Final = 4096
_PAUSE_SECONDS: Final = 0.1
_SMALL_BYTES: Final = 64
"""A record of the store's own has less, such as the number of a commit or a turn."""
_COMPACTED: Final = "required revision has been compacted"


@dataclass(frozen=True, slots=True)
class _Ahead:
    """Records that were read for a scan and not returned yet, and whether they are the last."""

    records: Sequence[Record]
    is_end: bool
    expires: float

    def after(self, page: Sequence[Record]) -> "_Ahead | None":
        """Return what is left after its first records were returned, or None if nothing is."""
        rest = self.records[len(page) :]
        return replace(self, records=rest) if page and (rest or self.is_end) else None


class EtcdStore:
    """A KeyValueStore in etcd. Only one event loop at a time may use it."""

    def __init__(self, client: EtcdClient, *, device: str) -> None:
        """`device` is the name of this device. No other process may write under it meanwhile."""
        self._client = client
        self._writer = EtcdWriter(client, device=device)
        self._places = asyncio.Semaphore(MAX_PENDING)
        self._closed = False
        self._ahead: OrderedDict[tuple[str, str], _Ahead] = OrderedDict()
        self._page_records = _FIRST_RECORDS
        self._commits = 0
        self.is_crowded = False
        """Whether the database is almost full. Then only what deletes records is written, because
        from its quota on etcd would write nothing: each deletion also writes a version."""

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None.

        Raises StoreUnavailable if etcd does not answer, or with more than a record may have.
        """
        return await self.get_at(path)

    async def get_at(self, path: str, revision: int = 0) -> StoredValue | None:
        """Return a record as `get` does, as it was at `revision`."""
        try:
            found = await self._range(RangeRequest(_key(path), revision=revision))
        except AnswerTooLarge as error:
            raise StoreUnavailable(f"A record is too large: {error}") from error
        return _record(found.kvs[0]).entry if found.kvs else None

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order.

        Raises StoreUnavailable if etcd does not answer, or the list is too long for one answer.
        """
        if _key(start) >= _key(stop) or limit < 1:
            return []
        try:
            found = await self._range(RangeRequest(_key(start), _key(stop), limit, keys_only=True))
        except AnswerTooLarge as error:
            raise StoreUnavailable(f"The list of {limit} paths is too long: {error}") from error
        return [_record(one).path for one in found.kvs]

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them.

        A scan that goes on where another has ended may return what was read for that, if it is at
        most a second old and this store has committed nothing since. Raises StoreUnavailable if
        etcd does not answer.
        """
        if _key(start) >= _key(stop):
            return []
        commits = self._commits
        ahead = self._ahead.pop((start, stop), None)
        if ahead is None or ahead.expires < asyncio.get_running_loop().time():
            ahead = await self.read_ahead(start, stop)
        page = _first(ahead.records, limit_bytes)
        rest = ahead.after(page)
        if rest is not None and commits == self._commits:
            self._keep((page[-1].path + "\0", stop), rest)
        return page

    async def snapshot(self) -> Snapshot:
        """Return the records at the present revision.

        Raises StoreUnavailable if etcd does not answer.
        """
        now = await self._range(RangeRequest(_key("/"), count_only=True))
        return _EtcdSnapshot(self, now.header.revision)

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Make all `changes` durable or none. Raises what `KeyValueStore.commit` does.

        A caller that is cancelled does not know whether its changes were made.
        """
        async with self._places:
            if self._closed:
                raise StoreUnavailable("The store is closed.")
            if self.is_crowded and _adds(changes, checks):
                raise WriteRefused(
                    "The cluster's database is almost full: only deletions are made."
                )
            job = EtcdJob(
                [Change(ROOT + change.path, change.value, change.expected) for change in changes],
                [Check(ROOT + check.path, check.revision) for check in checks],
                asyncio.get_running_loop().create_future(),
            )
            self._writer.add(job)
            try:
                return await job.revision
            finally:
                self._commits += 1
                self._ahead.clear()

    async def has_made(self, revision: int) -> bool:
        """Return whether the changes of this revision are of this device, and it knows of them."""
        return await self._writer.has_made(revision)

    async def close(self) -> None:
        """Finish the commits already accepted, then end the connection."""
        self._closed = True
        await self._writer.finish()
        await self._client.close()

    # --- for scans and snapshots -------------------------------------------------------------

    async def read_ahead(self, start: str, stop: str, revision: int = 0) -> _Ahead:
        """Read about _AHEAD_BYTES. How many records that are, earlier pages tell.

        They are as they were at `revision`, or with 0 as they are now.
        """
        expires = asyncio.get_running_loop().time() + _AHEAD_SECONDS
        request = RangeRequest(_key(start), _key(stop), self._page_records, revision)
        try:
            found = await self._range(request)
        except AnswerTooLarge as error:
            if self._page_records == 1:
                raise StoreUnavailable(f"A record is too large: {error}") from error
            self._page_records = max(self._page_records // 4, 1)
            return await self.read_ahead(start, stop, revision)
        records = [_record(one) for one in found.kvs]
        size = sum(_size(one) for one in records)
        if size:
            fitting = _AHEAD_BYTES * len(records) // size
            self._page_records = min(max(fitting, 1), _MAX_RECORDS)
        return _Ahead(records, not found.more, expires)

    # --- inside ----------------------------------------------------------------------------

    def _keep(self, cursor: tuple[str, str], ahead: _Ahead) -> None:
        self._ahead[cursor] = ahead
        while len(self._ahead) > _MAX_AHEAD:
            self._ahead.popitem(last=False)

    async def _range(self, request: RangeRequest) -> RangeResponse:
        """Read, and try again while a new leader is elected. Raises AnswerTooLarge too."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                return await self._client.call(calls.RANGE, request)
            except AnswerTooLarge:
                raise
            except EtcdRefused as error:
                if _COMPACTED in str(error):
                    raise SnapshotUnavailable(
                        "The records of that moment are no longer kept: etcd has forgotten them."
                    ) from error
                raise StoreUnavailable(
                    f"The cluster's store refuses to be read: {error}"
                ) from error
            except EtcdUnavailable as error:
                if self._closed or loop.time() > end:
                    raise StoreUnavailable(f"The cluster cannot be read: {error}") from error
            await asyncio.sleep(_PAUSE_SECONDS)


class _EtcdSnapshot:
    """The records at one revision, until etcd forgets it."""

    def __init__(self, store: EtcdStore, revision: int) -> None:
        self._store = store
        self._revision = revision
        self._cursor = ("", "")
        self._ahead: _Ahead | None = None

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None."""
        return await self._store.get_at(path, self._open_revision)

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them."""
        revision = self._open_revision
        if _key(start) >= _key(stop):
            return []
        ahead = self._ahead if self._cursor == (start, stop) else None
        if ahead is None:
            ahead = await self._store.read_ahead(start, stop, revision)
        page = _first(ahead.records, limit_bytes)
        self._ahead = ahead.after(page)
        self._cursor = (page[-1].path + "\0", stop) if page else ("", "")
        return page

    async def close(self) -> None:
        """Read nothing any more. etcd keeps nothing for a snapshot."""
        self._revision = 0

    @property
    def _open_revision(self) -> int:
        if not self._revision:
            raise SnapshotUnavailable("The snapshot is closed.")
        return self._revision


def _adds(changes: Sequence[Change], checks: Sequence[Check]) -> bool:
    """Whether a commit writes records and deletes none. An empty one asks whether one can write."""
    if any(change.value is None for change in changes):
        return False
    is_question = not changes and not checks
    return is_question or any(len(change.value or b"") > _SMALL_BYTES for change in changes)


def _key(path: str) -> bytes:
    return (ROOT + path).encode()


def _record(found: KeyValue) -> Record:
    path = found.key.decode().removeprefix(ROOT)
    return Record(path, StoredValue(found.value, found.mod_revision))


def _size(record: Record) -> int:
    return len(record.path.encode()) + len(record.entry.value)


def _first(records: Sequence[Record], limit_bytes: int) -> Sequence[Record]:
    size = 0
    for count, record in enumerate(records):
        size += _size(record)
        if count and size > limit_bytes:
            return records[:count]
    return records
