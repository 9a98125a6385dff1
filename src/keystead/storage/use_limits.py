"""What remains of the limits on the uses of one key, in memory.

`maxUses` must hold exactly, whatever crashes. So uses are leased: the key's record is written with
fewer uses left before any of them is used. A crash loses leased uses and never gives any back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf
from typing import Final

from keystead.errors import Overloaded
from keystead.model.ids import NamespaceId
from keystead.model.keys import KeyPath, KeyRecord
from keystead.model.policy import MINUTE_SECONDS, Policy

EXACT_BELOW: Final = 1000
"""A policy with a lower `maxUses` leases only what a request needs: a crash loses nothing else."""
MIN_LEASE: Final = 100
LEASED_PART: Final = 10
"""A lease takes this part of what is left, so that a crash loses about a tenth at most."""
LEASES: Final = ((1000, LEASED_PART), (10_000, 1000))
"""Of the uses that are left, a lease takes a tenth up to 1,000, or a thousandth up to 10,000."""
LOW_PART: Final = 4
"""The next lease is written when this part of the last one is left, while requests use that."""
_LOOKED_AT: Final = 1000
"""Limits that are looked at in one go: one or two milliseconds."""
LOWEST_MARK: Final = 1
"""The low mark of limits whose leases are not written ahead."""


def lease_size(policy: Policy, left: int, needed: int, leased: int = 0) -> int:
    """Return how many of the uses that are `left` to lease, so that there are `needed`.

    `leased` is the number of uses that are leased already.
    """
    max_uses = policy.document.max_uses or 0
    wanted = 0
    if max_uses >= EXACT_BELOW:
        wanted = max(MIN_LEASE, *(min(most, left // part) for most, part in LEASES))
    return min(left, max(wanted, needed, leased) - leased)


class Minute:
    """The uses of the last minute, counted by seconds. It takes memory for a minute at most."""

    def __init__(self) -> None:
        self._seconds: dict[int, int] = {}
        """Whole seconds, in order, with the number of uses in each."""
        self._ends: dict[int, float] = {}
        """When each of them stops to count: a minute after its last use."""
        self._total = 0
        self._first_end = inf
        """Nothing stops to count before this."""

    def wait(self, uses: int, limit: int, now: float) -> float | None:
        """Return in how many seconds `limit` allows these uses, or None if they are over the limit.

        A second counts until its last use is a minute ago, so that the limit holds in any minute.
        """
        if uses > limit:
            return None
        if now >= self._first_end:
            self.forget_before(now)
        excess = self._total + uses - limit
        if excess <= 0:
            return 0.0
        wait = 0.0
        for second, count in self._seconds.items():
            if excess <= 0:
                break
            excess -= count
            wait = min(self._ends[second] - now, MINUTE_SECONDS)  # It may be rounded up.
        return wait

    def add(self, uses: int, now: float) -> None:
        """Count uses, or take them back with a negative number and the time of the first call."""
        second = int(now)
        if second in self._seconds:
            self._seconds[second] += uses
        elif uses > 0:
            self._seconds[second] = uses
            self._first_end = min(self._first_end, now + MINUTE_SECONDS)
        else:
            return  # What is taken back is over a minute ago.
        if uses > 0:
            self._ends[second] = now + MINUTE_SECONDS
        self._total += uses

    def forget_before(self, now: float) -> bool:
        """Forget what is over a minute ago. Return whether nothing is left."""
        for second in [second for second, end in self._ends.items() if end <= now]:
            self._total -= self._seconds.pop(second)
            del self._ends[second]
        self._first_end = min(self._ends.values(), default=inf)
        return not self._seconds


class UseLimits:
    """What remains for one key under one policy.

    A changed policy gets a new object. A request that waited, and holds the old object, neither
    takes from the new policy nor gives to it.
    """

    __slots__ = (
        "_has_max_uses",
        "_policy",
        "_uses_of",
        "leased",
        "leasing",
        "low_mark",
        "max_per_minute",
        "minute",
    )

    def __init__(self, policy: Policy, uses_of: str | None) -> None:
        self._policy = policy
        self._uses_of = uses_of
        """Which setting of the policy the leased uses belong to."""
        self._has_max_uses = policy.document.max_uses is not None
        self.max_per_minute = policy.document.max_per_minute
        self.leased = 0
        """Uses that the record has given out and that nobody has used."""
        self.low_mark = LOWEST_MARK if self._has_max_uses else 0
        """With fewer leased uses than this, it is time to lease more. 0: nothing is ever leased."""
        self.minute = Minute()
        self.leasing = asyncio.Lock()
        """Held while a lease is written."""

    def are_of(self, record: KeyRecord) -> bool:
        """Whether a record still has the policy that these limits belong to."""
        return record.uses_of == self._uses_of and record.policy == self._policy

    def given_back(self, record: KeyRecord) -> KeyRecord:
        """Return a record with the leased uses given back, unless it has another policy by now."""
        if record.uses_left is None or not self.are_of(record):
            return record
        return replace(record, uses_left=record.uses_left + self.leased)

    def lacks(self, record: KeyRecord, uses: int) -> bool:
        """Whether `uses` need a lease, and the record has enough left for it."""
        if self.leased >= uses or not self._has_max_uses:
            return False
        return uses <= self.leased + (record.uses_left or 0)

    def add_leased(self, uses: int) -> None:
        """Add uses that the record has given out."""
        self.leased += uses
        is_exact = (self._policy.document.max_uses or 0) < EXACT_BELOW
        self.low_mark = LOWEST_MARK if is_exact else max(LOWEST_MARK, self.leased // LOW_PART)

    def take(self, uses: int, now: float) -> None:
        """Take uses that the policy allows. A negative number gives back those taken at `now`."""
        if self._has_max_uses:
            self.leased -= uses
        if self.max_per_minute is not None:
            self.minute.add(uses, now)


class KeyLimits:
    """The limits of all keys that have some and were used."""

    def __init__(self) -> None:
        self._limits: dict[KeyPath, UseLimits] = {}
        self._leases: set[asyncio.Task[None]] = set()
        """Leases that are being written."""
        self._refusing = 0
        """How many contexts there are in which nothing is leased."""

    def begin_lease(self, write: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run the coroutine that writes a lease. It is not cancelled with its caller.

        Raises Overloaded while there must be no leases.
        """
        if self._refusing:
            write.close()
            raise Overloaded("The HSM is being locked or restored.")
        task = asyncio.create_task(write)
        self._leases.add(task)
        task.add_done_callback(self._leases.discard)
        return task

    @asynccontextmanager
    async def no_leases(self) -> AsyncIterator[None]:
        """Wait for leases that are being written, and refuse others in this context."""
        self._refusing += 1
        try:
            if self._leases:
                await asyncio.wait(self._leases)
            yield
        finally:
            self._refusing -= 1

    def of(self, path: KeyPath, record: KeyRecord) -> UseLimits | None:
        """Return the limits of a key, or None if its policy has no counted rule.

        Another member of the cluster may have set another policy meanwhile. What the old one has
        leased is lost then.
        """
        policy = record.policy
        if policy is None or not policy.counts_uses:
            return None
        limits = self._limits.get(path)
        if limits is None or not limits.are_of(record):
            limits = self._limits[path] = UseLimits(policy, record.uses_of)
        return limits

    def has(self, path: KeyPath, limits: UseLimits) -> bool:
        """Whether `limits` are those of the key's present policy."""
        return self._limits.get(path) is limits

    def leased(self, path: KeyPath) -> int:
        """Return how many leased uses a key has."""
        limits = self._limits.get(path)
        return 0 if limits is None else limits.leased

    def uses_left(self, path: KeyPath, record: KeyRecord) -> int | None:
        """Return how many uses `maxUses` still allows, or None without such a rule."""
        left = record.uses_left
        return None if left is None else left + self.leased(path)

    def take_leased(self) -> list[tuple[KeyPath, UseLimits]]:
        """Forget all limits, and return those of keys that have leased uses."""
        leased = [(path, limits) for path, limits in self._limits.items() if limits.leased]
        self.clear()
        return leased

    def move(self, source: KeyPath, target: KeyPath) -> None:
        """Move the limits with a key."""
        self._limits.pop(target, None)
        limits = self._limits.pop(source, None)
        if limits is not None:
            self._limits[target] = limits

    def forget(self, path: KeyPath) -> None:
        """Forget the limits of a key that is gone or has another policy. Its lease is lost."""
        self._limits.pop(path, None)

    async def forget_idle(self, now: float, *, is_held: Callable[[KeyPath], bool]) -> None:
        """Forget limits without a lease or a use in the last minute, unless the key is held.

        It looks at some at a time: there are as many as keys with a lease, and others wait.
        """
        paths = list(self._limits)
        for start in range(0, len(paths), _LOOKED_AT):
            for path in paths[start : start + _LOOKED_AT]:
                limits = self._limits.get(path)
                if limits is None or not limits.minute.forget_before(now):
                    continue
                if not limits.leased and not is_held(path):
                    del self._limits[path]
            await asyncio.sleep(0)

    def forget_namespace(self, namespace: NamespaceId) -> None:
        """Forget the limits of all keys of a namespace."""
        for path in [path for path in self._limits if path.namespace == namespace]:
            del self._limits[path]

    def clear(self) -> None:
        """Forget everything. All leases are lost."""
        self._limits.clear()
