"""The conditions of one request, which are checked again at each of its commits.

Whether a request is allowed is decided when its head has arrived. Before it changes anything, its
body has to arrive, and it may wait for a thread or a lock. In that time, its caller may be deleted,
or the resource that its If-Match was compared with may change. So the last check is here, where no
handler can forget it.
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
    Record,
    StoredValue,
)
from keystead.storage.wrapped import WrappedStore

Revisions = dict[str, int]
"""The revisions of records, by their paths."""


class Conditions(Protocol):
    """The conditions of one request."""

    compared: Revisions
    """The revisions that If-Match or If-None-Match was compared with. Empty without these
    headers."""

    def require_allowed(self) -> None:
        """Raise an error unless the caller is still allowed to make the request."""
        ...


_CONDITIONS: Final = ContextVar[Conditions | None]("conditions", default=None)
_WITNESSED: Final = ContextVar[Revisions | None]("witnessed", default=None)

depend_on: Final = _CONDITIONS.set
"""Makes every commit from here on depend on these conditions, or with None on no conditions.

None is for work that the HSM does for itself, even if a request has started it.
"""

present_conditions: Final = _CONDITIONS.get
"""Returns the conditions that commits depend on now, or None."""


def require_allowed() -> None:
    """Raise an error unless the present request is still allowed.

    It is for changes that are no commits, right before they are made.
    """
    conditions = _CONDITIONS.get()
    if conditions is not None:
        conditions.require_allowed()


def is_conditional() -> bool:
    """Whether the present request is made only if a record is as it was when it was compared."""
    conditions = _CONDITIONS.get()
    return conditions is not None and bool(conditions.compared)


@contextmanager
def witnessed() -> Iterator[Revisions]:
    """Collect the revisions of all records that are read in this context."""
    revisions: Revisions = {}
    token = _WITNESSED.set(revisions)
    try:
        yield revisions
    finally:
        _WITNESSED.reset(token)


def is_witnessed() -> bool:
    """Whether reads must come from the store, with their revision, and not from a cache."""
    return _WITNESSED.get() is not None


class ConditionalStore(WrappedStore):
    """A KeyValueStore that makes the commits of another depend on the request's conditions."""

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None."""
        entry = await self._store.get(path)
        revisions = _WITNESSED.get()
        if revisions is not None:
            revisions[path] = MISSING if entry is None else entry.revision
        return entry

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them."""
        records = await self._store.scan(start, stop, limit_bytes=limit_bytes)
        revisions = _WITNESSED.get()
        if revisions is not None:
            revisions.update((path, entry.revision) for path, entry in records)
        return records

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Apply all `changes` or none. Raises StaleRevision if an expectation or check fails.

        Raises what `require_allowed` raises, and ConditionFailed if a record that was compared has
        changed.
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
        # The request's own changes must not make its later commits fail.
        own = {change.path: MISSING if change.value is None else revision for change in changes}
        compared.update((path, own[path]) for path in own.keys() & compared.keys())
        return revision

    async def _require_same(self, compared: Revisions) -> None:
        for path, revision in compared.items():
            entry = await self._store.get(path)
            if (MISSING if entry is None else entry.revision) != revision:
                raise ConditionFailed("The resource has changed since it was compared.")
