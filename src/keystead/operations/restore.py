"""Restoring a backup: all of it or nothing, whatever the file holds and whatever crashes.

The records are written into a new generation, in commits of bounded size, while the file is read.
At the end of the file, one commit makes the new generation the current one and stores its wrapped
domain key.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import msgspec

from keystead.errors import (
    CommitTooLarge,
    Conflict,
    CorruptRecord,
    InvalidInput,
    UnsupportedFormat,
    WriteRefused,
)
from keystead.model.lifecycle import Event
from keystead.model.secret import Secret
from keystead.operations.caller_context import CallerContext
from keystead.operations.configured_time import LATEST_TIME
from keystead.operations.hsm import Hsm
from keystead.operations.restore_pace import RestorePace
from keystead.operations.session import Session
from keystead.operations.tls import TlsIdentity
from keystead.sealing.backup import BackupOrigin, BackupReader
from keystead.sealing.domain_key import fingerprint
from keystead.sealing.passphrase import derive_unlock_key
from keystead.storage import settings
from keystead.storage.backup_records import RestoredRecords, remove_stray_keys
from keystead.storage.domain import DomainStores
from keystead.storage.generations import NextGeneration
from keystead.storage.key_value_store import Change
from keystead.storage.local import LAYOUT, LAYOUT_PATH

BATCH_BYTES: Final = 256 * 1024
BATCH_RECORDS: Final = 500
"""One commit writes at most this many records, and about BATCH_BYTES."""
_OTHER_KEY: Final = (
    "The backup has another domain key, and the other members of the cluster could not open its "
    "records. Remove them first, and have them join again."
)


@dataclass(frozen=True, slots=True)
class Wish:
    """The options that come with a backup file."""

    passphrase: Secret | None = field(repr=False)
    """None stands for the present backup passphrase."""
    system_time: float | None
    """Unix seconds at the beginning of the restore. None takes the time offset from the file."""


async def restore(
    hsm: Hsm, context: CallerContext | None, wish: Wish, file: AsyncIterator[bytes]
) -> None:
    """Replace all records by those in `file`; without a caller, the device's settings as well.

    Raises InvalidInput if the file or the passphrase is wrong, and Conflict while another restore
    is running, or if other members of the cluster could not open the records. Nothing has changed
    in any of these cases.
    """
    session = None if context is None else context.session
    began = hsm.monotonic()
    pace = RestorePace(hsm.monotonic)
    reader = BackupReader(file if session is not None else pace.parts(file))
    origin = await reader.origin(await _key(hsm, session, wish, await reader.opening()))
    records = RestoredRecords(origin)
    makes_way = pace.makes_way if session is None else _never
    async with hsm.succession.next_generation(makes_way) as following:
        await _fill(following, reader, records)
        records.require_complete()
        strays = await remove_stray_keys(following.view())
        if strays:
            hsm.log.warning(
                "keys of a missing namespace were not restored", namespaces=" ".join(strays)
            )
        if records.ignored:
            hsm.log.warning(
                "unknown records of the backup were not restored", paths=" ".join(records.ignored)
            )
        time = None if wish.system_time is None else wish.system_time + hsm.monotonic() - began
        switch = _Switch(hsm, following, origin, records, time)
        await (switch.everything() if session is None else switch.shared(session))
    hsm.log.info("backup restored", caller=str(context.caller.user_id) if context else "")


def _never() -> bool:
    """Return False: the restore of an authenticated user runs to its end."""
    return False


async def _key(hsm: Hsm, session: Session | None, wish: Wish, salt: bytes) -> Secret:
    passphrase = wish.passphrase
    if passphrase is not None:
        return await hsm.kdf_pool.run(lambda: derive_unlock_key(passphrase, salt))
    if session is not None and salt == await session.config.get(settings.BACKUP_SALT):
        key = await session.config.get(settings.BACKUP_KEY)
        if key is not None:
            return key
    raise InvalidInput(
        "backupPassphrase is missing, and the file was not made with the present passphrase."
    )


async def _fill(following: NextGeneration, reader: BackupReader, records: RestoredRecords) -> None:
    batch = {LAYOUT_PATH: LAYOUT}
    size = 0
    async for path, value in reader.records():
        if not records.is_shared(path, value):
            continue
        added = len(path) + len(value)
        if batch and (size + added > BATCH_BYTES or len(batch) >= BATCH_RECORDS):
            await _add(following, batch)
            batch, size = {}, 0
        batch[path] = value
        size += added
    await _add(following, batch)


async def _add(following: NextGeneration, batch: Mapping[str, bytes]) -> None:
    try:
        await following.add(batch)
    except CommitTooLarge as error:
        path, value = max(batch.items(), key=lambda item: len(item[1]))
        raise CommitTooLarge(
            f"The record {path} of the backup has {len(value)} bytes. {error.message}"
        ) from None


class _Switch(msgspec.Struct, frozen=True):
    """The switch from the present records to those of a file that was read to its end."""

    hsm: Hsm
    following: NextGeneration
    origin: BackupOrigin
    records: RestoredRecords
    time: float | None

    async def everything(self) -> None:
        """Take the device's settings from the file too. The HSM is Locked after that."""
        hsm, records = self.hsm, self.records
        if not records.is_sealed:
            hsm.log.warning(
                "the backup has no seal: records may be missing, or come from another backup"
            )
        copied = records.resealed(
            hsm.local.settings,
            settings.NETWORK,
            settings.LOGGING,
            settings.NTP,
            settings.CLUSTER_CA,
        )
        changes = [
            *copied,
            *self._lock(),
            *self._seal(),
            *self._backup_key(),
            *await self._tls(),
            hsm.local.settings.put(settings.TIME_OFFSET, self._offset()),
        ]
        async with hsm.changing:
            await hsm.replace_records(self.following, changes, event=Event.RESTORE)

    async def shared(self, session: Session) -> None:
        """Keep the device's settings. If the file has another domain key, the HSM is Locked."""
        hsm = self.hsm
        changes = [*self._backup_key()]
        if self.time is not None:
            changes.append(hsm.local.settings.put(settings.TIME_OFFSET, self._offset()))
        async with session.holding(hsm.changing):
            if await self._has_present_key(session):
                event = Event.RESTORE_SAME_KEY
                await self._require_openable(session)
                await self._require_intact(session)
            else:
                event = Event.RESTORE_OTHER_KEY
                changes += [*self._lock(), self._put_seal(), *hsm.audit.park()]
            present = hsm.binding.present_records()
            async with session.kept_policies.kept_in(self.following, present):
                await hsm.replace_records(self.following, changes, event=event)
            if event is Event.RESTORE_OTHER_KEY:
                await self._forget_unattended_key()

    async def _has_present_key(self, session: Session) -> bool:
        """Return whether the file's domain key is the present one.

        Each member of a cluster wraps it under an unlock passphrase of its own. Raises Conflict for
        another key while there are other members: they could not open the records.
        """
        freshness = self.hsm.freshness
        if self.origin.locked_domain_key == await self.hsm.local.locked_domain_key():
            return True
        if freshness is None:
            return False
        try:
            await self._require_openable(session)
        except InvalidInput:
            if not freshness.is_alone:
                raise Conflict(_OTHER_KEY) from None
            return False
        return True

    async def _require_openable(self, session: Session) -> None:
        """Raise InvalidInput unless the file's stores open under the present domain key.

        Raises StaleRevision if a restore on another member has deleted them.
        """
        try:
            with closing(
                DomainStores(self.following.view(), session.require_domain_key())
            ) as stores:
                await stores.check()
        except (CorruptRecord, UnsupportedFormat) as error:
            await self.following.require_kept()
            raise InvalidInput(f"The backup file does not fit. {error.message}") from None

    async def _require_intact(self, session: Session) -> None:
        """Raise InvalidInput unless the file's seal fits its records.

        A file without a seal passes only if no backup was ever sealed under this domain key: it
        may come from a NetHSM.
        """
        domain_key = session.require_domain_key()
        sealed = await self.hsm.local.settings.get(settings.SEALS_BACKUPS)
        if self.records.is_sealed or sealed == fingerprint(domain_key):
            self.records.sealed_set.require_intact(domain_key)

    async def _forget_unattended_key(self) -> None:
        """Destroy the key of the slot that was removed. If this fails, the next start does it."""
        try:
            await self.hsm.unattended_boot.forget_key()
        except WriteRefused as error:
            self.hsm.log.warning("cannot delete the unattended key", reason=error.message)

    def _seal(self) -> list[Change]:
        """Return the changes that make the next unlock check the seal under its domain key."""
        return [self._put_seal()] if self.records.is_sealed else []

    def _put_seal(self) -> Change:
        return self.hsm.local.settings.put(settings.RESTORED_SEAL, self.records.sealed_set)

    def _lock(self) -> list[Change]:
        """Return the changes that install the file's wrapped domain key and what unlocks it."""
        local = self.hsm.local
        return [
            local.put_locked_domain_key(self.origin.locked_domain_key),
            local.remove_unbound_slot(),
            *local.remove_unattended(),
            local.settings.put(settings.UNATTENDED_BOOT, False),
            *self.records.resealed(local.settings, settings.UNLOCK_SALT),
            self._unlock_shares(),
        ]

    def _unlock_shares(self) -> Change:
        """Return the change that installs the file's set of unlock shares, or removes ours."""
        own, share_set = self.hsm.local.settings, self.records.setting(settings.UNLOCK_SHARES)
        if share_set is None:
            return own.remove(settings.UNLOCK_SHARES)
        return own.put(settings.UNLOCK_SHARES, share_set)

    def _backup_key(self) -> list[Change]:
        """Return the changes that keep a version 0 file's backup key until it can be sealed."""
        key = self.records.setting(settings.BACKUP_KEY)
        salt = self.records.setting(settings.BACKUP_SALT)
        if self.origin.device_id is not None or key is None or salt is None:
            return []
        own = self.hsm.local.settings
        return [
            own.put(settings.RESTORED_BACKUP_KEY, key),
            own.put(settings.RESTORED_BACKUP_SALT, salt),
        ]

    async def _tls(self) -> list[Change]:
        """Return the changes that install the file's TLS identity, if clients could use it."""
        key = self.records.setting(settings.TLS_KEY)
        chain = self.records.setting(settings.TLS_CHAIN)
        if key is None or chain is None:
            return []
        if not await self.hsm.tls.is_servable(TlsIdentity(key, chain)):
            self.hsm.log.warning("the TLS identity was not restored: clients could not connect")
            return []
        own = self.hsm.local.settings
        return [own.put(settings.TLS_KEY, key), own.put(settings.TLS_CHAIN, chain)]

    def _offset(self) -> int:
        """Return the time offset to set: for the time in the request, or the one in the file."""
        if self.time is not None:
            return self.hsm.time.offset_to(self.time)
        offset = self.records.setting(settings.TIME_OFFSET) or 0
        return offset if abs(offset) <= LATEST_TIME else 0
