"""The way out of the state Failed: all that is kept in memory is read again from the store."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from keystead.errors import KeysteadError, StoreUnavailable
from keystead.journal.log import Log
from keystead.model.lifecycle import Event, State, after
from keystead.model.secret import Secret
from keystead.operations.binding import Binding
from keystead.operations.freshness import Freshness
from keystead.operations.members import Members
from keystead.operations.session import STOP_PATIENCE_SECONDS, Session
from keystead.storage.conditional import depend_on
from keystead.storage.generations import GenerationStore
from keystead.storage.local import LocalStore

STORE_RETRY_SECONDS: Final = 1.0

_LOSABLE: Final = {
    (State.UNPROVISIONED, Event.STORE_LOST),
    (State.LOCKED, Event.STORE_LOST),
    (State.OPERATIONAL, Event.STORE_LOST),
}


class Recoverable(Protocol):
    """What a recovery needs of the HSM."""

    log: Log
    store: GenerationStore
    local: LocalStore
    binding: Binding
    changing: asyncio.Lock
    state: State
    session: Session | None
    members: Members | None
    freshness: Freshness | None

    async def begin(self) -> None:
        """Read the store for the first time, and go to the state that it says."""

    async def read_again(self) -> None:
        """Read the records of this device that are kept in memory."""

    async def enter(self, event: Event, domain_key: Secret) -> None:
        """Open a session with the domain key, and go to the state after `event`."""

    async def end(self, session: Session, *, seconds: float) -> None:
        """End a session after at most `seconds`, and close the journal."""


class Recovery:
    """Holds an HSM in the state Failed until its store can be read."""

    def __init__(self, hsm: Recoverable) -> None:
        """`hsm` may be in any state. Nothing happens until its store is out of reach."""
        self._hsm = hsm
        self.is_removed = False
        """Whether the other members have removed this HSM."""
        self.reason = ""
        """Why the last attempt to read the store has failed, while the HSM is Failed."""
        self._running: asyncio.Task[None] | None = None
        self._domain_key: Secret | None = None
        """The domain key, while other records have come into force and are not open yet."""

    def store_lost(self) -> None:
        """Become Failed, until the store answers again.

        The last changes are in doubt: one may be durable although its caller got an error. So
        everything that is cached from the store is forgotten here, and read again before the next
        request is served. In a cluster that is so only once no majority was heard for too long:
        until then, what is done in doubt will be heard of.
        """
        freshness = self._hsm.freshness
        if freshness is not None and not freshness.is_lost:
            return
        if self._begin():
            self._hsm.log.error("the store is out of reach")

    def changes_unreadable(self, reason: str) -> None:
        """Be Failed until what other members have changed can be read.

        What is in memory may be old, however recent the last confirmation is.
        """
        if self._begin():
            self._hsm.log.error("changes of the cluster cannot be read", reason=reason)

    def removed_from_cluster(self) -> None:
        """Be Failed: other members have removed this HSM, so it hears of no change any more."""
        if self._hsm.members is not None:
            self.is_removed = True
            if self._begin():
                self._hsm.log.error("the other members have removed this HSM from the cluster")

    def await_start(self, reason: str) -> None:
        """Be Failed until the HSM can begin: its cluster had no majority when it was started."""
        self.reason = reason
        self._fail()
        self._hsm.log.error("the start waits for a majority of the cluster", reason=reason)
        self._running = asyncio.create_task(self._run(self._begin_at_last))

    def stop(self) -> None:
        """Try no more, and forget the domain key."""
        if self._running is not None:
            self._running.cancel()
        self._forget_key()

    def leave_records(self, old: Session) -> None:
        """Have no session until `reopen`: other records under the same key are in force."""
        self._domain_key = old.require_domain_key().copy()
        self._hsm.session = None

    async def reopen(self) -> None:
        """Be Operational on the records that have come into force, if the HSM was so before.

        Raises what `Recoverable.enter` raises.
        """
        if self._domain_key is not None and self._hsm.session is None:
            await self._hsm.enter(Event.UNLOCK, self._domain_key.copy())
        self._forget_key()

    def _forget_key(self) -> None:
        if self._domain_key is not None:
            self._domain_key.wipe()
        self._domain_key = None

    def _begin(self) -> bool:
        """Be Failed until all that is kept in memory was read again. Return whether it is new."""
        hsm = self._hsm
        if (hsm.state, Event.STORE_LOST) not in _LOSABLE or self._running is not None:
            return False
        self.reason = ""
        self._fail()
        if hsm.session is not None:
            hsm.session.forget()
        self._running = asyncio.create_task(self._run(self._come_back))
        return True

    def _fail(self) -> None:
        self._hsm.state = after(self._hsm.state, Event.STORE_LOST)

    async def _run(self, leave_failed: Callable[[], Awaitable[None]]) -> None:
        """Leave the state Failed as soon as the store answers."""
        depend_on(None)
        hsm = self._hsm
        while hsm.state is State.FAILED:
            await asyncio.sleep(STORE_RETRY_SECONDS)
            try:
                await leave_failed()
            except KeysteadError as error:
                if error.message != self.reason:
                    self.reason = error.message
                    hsm.log.warning("the store cannot be read yet", reason=error.message)
        self._running = None

    async def _come_back(self) -> None:
        await self._read_all_again()
        async with self._hsm.changing:
            await self._leave_failed()

    async def _begin_at_last(self) -> None:
        hsm = self._hsm
        async with hsm.changing:
            try:
                await hsm.begin()
            except KeysteadError as error:
                if isinstance(error, StoreUnavailable) and hsm.state is not State.FAILED:
                    self._fail()
                if hsm.state is State.FAILED:
                    raise
                # It can be unlocked, by someone who sees the reason.
                hsm.log.warning("the records cannot be opened", reason=error.message)
        self.is_removed = False
        hsm.log.info("the store is back", state=hsm.state.value)

    async def _read_all_again(self) -> None:
        hsm = self._hsm
        if await hsm.store.follow():
            hsm.binding.end()
            if hsm.session is not None:
                old = hsm.session
                self.leave_records(old)
                await hsm.end(old, seconds=STOP_PATIENCE_SECONDS)
        await hsm.read_again()
        if hsm.session is not None:
            hsm.session.forget()
            # This finishes the deletion of a namespace that was interrupted.
            await hsm.session.open()

    async def _leave_failed(self) -> None:
        """Go back to the state that the store says.

        Raises StoreUnavailable, and stays Failed, if the store is lost meanwhile.
        """
        hsm = self._hsm
        is_provisioned = await hsm.local.is_provisioned()
        self.is_removed = False
        hsm.state = after(hsm.state, self._way_back(is_provisioned=is_provisioned))
        try:
            await self.reopen()
        except StoreUnavailable:
            self._fail()
            raise
        except KeysteadError as error:  # It can be unlocked, by someone who sees the reason.
            self._forget_key()
            hsm.log.warning("the records cannot be opened", reason=error.message)
        hsm.log.info("the store is back", state=hsm.state.value)

    def _way_back(self, *, is_provisioned: bool) -> Event:
        if self._hsm.session is not None:
            return Event.STORE_BACK_UNLOCKED
        return Event.STORE_BACK_LOCKED if is_provisioned else Event.STORE_BACK_UNPROVISIONED
