"""Unattended boot: whether a restart unwraps the domain key without a passphrase.

Three things are needed: the device key, the slot in the database, and the unattended key in a file
outside of the database. A crash while unattended boot is turned on or off leaves the slot or the
key alone. The next start then removes the key, or comes up Locked. An older copy of the database
comes up Locked too, if unattended boot was turned off after the copy was made.
"""

import asyncio
import contextlib

from keystead.errors import DecryptionFailed, WriteRefused
from keystead.model.secret import Secret
from keystead.operations.caller_context import CallerContext
from keystead.operations.session import CoreContext
from keystead.sealing import domain_key as domain_keys
from keystead.storage.key_value_store import Change
from keystead.storage.local import LocalStore
from keystead.storage.settings import UNATTENDED_BOOT


class UnattendedBoot:
    """Unattended boot of one device. Call `open` first."""

    def __init__(self, context: CoreContext, local: LocalStore, changing: asyncio.Lock) -> None:
        """Take the lock `changing`, which is held while a wrapped domain key is replaced."""
        self._store = context.store
        self._local = local
        self._file = context.unattended_key
        self._changing = changing
        self._log = context.log
        self._key: Secret | None = None
        """The key in the file, unless it did not fit the slot at the start."""

    async def open(self) -> Secret | None:
        """Return the domain key at a start, or None if the unlock passphrase is needed.

        This also finishes a change of unattended boot that a crash interrupted.
        """
        slot, alone = await self._local.unattended(), await self._local.unattended_alone()
        domain_key = self._unlock(slot, alone)
        if domain_key is not None:
            self._log.warning("unlocked without a passphrase: unattended boot is on")
        has_slot, has_old = slot is not None, alone is not None
        try:
            await self._settle(domain_key, slots=has_slot or has_old, alone=has_old)
        except WriteRefused as error:
            self._log.warning(
                "cannot finish a change of unattended boot: the next start tries again",
                reason=error.message,
            )
        return domain_key

    async def is_on(self) -> bool:
        """Return whether a restart comes up Operational."""
        is_wanted = await self._local.settings.get(UNATTENDED_BOOT)
        return self._key is not None and is_wanted is True

    async def turn_on(self, context: CallerContext) -> None:
        """Store the domain key wrapped under the unattended key."""
        async with context.session.holding(self._changing):
            domain_key = context.session.require_domain_key()
            if self._key is None:
                key = domain_keys.new_unattended_key()
                await self._file.keep(key.reveal())
                self._key = key
            # Into the session's own store: a restore may bring another domain key at any moment.
            await context.session.store.commit(
                [
                    self._local.settings.put(UNATTENDED_BOOT, True),
                    self._put(domain_key, self._key),
                ]
            )
        context.note("unattended boot turned on")

    async def turn_off(self, context: CallerContext) -> None:
        """Make every restart need the unlock passphrase, also with older database files."""
        async with context.session.holding(self._changing):
            await self._store.commit(
                [
                    self._local.settings.put(UNATTENDED_BOOT, False),
                    *self._local.remove_unattended(),
                ]
            )
            await self.forget_key()
        context.note("unattended boot turned off")

    async def forget_key(self) -> None:
        """Destroy the unattended key, so that older copies of the removed slot cannot be unwrapped.

        The caller holds `changing`. Raises WriteRefused if the disk refuses it, and
        StoreUnavailable if the platform is gone.
        """
        self._key = None
        if self._file.content != b"":
            await self._file.keep(b"")

    def _unlock(self, slot: bytes | None, alone: Secret | None) -> Secret | None:
        if self._file.content is None and alone is not None:
            return alone
        if self._file.content and slot is not None:
            key = Secret(self._file.content)
            with contextlib.suppress(DecryptionFailed):
                domain_key = domain_keys.unlock_unattended(slot, key)
                self._key = key
                return domain_key
        if slot is not None or alone is not None:
            self._log.warning(
                "unattended boot failed: the unattended key does not fit the database",
                file="unattended.key",
            )
        return None

    async def _settle(self, domain_key: Secret | None, *, slots: bool, alone: bool) -> None:
        """Finish what a crash interrupted, and make the file if there is none."""
        if domain_key is None:
            if self._file.content is None or (self._file.content and not slots):
                await self._file.keep(b"")
            return
        if self._key is None:
            # Both slots stay until the file is written: after a crash in between, this runs again.
            key = domain_keys.new_unattended_key()
            await self._store.commit([self._put(domain_key, key)])
            await self._file.keep(key.reveal())
            self._key = key
        if alone:
            await self._store.commit([self._local.remove_unattended_alone()])

    def _put(self, domain_key: Secret, key: Secret) -> Change:
        return self._local.put_unattended(domain_keys.lock_unattended(domain_key, key))
