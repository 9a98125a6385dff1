"""The HSM as a whole: its state, and what leads from one to the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, Literal

from keystead.access.gate import Gate
from keystead.access.record import AccessRecord
from keystead.errors import (
    Conflict,
    KeysteadError,
    StaleRevision,
    StoreUnavailable,
    WriteRefused,
    WrongState,
)
from keystead.journal.log import Level, Log
from keystead.journal.metrics import Metrics
from keystead.journal.pace import Pace
from keystead.model.device_settings import DEFAULT_LOGGING, LoggingSettings
from keystead.model.lifecycle import Event, State, after
from keystead.model.secret import Secret
from keystead.model.users import Caller
from keystead.operations.attempts import FailedAttempts
from keystead.operations.audit import Audit
from keystead.operations.binding import Binding
from keystead.operations.configured_time import ConfiguredTime
from keystead.operations.device_identity import DeviceIdentity
from keystead.operations.first_records import make_first_records
from keystead.operations.freshness import FAILED_SECONDS
from keystead.operations.given_shares import Progress
from keystead.operations.known_head import KnownHead
from keystead.operations.machine_settings import MachineSettings
from keystead.operations.members import JoinsCluster, Members
from keystead.operations.session import CoreContext, Session
from keystead.operations.succession import Succession, require_intact
from keystead.operations.tls import Tls
from keystead.operations.unattended_boot import UnattendedBoot
from keystead.operations.unlocking import Unlocking
from keystead.operations.update import Updates
from keystead.operations.write_alarm import WriteAlarm
from keystead.sealing.unlock_shares import WantedShares
from keystead.storage import settings
from keystead.storage.backup_records import adopt_backup_key
from keystead.storage.bound import BoundStore
from keystead.storage.conditional import ConditionalStore, depend_on
from keystead.storage.counted import CountedStore
from keystead.storage.generations import GenerationStore, NextGeneration
from keystead.storage.journaled import JournaledStore
from keystead.storage.key_value_store import Change
from keystead.storage.local import LocalStore

SystemAction = Literal["reboot", "shutdown", "factory-reset"]

LOCK_PATIENCE_SECONDS: Final = 10.0
"""How long lock waits for running requests before it drops their keys."""
STOP_PATIENCE_SECONDS: Final = 1.0
FLUSH_SECONDS: Final = 5.0
"""How often operation counters are written; a crash may lose those of the last few seconds."""
REFUSALS_AT_ONCE: Final = 60
REFUSALS_A_SECOND: Final = 1
"""Refusals that may be logged, at once and each second after: they must not fill the log."""
STORE_RETRY_SECONDS: Final = 1.0


def _say_wrong(log: Log, path: str) -> None:
    log.error("a record is not the one that was written last", path=path)


async def _ignore(_: SystemAction) -> None:
    """Do nothing, until the process that runs the HSM sets its own handler."""


class Hsm:
    """One HSM. Use `start` to make it: that reads its state from the store."""

    def __init__(
        self,
        context: CoreContext,
        metrics: Metrics,
        alarm: WriteAlarm,
        store: GenerationStore,
        local: LocalStore,
        binding: Binding,
    ) -> None:
        """`context` has the store below all generations, where the journal is."""
        journal_store, context = context.store, replace(context, store=store)
        self.binding = binding
        self._around = context
        self.store = store
        self.local = local
        self.log = context.log
        self.kdf_pool = context.kdf_pool
        self.pools = {
            "use": context.crypto_pool,
            "keygen": context.keygen_pool,
            "kdf": context.kdf_pool,
            "unlock": context.unlock_pool,
        }
        self.free_bytes = context.free_bytes
        self.succession = Succession(store, context.log)
        self.time = ConfiguredTime(context.wall_clock, store, local)
        self.machine_settings = MachineSettings(context, store, local, self.time)
        self.tls = Tls(context, local)
        self.failed_attempts = FailedAttempts(context.monotonic, context.log)
        self.known_head = KnownHead(context, journal_store, local, binding)
        self.audit = Audit(context, journal_store, local.settings, self.time.now, self.known_head)
        pace = Pace(context.monotonic, at_once=REFUSALS_AT_ONCE, a_second=REFUSALS_A_SECOND)
        self.access_record = AccessRecord(context.log, metrics, pace, self.audit)
        self.gate = Gate(self.access_record, context.monotonic)
        self.updates = Updates(context.update_slot, context.update_key)
        self.changing = asyncio.Lock()
        """Held while the state changes or a wrapped domain key is replaced."""
        self.unlocking = Unlocking(context, local, self.failed_attempts, self.changing)
        self.unattended_boot = UnattendedBoot(context, local, self.changing)
        self.identity = DeviceIdentity(local)
        self.software_digest = context.software_digest
        self.measurements = context.measurements
        self.quotes = context.quotes
        self.has_open_shutdown = context.open_shutdown
        self.warnings = context.warnings
        self.allows_common_passphrases = context.common_passphrases
        self._recovering: asyncio.Task[None] | None = None
        self._reopens_with: Secret | None = None
        """The domain key, while other records have come into force and are not open yet."""
        self._ending: asyncio.Task[None] | None = None
        self.monotonic = context.monotonic
        self.freshness = context.freshness
        self.members: Members | None = None
        """The cluster that this HSM is a member of, if it is one."""
        self.is_removed = False
        """Whether the other members have removed this HSM."""
        self.joins: JoinsCluster | None = None
        """What makes this HSM a member of a cluster, if it can become one."""
        self.metrics = metrics
        self.alarm = alarm
        self.state = State.UNPROVISIONED
        self.session: Session | None = None
        self.wanted: Callable[[SystemAction], Awaitable[None]] = _ignore

    @classmethod
    async def start(cls, context: CoreContext) -> "Hsm":
        """Return the HSM in the state that its store says: Unprovisioned, Locked or Operational.

        Raises UnsupportedFormat if the store is newer than this software, CorruptRecord if it
        belongs to another device key, and StoreUnavailable if it cannot be read.
        """
        metrics = Metrics(context.monotonic)
        alarm = WriteAlarm(context.log, metrics)
        bound = BoundStore(context.store, partial(_say_wrong, context.log))
        counted = CountedStore(bound, alarm.written, alarm.refused)
        store = await GenerationStore.open(ConditionalStore(JournaledStore(counted)))
        local = LocalStore(store, context.device_key)
        provisioned = await local.is_provisioned()
        binding = Binding(bound, context.store, store, local, context.log)
        hsm = cls(replace(context, store=counted), metrics, alarm, store, local, binding)
        if provisioned:
            hsm.state = State.LOCKED
        await hsm.time.load()
        await hsm.audit.load_settings()
        await hsm.tls.load()
        await hsm.machine_settings.load()
        await hsm._follow_logging()
        if context.self_test_failure is not None:
            hsm.self_test_failed(context.self_test_failure)
            return hsm
        domain_key = await hsm.unattended_boot.open()
        if provisioned:
            await hsm.unlocking.remember()
            if domain_key is not None:
                with suppress(WrongState, Conflict):  # The log says why the HSM stays Locked.
                    await hsm._enter(Event.UNLOCK, domain_key)
        hsm.succession.sweep_soon()
        return hsm

    # --- what it is ---

    @property
    def is_operational(self) -> bool:
        """Whether keys can be used now."""
        return self.state is State.OPERATIONAL

    @property
    def device_id(self) -> str:
        """The public name of this device: 10 characters."""
        return self.local.device_id

    # --- from state to state ---

    async def provision(
        self, *, unlock: Secret | WantedShares, admin: Secret, system_time: float
    ) -> list[str]:
        """Make the domain key and the first Administrator, `admin`, and become Operational.

        Return the shares of the unlock passphrase, if some are wanted.
        """
        began = self.monotonic()
        async with self.changing:
            after(self.state, Event.PROVISION)
            first = await make_first_records(
                self._around, self.local, self.unlocking, unlock=unlock, admin=admin
            )
            offset = self.time.offset_to(system_time + self.monotonic() - began)
            self.binding.begin(first.domain_key)
            try:
                await self.store.commit(
                    [*first.changes, self.local.settings.put(settings.TIME_OFFSET, offset)]
                )
            except StaleRevision:
                raise WrongState("The HSM is provisioned already.") from None
            self.time.offset = offset
            await self.unlocking.remember()
            await self._enter(Event.PROVISION, first.domain_key)
            return first.shares

    async def unlock(self, passphrase: str, *, address: str, takes_rollback: bool = False) -> None:
        """Unwrap the domain key with the unlock passphrase and become Operational.

        With `takes_rollback`, also on a store that is older than what the second place knows,
        which is a Conflict otherwise.

        Raises NotPermitted if the passphrase is wrong, TooManyAttempts for a second after that, and
        Overloaded if too many attempts wait.
        """
        await self._unlock(
            lambda: self.unlocking.open(passphrase, address=address),
            address,
            takes_rollback=takes_rollback,
        )

    async def unlock_with_share(
        self, text: str, *, address: str, takes_rollback: bool = False
    ) -> Progress:
        """Take one of the shares of the unlock passphrase, and become Operational with the last.

        Raises what `Unlocking.checked` does, and Overloaded if too many attempts wait.
        """
        unlocking = self.unlocking
        share, share_set = await unlocking.checked(text, address=address)
        # Nothing waits between this and `keep`: no share is kept once the HSM is not Locked.
        after(self.state, Event.UNLOCK)
        progress = unlocking.keep(share, share_set, address=address)
        if progress.is_enough:
            need = progress.need
            await self._unlock(
                lambda: unlocking.open_with_given(need, address=address),
                address,
                takes_rollback=takes_rollback,
            )
        return progress

    async def _unlock(
        self,
        open_domain_key: Callable[[], Awaitable[Secret]],
        address: str,
        *,
        takes_rollback: bool,
    ) -> None:
        async with self.unlocking.queued(address), self.changing:
            after(self.state, Event.UNLOCK)
            domain_key = await open_domain_key()
            await self._enter(Event.UNLOCK, domain_key, takes_rollback=takes_rollback)

    async def lock(self) -> None:
        """Become Locked: new requests are refused at once, then all secrets are forgotten."""
        session = self._operational()
        self.state = after(self.state, Event.LOCK)
        self.session = None
        # The request that asks for this is running itself.
        await self._end(session, seconds=LOCK_PATIENCE_SECONDS, but=1)
        self._state_changed(Event.LOCK)

    async def stop(self) -> None:
        """Write the counters and forget all secrets. Called when the process ends."""
        if self._recovering is not None:
            self._recovering.cancel()
        self._forget_reopening()
        self.succession.stop()
        self.unlocking.given.forget()
        await self._drop_session()

    async def want(self, action: SystemAction, caller: Caller | None) -> None:
        """Reboot, shut down or reset the server, after the response is on its way.

        Returns once the action will be carried out even after a crash.
        """
        self.log.info(
            "action requested", action=action, caller=str(caller.user_id) if caller else ""
        )
        await self.wanted(action)

    def store_lost(self) -> None:
        """Become Failed, until the store answers again.

        The last changes are in doubt: one may be durable although its caller got an error. So
        everything that is cached from the store is forgotten here, and read again before the next
        request is served. In a cluster that is so only after a minute: until then, requests
        wait for a majority or are refused, and what is done in doubt will be heard of.
        """
        if self.freshness is not None and self.freshness.silent_seconds < FAILED_SECONDS:
            return
        if self._fail():
            self.log.error("the store is out of reach")

    def changes_unreadable(self, reason: str) -> None:
        """Be Failed until what other members have changed can be read.

        What is in memory may be old, however recent the last confirmation is.
        """
        if self._fail():
            self.log.error("changes of the cluster cannot be read", reason=reason)

    def _fail(self) -> bool:
        """Be Failed until all that is kept in memory was read again. Return whether it is new."""
        if (self.state, Event.STORE_LOST) not in _LOSABLE or self._recovering is not None:
            return False
        self.state = after(self.state, Event.STORE_LOST)
        if self.session is not None:
            self.session.forget()
        self._recovering = asyncio.create_task(self._recover())
        return True

    def removed_from_cluster(self) -> None:
        """Be Failed: other members have removed this HSM, so it hears of no change any more."""
        if self.members is not None:
            self.is_removed = True
            if self._fail():
                self.log.error("the other members have removed this HSM from the cluster")

    def self_test_failed(self, reason: str) -> None:
        """Drop all secrets, and be Failed until a new process passes its self-tests.

        What the software does is not to be trusted, so nothing waits for requests under way.
        """
        self.log.error("self-test failed", reason=reason)
        self.state = after(self.state, Event.SELF_TEST_FAILED)
        if self._recovering is not None:
            self._recovering.cancel()
        self._forget_reopening()
        self.unlocking.given.forget()
        session, self.session = self.session, None
        if session is not None:
            self._ending = asyncio.create_task(self._end(session, seconds=0))

    async def flush_counters_forever(self) -> None:
        """Write operation counters every few seconds. Run as a background task.

        It also notices when a store that could not write can write again, and forgets old shares.
        """
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self.unlocking.given.forget_old()
            try:
                if self.session is not None:
                    await self.session.flush_counters()
                if self.alarm.reason is not None:
                    await self.store.commit([])
            except StoreUnavailable:
                self.store_lost()
            except (WriteRefused, Conflict, StaleRevision) as error:
                self.log.debug("cannot write operation counters yet", reason=error.message)

    async def replace_records(
        self, following: NextGeneration, changes: Sequence[Change], *, event: Event
    ) -> None:
        """Switch to the records of a restore, together with `changes` to records of this device.

        `event` decides the state after that. The caller holds `changing`.
        """
        state, old = after(self.state, event), self.session
        known = old.require_domain_key() if old and event is Event.RESTORE_SAME_KEY else None
        versions = await self.binding.made_for(following, known)
        await following.bring_into_force([*changes, *versions])
        self.binding.end()
        depend_on(None)  # The restore is done. Its caller may not exist in the new records.
        # If the HSM was locked or the store was lost in the meantime, it stays so.
        goes_on = self.session is old and self.state is not State.FAILED
        self.session = None
        self.unlocking.given.forget()  # They may be of another set than the restored one.
        if goes_on:
            self.state = State.LOCKED
        self._state_changed(event)
        try:
            await self._reread()
            if old is not None and goes_on and state is State.OPERATIONAL:
                await self._enter(Event.UNLOCK, old.require_domain_key().copy())
        finally:
            if old is not None:
                # The request that asks for this is running itself.
                await old.end(seconds=LOCK_PATIENCE_SECONDS, but=1)
            if self.session is None:
                await self.audit.close()

    async def records_changed(self, *, follows: bool) -> None:
        """Read again what is always in memory: another member of the cluster has changed it.

        With `follows`, the generation may be another one. Raises what reading raises.
        """
        async with self.changing:
            old = self.session
            if self.state is State.FAILED:
                return  # All is read again when the store is back.
            if follows and await self.store.follow() and old is not None:
                self._leave_records(old)
                self.state = State.LOCKED
                self._state_changed(Event.RESTORE_SAME_KEY)
                try:
                    await self._reread()
                    await self._reopen()
                finally:
                    await old.end(seconds=LOCK_PATIENCE_SECONDS)
            elif old is not None:
                await old.read_again()

    # --- settings ---

    def apply_logging(self, wanted: LoggingSettings) -> None:
        """Set the lowest level that is logged, and the syslog server."""
        self.log.threshold = Level[wanted.log_level.upper()]
        self._around.aim_syslog(wanted)

    # --- inside ---

    def _operational(self) -> Session:
        if self.session is None:
            raise WrongState("The HSM is not operational.")
        return self.session

    def _state_changed(self, event: Event) -> None:
        self.log.info("state changed", cause=event.value, state=self.state.value)

    async def _drop_session(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            await self._end(session, seconds=STOP_PATIENCE_SECONDS)

    async def _end(self, session: Session, *, seconds: float, but: int = 0) -> None:
        await session.end(seconds=seconds, but=but)
        await self.audit.close()

    async def _reread(self) -> None:
        """Read the records of this device that are kept in memory."""
        await self.time.load()
        await self.audit.load_settings()
        await self.unlocking.remember()
        await self.tls.follow()

    async def _follow_logging(self) -> None:
        self.apply_logging(await self.local.settings.get(settings.LOGGING) or DEFAULT_LOGGING)

    async def _enter(
        self, event: Event, domain_key: Secret, *, takes_rollback: bool = False
    ) -> None:
        # Before anything is written.
        rollback = await self.known_head.fault(domain_key) if event is Event.UNLOCK else ""
        if rollback and not takes_rollback:
            raise self.known_head.refusal(rollback)
        # Pinned: a session must not write its records into those of a later restore.
        pinned = self.store.pinned()
        around = replace(self._around, store=pinned)
        await require_intact(pinned, self.local.settings, domain_key, self.log)
        versions = await self.binding.open(domain_key)
        older = await self.known_head.fault_of_records(domain_key, versions.position)
        if older and not takes_rollback:
            versions.close()
            raise self.known_head.refusal(older)
        session = Session(
            around, self.metrics, self.failed_attempts, self.gate, domain_key, versions
        )
        await self.binding.check_slot(session.config)
        await session.open()
        await adopt_backup_key(pinned, self.local.settings, session.config)
        if rollback or older:
            self.audit.rollback_acknowledged(rollback or older)
        await self.audit.open(domain_key)
        try:
            # Refused if the store was lost in the meantime: only recovery leaves Failed.
            self.state = after(self.state, event)
        except WrongState:
            await self.audit.shut()
            raise
        self.unlocking.given.forget()
        self.session = session
        self._state_changed(event)

    def _leave_records(self, old: Session) -> None:
        """Have no session until `_reopen`: other records under the same key are in force."""
        self._reopens_with = old.require_domain_key().copy()
        self.session = None

    async def _reopen(self) -> None:
        """Be Operational on the records that have come into force, if that was so before."""
        if self._reopens_with is not None and self.session is None:
            await self._enter(Event.UNLOCK, self._reopens_with.copy())
        self._forget_reopening()

    def _forget_reopening(self) -> None:
        if self._reopens_with is not None:
            self._reopens_with.wipe()
        self._reopens_with = None

    async def _recover(self) -> None:
        """Leave the state Failed as soon as the store answers."""
        depend_on(None)
        reason = ""
        while self.state is State.FAILED:
            await asyncio.sleep(STORE_RETRY_SECONDS)
            try:
                await self._read_all_again()
                async with self.changing:
                    await self._leave_failed()
            except KeysteadError as error:
                if error.message != reason:
                    reason = error.message
                    self.log.warning("the store cannot be read yet", reason=reason)
        self._recovering = None

    async def _read_all_again(self) -> None:
        if await self.store.follow():
            self.binding.end()
            if self.session is not None:
                old = self.session
                self._leave_records(old)
                await self._end(old, seconds=STOP_PATIENCE_SECONDS)
        await self._reread()
        await self._follow_logging()
        if self.session is not None:
            self.session.forget()
            # This finishes the deletion of a namespace that was interrupted.
            await self.session.open()

    async def _leave_failed(self) -> None:
        """Raise StoreUnavailable, and stay Failed, if the store is lost meanwhile."""
        is_provisioned = await self.local.is_provisioned()
        self.is_removed = False
        self.state = after(self.state, self._way_back(is_provisioned=is_provisioned))
        try:
            await self._reopen()
        except StoreUnavailable:
            self.state = after(self.state, Event.STORE_LOST)
            raise
        except KeysteadError as error:  # It can be unlocked, by someone who sees the reason.
            self._forget_reopening()
            self.log.warning("the restored records cannot be opened", reason=error.message)
        self.log.info("the store is back", state=self.state.value)

    def _way_back(self, *, is_provisioned: bool) -> Event:
        if self.session is not None:
            return Event.STORE_BACK_UNLOCKED
        return Event.STORE_BACK_LOCKED if is_provisioned else Event.STORE_BACK_UNPROVISIONED


_LOSABLE: Final = {
    (State.UNPROVISIONED, Event.STORE_LOST),
    (State.LOCKED, Event.STORE_LOST),
    (State.OPERATIONAL, Event.STORE_LOST),
}
