"""Whether this member of a cluster knows what the others have changed, and waits until it does.

It answers from memory only for a short time after a majority has confirmed that it knows every
change. So a revocation that is acknowledged anywhere works everywhere after this time.

An operator may give that up for a member that is cut off: for a number of hours it then goes on
with what changes nothing, for users and keys in its memory.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from keystead.deadlines import within
from keystead.errors import NotUpToDate, StoreUnavailable
from keystead.wire.platform_messages import FreshnessSettings

PATIENCE_SECONDS: Final = 1.0
"""How long a request waits for a confirmation."""
NOT_READY_SECONDS: Final = 10.0
"""How long there may be no confirmation before the HSM calls itself not ready."""
FAILED_SECONDS: Final = 60.0
"""How long there may be no confirmation before the HSM is Failed, as NetHSM is."""


class Freshness:
    """The confirmations of one member. All members of a cluster must have the same settings."""

    def __init__(
        self, settings: FreshnessSettings, monotonic: Callable[[], float], ask: Callable[[], None]
    ) -> None:
        """`ask` asks for a confirmation now, which then comes to `confirmed`."""
        self._seconds = settings.seconds
        self._is_strict = settings.strict
        self._minority_seconds = settings.minority_seconds
        self._monotonic = monotonic
        self._ask = ask
        self._started = monotonic()
        self._as_of = self._started - settings.seconds
        self._has_heard = False
        self._alone_since: float | None = None
        """Since when every confirmation has said that there is no other member."""
        self.is_behind = False
        """Whether something is still to be read of what others have changed: memory is as old as
        the last confirmation, and not to be relied on without the others."""
        self._holders = 0
        self._changed = asyncio.Event()

    def confirmed(self, as_of: float, *, is_alone: bool = False) -> None:
        """Hear that all changes are known that were acknowledged before `as_of`.

        `is_alone` says that there was no other member then.
        """
        self._as_of = max(self._as_of, as_of)
        self._has_heard = True
        if not is_alone:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = as_of
        self._wake()

    def hold(self) -> None:
        """Answer nothing from memory until `release`: what changed is being read again."""
        self._holders += 1

    def release(self) -> None:
        """End a `hold`."""
        self._holders -= 1
        self._wake()

    @property
    def silent_seconds(self) -> float:
        """How long ago the last confirmation was, or the start if there was none since."""
        return self._monotonic() - max(self._as_of, self._started)

    @property
    def is_alone(self) -> bool:
        """Whether the last confirmation has said that there is no other member."""
        return self._alone_since is not None

    @property
    def serves_minority(self) -> bool:
        """Whether this member is cut off, and goes on with what changes nothing all the same."""
        return self.silent_seconds >= self._seconds + PATIENCE_SECONDS and self._may_serve_minority

    @property
    def is_ready(self) -> bool:
        """Whether this member answers, or has been silent for a moment only."""
        return self.silent_seconds <= NOT_READY_SECONDS or self.serves_minority

    @property
    def is_lost(self) -> bool:
        """Whether this member has been silent for too long to stay Operational."""
        allowed = self._minority_seconds if self._has_heard else 0.0
        return self.silent_seconds > max(FAILED_SECONDS, allowed)

    async def require(self, *, changes_nothing: bool) -> None:
        """Return once this member is up to date for a request that comes in now.

        Raises NotUpToDate if it is not within a second, unless the request `changes_nothing` and
        this member serves a minority.
        """
        now = self._monotonic()
        needed = now if self._is_strict else now - self._seconds
        if self._as_of >= needed and not self._holders:
            return
        if changes_nothing and self.serves_minority:
            return
        if await self._is_confirmed(needed) or (changes_nothing and self._may_serve_minority):
            return
        raise NotUpToDate("This member of the cluster is cut off from the others.")

    async def catch_up(self) -> None:
        """Return once all is known, and read, that was acknowledged before this call.

        For requests that have changed something already. Raises StoreUnavailable, which promises
        nothing, if it is not within a second.
        """
        now = self._monotonic()
        while await self._is_confirmed(now):
            if not self._holders:  # It may be read again since.
                return
        raise StoreUnavailable(
            "The change is made, but it is not known what other members have done before it."
        )

    async def everywhere(self) -> None:
        """Return once no member answers from a memory of before. Call it after a change."""
        if not self._is_strict and not await self._was_alone():
            await asyncio.sleep(self._seconds)

    @property
    def _may_serve_minority(self) -> bool:
        is_allowed = self._has_heard and self.silent_seconds <= self._minority_seconds
        return is_allowed and not self._holders and not self.is_behind

    async def _was_alone(self) -> bool:
        """Return whether no other member can remember anything of before this call.

        A member that was removed does so for a while, and one that joins later reads everything.
        """
        now = self._monotonic()
        if self._alone_since is None or self._alone_since + self._seconds > now:
            return False
        return await self._is_confirmed(now) and self.is_alone

    async def _is_confirmed(self, needed: float) -> bool:
        """Ask for a confirmation; return whether one as new as `needed` comes in time."""
        self._ask()
        try:
            await within(PATIENCE_SECONDS, self._until(needed))
        except TimeoutError:
            return False
        return True

    async def _until(self, needed: float) -> None:
        while self._as_of < needed or self._holders:
            self._changed.clear()
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
