"""What the changes of one request depend on; each of its commits asks for it again.

What allows a request is decided when its head has come. Until it changes anything, its body has to
arrive, a passphrase or an RSA key may wait for a thread, and a lock for its turn. Meanwhile its
caller may be deleted, or what its If-Match was compared with may change. So the last word is here,
where no handler can forget it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

from keystead.errors import ConditionFailed, StaleRevision
from keystead.storage.key_value_store import (
    MISSING,
    Change,
    Check,
    Entry,
    KeyValueStore,
    Record,
)

Revisions = dict[str, int]
"""Of records, by their paths."""


class Conditions(Protocol):
    """What one request depends on."""

    compared: Revisions
    """What its If-Match or If-None-Match was compared with; empty without one."""

    def require_allowed(self) -> None:
        """Raise unless the caller may do now what it was allowed to do at first."""
        ...


_CONDITIONS: Final = ContextVar[Conditions | None]("conditions", default=None)
_WITNESSED: Final = ContextVar[Revisions | None]("witnessed", default=None)

depend_on: Final = _CONDITIONS.set
"""Has every commit from here on depend on these conditions; with None, on nothing.

None is for what the HSM does on its own account, whoever was the occasion for it.
"""


@contextmanager
def witnessed() -> Iterator[Revisions]:
    """Give the revisions of all records that are read in this context."""
    revisions: Revisions = {}
    token = _WITNESSED.set(revisions)
    try:
        yield revisions
    finally:
        _WITNESSED.reset(token)


def is_witnessed() -> bool:
    """Whether what is read now must come from the store, with its revision, and from no cache."""
    return _WITNESSED.get() is not None


class ConditionalStore:
    """A KeyValueStore over another; its commits depend on the conditions of their request."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store

    async def get(self, path: str) -> Entry | None:
        """Return the record at `path`, or None."""
        entry = await self._store.get(path)
        revisions = _WITNESSED.get()
        if revisions is not None:
            revisions[path] = MISSING if entry is None else entry.revision
        return entry

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order."""
        return await self._store.list(start, stop, limit=limit)

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them."""
        records = await self._store.scan(start, stop, limit_bytes=limit_bytes)
        revisions = _WITNESSED.get()
        if revisions is not None:
            revisions.update((path, entry.revision) for path, entry in records)
        return records

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none; StaleRevision when an expectation or check fails.

        Raises what `require_allowed` does, and ConditionFailed when what was compared has changed.
        """
        conditions = _CONDITIONS.get()
        if conditions is None:
            return await self._store.commit(changes, checks=checks)
        conditions.require_allowed()
        compared = conditions.compared
        if not compared:
            return await self._store.commit(changes, checks=checks)
        same = [Check(path, revision) for path, revision in compared.items()]
        try:
            revision = await self._store.commit(changes, checks=[*checks, *same])
        except StaleRevision:
            await self._require_same(compared)
            raise
        # What the request has changed itself fails none of its later commits.
        own = {change.path: MISSING if change.value is None else revision for change in changes}
        compared.update((path, own[path]) for path in own.keys() & compared.keys())
        return revision

    async def _require_same(self, compared: Revisions) -> None:
        for path, revision in compared.items():
            entry = await self._store.get(path)
            if (MISSING if entry is None else entry.revision) != revision:
                raise ConditionFailed("The resource has changed since it was compared.")
