"""The interface of a storage backend: sealed bytes at paths, with revisions."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

MISSING = 0
"""The revision of a record that does not exist."""


class StoredValue(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A stored value and the revision of the commit that wrote it (1 or more)."""

    value: bytes
    revision: int


class Change(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Put `value` at `path`, or delete what is there when `value` is None.

    `expected` is the revision that the record must have now. MISSING stands for no record, and None
    for any revision.
    """

    path: str
    value: bytes | None
    expected: int | None = None


class Check(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A condition on a record that a commit does not change: its revision now, or MISSING."""

    path: str
    revision: int


class Record(NamedTuple):
    """A stored record with its path."""

    path: str
    entry: StoredValue


class Readable(Protocol):
    """What a store and a snapshot of it have in common."""

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None.

        Raises StoreUnavailable if the store cannot be read.
        """
        ...

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), in order. Empty only if there are none.

        Returns as many records as fit in `limit_bytes` of paths and values, and at least one. It
        needs memory for `limit_bytes` and one record. Raises StoreUnavailable if the store cannot
        be read.
        """
        ...


class Snapshot(Readable, Protocol):
    """The records as they were at one moment. Close it soon, because a store keeps them for it.

    Reads raise SnapshotUnavailable if the store does not keep them any longer.
    """

    async def close(self) -> None:
        """Have the store keep the records no longer. Later reads raise SnapshotUnavailable."""
        ...


class KeyValueStore(Readable, Protocol):
    """Sealed bytes at paths. Paths compare as bytes of UTF-8; values are opaque."""

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order.

        Raises StoreUnavailable if the store cannot be read.
        """
        ...

    async def snapshot(self) -> Snapshot:
        """Return the records as they are now, with every commit that was acknowledged before.

        Records that a member of a cluster has for itself are not in it. Raises SnapshotUnavailable
        if there are too many snapshots, and StoreUnavailable if the store cannot be read.
        """
        ...

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Make all `changes` durable together and return their revision, or change nothing.

        Expectations and `checks` refer to the state just before the commit. No other commit comes
        in between. Raises StaleRevision if one does not hold, and WriteRefused if the store cannot
        write now but can be read: CommitTooLarge, if it would take parts of the commit. After
        StoreUnavailable, the changes may have been made or not.
        On a full disk, the store accepts changes that delete or replace as long as it can. It
        accepts an empty commit only if it would also accept another record. A commit may change
        each path at most once.
        """
        ...
