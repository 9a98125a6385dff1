"""Backups: the passphrase that opens them, and the making of one."""

import hmac
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field

from keystead.errors import NotPermitted, WriteRefused, WrongState
from keystead.model.secret import Secret
from keystead.operations.caller_context import CallerContext
from keystead.operations.hsm import Hsm
from keystead.operations.session import Session
from keystead.sealing.backup import BackupWriter
from keystead.sealing.backup_seal import SEAL_PATH, RecordSet, seal_of
from keystead.sealing.domain_key import fingerprint, new_unlock_salt
from keystead.sealing.passphrase import derive_unlock_key
from keystead.storage.backup_records import shared_records
from keystead.storage.key_value_store import Record, Snapshot
from keystead.storage.settings import BACKUP_KEY, BACKUP_SALT, SEALS_BACKUPS


async def set_passphrase(hsm: Hsm, context: CallerContext, *, new: Secret, current: str) -> None:
    """Set the passphrase that encrypts backups to `new`.

    `current` is the present one, or "" if none is set. Raises NotPermitted if `current` is wrong.
    """
    async with context.session.holding(hsm.changing):
        await _check(context.session, current)
        salt = new_unlock_salt()
        key = await context.session.kdf_pool.run(lambda: derive_unlock_key(new, salt))
        config = context.session.config
        await context.session.store.commit(
            [config.put(BACKUP_SALT, salt), config.put(BACKUP_KEY, key)]
        )
    context.note("backup passphrase changed")


async def _check(session: Session, passphrase: str) -> None:
    key = await session.config.get(BACKUP_KEY)
    salt = await session.config.get(BACKUP_SALT)
    if key is None or salt is None:
        if passphrase:
            raise NotPermitted("No backup passphrase is set yet; the current one is empty.")
        return
    given = Secret(passphrase.encode("utf-8", "surrogatepass"))
    derived = await session.kdf_pool.run(lambda: derive_unlock_key(given, salt))
    if not hmac.compare_digest(derived.reveal(), key.reveal()):
        raise NotPermitted("The current backup passphrase is wrong.")


async def begin(hsm: Hsm, context: CallerContext) -> AsyncGenerator[bytes, None]:
    """Return the parts of a backup. Each part is made when it is asked for.

    The records are those of one moment, which is when the first part is asked for. Raises
    WrongState if no backup passphrase is set. Reading a part raises it too, if the HSM was locked
    in the meantime, and SnapshotUnavailable if the records of that moment are no longer kept.
    """
    with suppress(WriteRefused):  # A full disk is no reason to go without a backup.
        await context.session.flush_counters()
    async with context.session.holding(hsm.changing):
        key = await context.session.config.get(BACKUP_KEY)
        salt = await context.session.config.get(BACKUP_SALT)
        if key is None or salt is None:
            raise WrongState("No backup passphrase is set yet: an Administrator sets it.")
        await _remember_sealing(hsm, context.session)
    context.note("backup started")
    return _parts(hsm, context.session, BackupWriter(key, salt))


async def _remember_sealing(hsm: Hsm, session: Session) -> None:
    """Record that restores under this domain key need a seal from now on.

    Raises WriteRefused if the mark cannot be written: without it, a restore would accept a file
    without a seal. A domain key that was made here has the mark from the beginning.
    """
    local = hsm.local.settings
    mark = fingerprint(session.require_domain_key())
    if await local.get(SEALS_BACKUPS) != mark:
        await session.store.commit([local.put(SEALS_BACKUPS, mark)])


@dataclass(frozen=True, slots=True)
class _Moment:
    """What a backup is made of: all of it is of one moment."""

    own: list[Record] = field(repr=False)
    locked_domain_key: bytes = field(repr=False)
    shared: Snapshot


async def _now(hsm: Hsm, session: Session) -> _Moment:
    """Return what there is now. Raises WrongState if the session has ended.

    The salt of the unlock passphrase and the wrapped domain key belong together, and are changed
    together under the lock.
    """
    async with hsm.changing:
        _ = session.require_domain_key()
        own = await hsm.local.records_for_backup()
        locked = await hsm.local.locked_domain_key()
        return _Moment(own, locked, await session.store.snapshot())


async def _parts(hsm: Hsm, session: Session, writer: BackupWriter) -> AsyncGenerator[bytes, None]:
    session.backups.add(writer)
    moment = None
    try:
        moment = await _now(hsm, session)
        locked, device_id = moment.locked_domain_key, hsm.device_id
        sealed = RecordSet(locked_domain_key=locked, device_id=device_id)
        yield writer.head(
            locked_domain_key=locked, device_id=device_id, local_config_key=hsm.local.config_key
        )
        for path, entry in moment.own:
            sealed.add(path, entry.value)
            yield writer.record(path, entry.value)
        async for record in shared_records(moment.shared):
            value = session.for_backup(record)
            sealed.add(record.path, value)
            yield writer.record(record.path, value)
        seal = seal_of(sealed.summary(), session.require_domain_key())
        yield writer.record(SEAL_PATH, seal) + writer.end()
        session.note(None, "backup complete")
    finally:
        writer.forget()
        session.backups.discard(writer)
        if moment is not None:
            await moment.shared.close()
