"""The store under all typed stores: sealed bytes at paths, with revisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

MISSING = 0
"""The revision of a record that does not exist."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value and the revision of the commit that wrote it (1 or more)."""

    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """Put `value` at `path`, or delete what is there when `value` is None.

    `expected` is the revision the record must have now (MISSING: none may exist); None: any.
    """

    path: str
    value: bytes | None
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on a record that a commit leaves alone: its revision now (or MISSING)."""

    path: str
    revision: int


class Record(NamedTuple):
    """A stored record with its path."""

    path: str
    entry: Entry


class KeyValueStore(Protocol):
    """Sealed bytes at paths. Paths compare as bytes of UTF-8; values are opaque."""

    async def get(self, path: str) -> Entry | None:
        """Return the record at `path`, or None. Raises StoreUnavailable."""
        ...

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order. Raises StoreUnavailable."""
        ...

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), in order; none only when there are none.

        They are as many as fit in `limit_bytes` of paths and values, and one at least; so many
        bytes and a record are the memory that it takes. Raises StoreUnavailable.
        """
        ...

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Make all `changes` durable together and return their revision, or change nothing.

        Expectations and `checks` hold against the state before the commit, which is theirs alone.
        Raises StaleRevision when one does not hold, and WriteRefused when the store cannot write
        now but can be read. After StoreUnavailable the changes are in doubt.
        On a full disk the store goes on taking what deletes or replaces as long as it can, and
        makes a commit of no changes only if it would take a record more.
        Compare-and-set is a commit of one change, a batch one of many. A path is changed at most
        once in a commit.
        """
        ...
