"""The opening of a session: what is verified of the store before its keys can be used."""

from collections.abc import Callable
from dataclasses import replace

import msgspec

from keystead.errors import KeysteadError
from keystead.model.lifecycle import Event
from keystead.model.secret import Secret
from keystead.operations.audit import Audit
from keystead.operations.binding import Binding
from keystead.operations.known_head import KnownHead
from keystead.operations.rollback import Acknowledgements
from keystead.operations.session import CheckedRecords, CoreContext, Session
from keystead.operations.succession import require_intact
from keystead.storage.backup_records import adopt_backup_key
from keystead.storage.generations import GenerationStore
from keystead.storage.local import LocalStore


class SessionOpening(msgspec.Struct, frozen=True, kw_only=True):
    """Opens the records that are in force, and the journal, with the domain key."""

    context: CoreContext
    store: GenerationStore
    local: LocalStore
    binding: Binding
    known_head: KnownHead
    audit: Audit
    acknowledgements: Acknowledgements
    make: Callable[[CoreContext, Secret, CheckedRecords], Session]
    """Makes a session on the store of its context."""

    async def open(self, event: Event, domain_key: Secret, *, acknowledged: str) -> Session:
        """Return a session for the state after `event`. The journal is open then, too.

        Raises StoreRolledBack if the store, its records or the device's settings are older than
        they should be, unless its code is `acknowledged`, and what reading raises. Nothing is
        written before.
        """
        elsewhere = await self.known_head.fault(domain_key) if event is Event.UNLOCK else ""
        forged = await self.known_head.fault_of_restore(domain_key)
        # Pinned: a session must not write its records into those of a later restore.
        pinned = self.store.pinned()
        checked = await require_intact(self.local.settings, domain_key, self.context.log)
        root = await self.binding.open(domain_key)
        records = CheckedRecords(root.versions, self.binding.present_records)
        session = self.make(replace(self.context, store=pinned), domain_key, records)
        try:
            older = await self.known_head.fault_of_records(domain_key, root.versions.position)
            settings = await self.binding.judged_settings()
            faults = " ".join(filter(None, (elsewhere, forged, older, settings.fault)))
            if faults:
                end = await self.known_head.sealed_end()
                self.acknowledgements.require(
                    acknowledged, faults, journal=end, settings=settings.hashes
                )
                await self.audit.rollback_acknowledged(faults, domain_key)
            await self.binding.take_over(root, domain_key)
            await self.binding.check_slot(session.config)
            await self.binding.bind_settings(settings, root.versions, is_acknowledged=bool(faults))
            if checked:
                _ = await pinned.commit(checked)
            await session.open()
            await adopt_backup_key(pinned, self.local.settings, session.config)
            await self.audit.open(domain_key)
            self.binding.look_for_missing(root.versions)
        except KeysteadError:
            session.wipe()
            raise
        return session
