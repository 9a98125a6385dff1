"""A store of two: what all members of a cluster share, and what is this device's own.

Records below /local/ and those of the journal are in the own store, all others in the shared one.
The record of an action (/journal/open/) is in the shared one, because it is made with the changes
of the action. A commit to both stores is made in three steps:

1. The own part is written into the own store as pending, with a number that was never used before.
2. The shared part is committed, and with it the number, into a record of this device.
3. The own part is applied, and is no longer pending.

After a crash, or an error that leaves step 2 in doubt, the number in the shared store tells which
of both it is. Until that is clear, no own record is read or written.
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from keystead.errors import StaleRevision, StoreUnavailable, WriteRefused
from keystead.storage.key_value_store import (
    MISSING,
    Change,
    Check,
    KeyValueStore,
    Record,
    Snapshot,
    StoredValue,
)
from keystead.storage.paths import ACTIONS, JOURNAL, LOCAL
from keystead.storage.sealed_records import remove_range

PENDING: Final = "/pending"
"""Where the own store keeps the own part of a commit that is not decided yet."""
_DECIDED: Final = "/decided/"
"""Where the shared store keeps, for each device, the number of its last commit to both."""

_AFTER_LOCAL: Final = "/local0"
_END: Final = "\U0010ffff"
_OWN: Final = ((JOURNAL, ACTIONS), (LOCAL, _AFTER_LOCAL))
"""The ranges of the records in the own store, in order."""

MOVABLE: Final = (
    ("", _DECIDED),
    ("/decided0", JOURNAL),
    (ACTIONS, LOCAL),
    (_AFTER_LOCAL, PENDING),
    (PENDING + "\0", _END),
)
"""The ranges of the records that move when a device enters or leaves a cluster."""
_NUMBER_BYTES: Final = 16


class _Pending(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    number: bytes
    writes: list[tuple[str, bytes | None]]


class SplitStore:
    """A KeyValueStore made of two others, `shared` and `own`. Only one process may use it."""

    def __init__(self, shared: KeyValueStore, own: KeyValueStore, *, device: str) -> None:
        """`device` is the name of this device among those that use `shared`."""
        self._shared = shared
        self._own = own
        self._decided = f"{_DECIDED}{device}"
        self._is_settled = False
        self._committing = asyncio.Lock()

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None.

        Raises StoreUnavailable if its store cannot be read.
        """
        return await (await self._store_of(path)).get(path)

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order.

        Raises StoreUnavailable if a store cannot be read.
        """
        found: list[str] = []
        for first, end in _parts(start, stop):
            if len(found) < limit:
                store = await self._store_of(first)
                found += await store.list(first, end, limit=limit - len(found))
        return found

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them.

        Raises StoreUnavailable if a store cannot be read.
        """
        for first, end in _parts(start, stop):
            store = await self._store_of(first)
            if found := await store.scan(first, end, limit_bytes=limit_bytes):
                return found
        return []

    async def snapshot(self) -> Snapshot:
        """Return the records that are shared as they are now. Own ones are not in it.

        Raises what the shared store does.
        """
        return await self._shared.snapshot()

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Make all `changes` durable or none. Raises what `KeyValueStore.commit` does.

        The revision is the shared store's, unless only own records change.
        """
        own = [change for change in changes if _is_own(change.path)]
        shared = [change for change in changes if not _is_own(change.path)]
        own_checks = [check for check in checks if _is_own(check.path)]
        shared_checks = [check for check in checks if not _is_own(check.path)]
        if not own and not own_checks:
            return await self._shared.commit(shared, checks=shared_checks)
        async with self._committing:
            await self._settle()
            if own and shared:
                return await self._commit_both(shared, shared_checks, own, own_checks)
            if own:
                if shared_checks:
                    await self._shared.commit([], checks=shared_checks)
                return await self._own.commit(own, checks=own_checks)
            await self._own.commit([], checks=own_checks)
            return await self._shared.commit(shared, checks=shared_checks)

    # --- inside ----------------------------------------------------------------------------

    async def _store_of(self, path: str) -> KeyValueStore:
        if not _is_own(path):
            return self._shared
        if not self._is_settled:
            async with self._committing:
                await self._settle()
        return self._own

    async def _commit_both(
        self,
        shared: Sequence[Change],
        shared_checks: Sequence[Check],
        own: Sequence[Change],
        own_checks: Sequence[Check],
    ) -> int:
        before = await self._shared.get(self._decided)
        pending = _Pending(
            secrets.token_bytes(_NUMBER_BYTES), [(change.path, change.value) for change in own]
        )
        expected = [Check(one.path, one.expected) for one in own if one.expected is not None]
        await self._own.commit(
            [Change(PENDING, msgspec.msgpack.encode(pending))], checks=[*own_checks, *expected]
        )
        self._is_settled = False
        decided = Change(self._decided, pending.number, _revision(before))
        try:
            revision = await self._shared.commit([*shared, decided], checks=shared_checks)
        except (StaleRevision, WriteRefused):
            await self._finish([])
            raise
        await self._apply(pending)
        return revision

    async def _settle(self) -> None:
        """Find out what became of a commit to both that has not ended well, if there is any."""
        while not self._is_settled:
            found = await self._own.get(PENDING)
            if found is None:
                self._is_settled = True
                return
            pending = msgspec.msgpack.decode(found.value, type=_Pending)
            decided = await self._shared.get(self._decided)
            if decided is not None and decided.value == pending.number:
                await self._apply(pending)
                return
            # It may still be under way. It expects this record as it was, so now it cannot be made.
            other = Change(self._decided, secrets.token_bytes(_NUMBER_BYTES), _revision(decided))
            try:
                await self._shared.commit([other])
            except StaleRevision:
                continue
            await self._finish([])

    async def _apply(self, pending: _Pending) -> None:
        try:
            await self._finish([Change(path, value) for path, value in pending.writes])
        except WriteRefused as error:
            # The shared part is made, so nothing may go on before this is.
            raise StoreUnavailable(error.message) from error

    async def _finish(self, changes: Sequence[Change]) -> None:
        await self._own.commit([*changes, Change(PENDING, None)])
        self._is_settled = True


async def remove_movable(store: KeyValueStore) -> None:
    """Delete what an earlier move has left in this store.

    Raises StoreUnavailable if the store cannot be read.
    """
    for start, stop in MOVABLE:
        _ = await remove_range(store, start, stop)


def _is_own(path: str) -> bool:
    return any(first <= path < end for first, end in _OWN)


def _revision(entry: StoredValue | None) -> int:
    return MISSING if entry is None else entry.revision


def _parts(start: str, stop: str) -> Iterable[tuple[str, str]]:
    """Yield the parts of a range, in order, each of which is in one store."""
    bounds = ["", *(bound for own in _OWN for bound in own), stop]
    for first, end in pairwise(bounds):
        begin, finish = max(start, first), min(stop, end)
        if begin < finish:
            yield begin, finish
