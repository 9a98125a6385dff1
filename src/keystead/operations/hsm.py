"""The HSM as a whole: its state, and what leads from one to the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from keystead.access.gate import Gate
from keystead.access.record import AccessRecord
from keystead.errors import Conflict, KeysteadError, StaleRevision, StoreUnavailable, WrongState
from keystead.journal.metrics import Metrics
from keystead.journal.pace import Pace
from keystead.model.lifecycle import Event, State, after
from keystead.model.secret import Secret
from keystead.operations.attempts import FailedAttempts
from keystead.operations.audit import Audit
from keystead.operations.binding import Binding
from keystead.operations.configured_logging import ConfiguredLogging
from keystead.operations.configured_time import ConfiguredTime
from keystead.operations.device_identity import DeviceIdentity
from keystead.operations.first_records import make_first_records
from keystead.operations.given_shares import Progress
from keystead.operations.known_head import KnownHead
from keystead.operations.machine_settings import MachineSettings
from keystead.operations.members import JoinsCluster, Members
from keystead.operations.recovery import Recovery
from keystead.operations.rollback import Acknowledgements
from keystead.operations.session import STOP_PATIENCE_SECONDS, CheckedRecords, CoreContext, Session
from keystead.operations.session_opening import SessionOpening
from keystead.operations.succession import Succession
from keystead.operations.system_actions import SystemActions
from keystead.operations.tls import Tls
from keystead.operations.unattended_boot import UnattendedBoot
from keystead.operations.unlocking import Unlocking
from keystead.operations.update import Updates
from keystead.operations.write_alarm import WriteAlarm
from keystead.sealing.device import device_id
from keystead.sealing.unlock_shares import WantedShares
from keystead.storage import settings
from keystead.storage.bound import BoundStore
from keystead.storage.bound_settings import BoundSettings
from keystead.storage.conditional import ConditionalStore, depend_on
from keystead.storage.counted import CountedStore
from keystead.storage.generations import GenerationStore, NextGeneration
from keystead.storage.journaled import JournaledStore
from keystead.storage.key_value_store import Change
from keystead.storage.local import LocalStore

LOCK_PATIENCE_SECONDS: Final = 10.0
"""How long lock waits for running requests before it drops their keys."""
REFUSALS_AT_ONCE, REFUSALS_A_SECOND = 60, 1
"""Refusals that may be logged, at once and each second after: they must not fill the log."""


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
        self.actions = SystemActions(context.log)
        self.logging = ConfiguredLogging(context, local)
        self.time = ConfiguredTime(context.wall_clock, store, local)
        self.machine_settings = MachineSettings(context, store, local, self.time)
        self.tls = Tls(context, local)
        self.failed_attempts = FailedAttempts(context.monotonic, context.log)
        self.known_head = KnownHead(context, journal_store, local, binding)
        self.audit = Audit(context, journal_store, local.settings, self.time.now, self.known_head)
        pace = Pace(context.monotonic, at_once=REFUSALS_AT_ONCE, a_second=REFUSALS_A_SECOND)
        self.access_record = AccessRecord(context.log, metrics, pace, self.audit.counts)
        self.gate = Gate(self.access_record, context.monotonic)
        self.updates = Updates(context.update_slot, context.update_key)
        self.changing = asyncio.Lock()
        """Held while the state changes or a wrapped domain key is replaced."""
        self.unlocking = Unlocking(context, local, self.failed_attempts, self.changing)
        self.unattended_boot = UnattendedBoot(context, local, self.changing)
        self.identity = DeviceIdentity(local)
        self.software_digest = context.software_digest
        self.measurements = context.measurements
        self.device_key_provider = context.device_key_provider
        self.quotes = context.quotes
        self.has_open_shutdown = context.open_shutdown
        self.warnings = context.warnings
        self.allows_common_passphrases = context.common_passphrases
        self._opening = SessionOpening(
            context=context,
            store=store,
            local=local,
            binding=binding,
            known_head=self.known_head,
            audit=self.audit,
            acknowledgements=Acknowledgements(),
            make=self._new_session,
        )
        self.recovery = Recovery(self)
        self._ending: asyncio.Task[None] | None = None
        self.monotonic = context.monotonic
        self.freshness = context.freshness
        self.members: Members | None = None
        """The cluster that this HSM is a member of, if it is one."""
        self.joins: JoinsCluster | None = None
        """What makes this HSM a member of a cluster, if it can become one."""
        self.metrics = metrics
        self.alarm = alarm
        self.state = State.UNPROVISIONED
        self.session: Session | None = None

    @classmethod
    async def start(cls, context: CoreContext) -> "Hsm":
        """Return the HSM in the state that its store says: Unprovisioned, Locked or Operational.

        A member that reaches no majority of its cluster is Failed until it does. Raises
        UnsupportedFormat if the store is newer than this software, CorruptRecord if it belongs to
        another device key, and StoreUnavailable if it cannot be read.
        """
        metrics = Metrics(context.monotonic)
        alarm = WriteAlarm(context.log, metrics)

        def say_wrong(path: str) -> None:
            context.log.error("a record is not the one that was written last", path=path)

        bound = BoundStore(context.store, say_wrong)
        device, is_alone = device_id(context.device_key), context.freshness is None
        own = BoundSettings(bound, context.store, device, say_wrong, is_alone=is_alone)
        counted = CountedStore(own, alarm.written, alarm.refused)
        store = GenerationStore.not_read(ConditionalStore(JournaledStore(counted)))
        local = LocalStore(store, context.device_key)
        binding = Binding(own, context.store, store, local, context.log, context.wall_clock)
        hsm = cls(replace(context, store=counted), metrics, alarm, store, local, binding)
        try:
            await hsm.begin()
        except StoreUnavailable as error:
            if context.freshness is None:
                raise
            # A member can read the records of its own, and an appliance needs its network.
            await hsm.read_again()
            hsm.recovery.await_start(error.message)
        return hsm

    async def begin(self) -> None:
        """Go to the state that the store says. Raises as `start` does, and without a majority."""
        _ = await self.store.follow()
        provisioned = await self.local.is_provisioned()
        await self.read_again()
        self.state = State.LOCKED if provisioned else State.UNPROVISIONED
        if self._around.self_test_failure is not None:
            self.self_test_failed(self._around.self_test_failure)
            return
        self.succession.sweep_soon()
        domain_key = await self.unattended_boot.open()
        if provisioned and domain_key is not None:
            with suppress(WrongState, Conflict):  # The log says why the HSM stays Locked.
                await self.enter(Event.UNLOCK, domain_key)

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
            await self.enter(Event.PROVISION, first.domain_key)
            return first.shares

    async def unlock(self, passphrase: str, *, address: str, acknowledged: str = "") -> None:
        """Unwrap the domain key with the unlock passphrase and become Operational.

        Raises NotPermitted if the passphrase is wrong, TooManyAttempts for a second after that, and
        Overloaded if too many attempts wait. Raises StoreRolledBack if the store is older than it
        should be, unless its code is `acknowledged`.
        """
        await self._unlock(
            lambda: self.unlocking.open(passphrase, address=address),
            address,
            acknowledged=acknowledged,
        )

    async def unlock_with_share(
        self, text: str, *, address: str, acknowledged: str = ""
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
                acknowledged=acknowledged,
            )
        return progress

    async def _unlock(
        self,
        open_domain_key: Callable[[], Awaitable[Secret]],
        address: str,
        *,
        acknowledged: str,
    ) -> None:
        async with self.unlocking.queued(address), self.changing, self.audit.session_end:
            after(self.state, Event.UNLOCK)
            domain_key = await open_domain_key()
            await self.enter(Event.UNLOCK, domain_key, acknowledged=acknowledged)

    async def lock(self) -> None:
        """Become Locked: new requests are refused at once, then all secrets are forgotten."""
        session = self.session
        if session is None:
            raise WrongState("The HSM is not operational.")
        self.state = after(self.state, Event.LOCK)
        self.session = None
        # The request that asks for this is running itself.
        await self.end(session, seconds=LOCK_PATIENCE_SECONDS, but=1)
        self._state_changed(Event.LOCK)

    async def stop(self) -> None:
        """Write the counters and forget all secrets. Called when the process ends."""
        self.recovery.stop()
        self.succession.stop()
        self.binding.stop()
        self.unlocking.given.forget()
        session, self.session = self.session, None
        if session is not None:
            await self.end(session, seconds=STOP_PATIENCE_SECONDS)
        await self.audit.closed()

    def self_test_failed(self, reason: str) -> None:
        """Drop all secrets, and be Failed until a new process passes its self-tests.

        What the software does is not to be trusted, so nothing waits for requests under way.
        """
        self.log.error("self-test failed", reason=reason)
        self.state = after(self.state, Event.SELF_TEST_FAILED)
        self.recovery.stop()
        self.unlocking.given.forget()
        session, self.session = self.session, None
        if session is not None:
            self._ending = asyncio.create_task(self.end(session, seconds=0))

    async def replace_records(
        self, following: NextGeneration, changes: Sequence[Change], *, event: Event
    ) -> None:
        """Switch to the records of a restore, together with `changes` to records of this device.

        `event` decides the state after that. The caller holds `changing`.
        """
        state, old = after(self.state, event), self.session
        known = old.require_domain_key() if old and event is Event.RESTORE_SAME_KEY else None
        await self.binding.bring_into_force(following, changes, known)
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
            await self.machine_settings.leave_to_next_start()
            await self.read_again()
            if old is not None and goes_on and state is State.OPERATIONAL:
                await self.enter(Event.UNLOCK, old.require_domain_key().copy())
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
                self.binding.end()
                self.recovery.leave_records(old)
                self.state = State.LOCKED
                self._state_changed(Event.RESTORE_SAME_KEY)
                try:
                    await self.read_again()
                    await self.recovery.reopen()
                finally:
                    await old.end(seconds=LOCK_PATIENCE_SECONDS)
            elif old is not None:
                await old.read_again()

    # --- for other operations ---

    async def read_again(self) -> None:
        """Read the records of this device that are kept in memory, and apply them."""
        await self.time.load()
        await self.audit.load_settings()
        await self.unlocking.remember()
        await self.tls.follow()
        await self.machine_settings.load()
        await self.logging.load()

    async def enter(self, event: Event, domain_key: Secret, *, acknowledged: str = "") -> None:
        """Open a session with the domain key, and go to the state after `event`.

        If that fails, the domain key is wiped. The caller holds `changing`, except at the start.
        Raises what `SessionOpening.open` raises, and WrongState if the store was lost in the
        meantime: only recovery leaves Failed.
        """
        try:
            session = await self._opening.open(event, domain_key, acknowledged=acknowledged)
        except KeysteadError:
            domain_key.wipe()
            raise
        try:
            await self.read_again()  # What was read before was not checked.
            self.state = after(self.state, event)
        except KeysteadError:
            await self.audit.shut()
            session.wipe()
            raise
        self.unlocking.given.forget()
        self.session = session
        self._state_changed(event)

    async def end(self, session: Session, *, seconds: float, but: int = 0) -> None:
        """End a session as `Session.end` does, and close the journal."""
        async with self.audit.session_end:
            await session.end(seconds=seconds, but=but)
            await self.audit.close()

    # --- inside ---

    def _new_session(
        self, context: CoreContext, domain_key: Secret, records: CheckedRecords
    ) -> Session:
        return Session(context, self.metrics, self.failed_attempts, self.gate, domain_key, records)

    def _state_changed(self, event: Event) -> None:
        self.log.info("state changed", cause=event.value, state=self.state.value)
