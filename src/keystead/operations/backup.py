"""Backups: the passphrase that opens them, and the making of one."""

import hmac
from collections.abc import AsyncGenerator
from contextlib import suppress

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
from keystead.storage.key_value_store import Record
from keystead.storage.settings import BACKUP_KEY, BACKUP_SALT, SEALS_BACKUPS


async def set_passphrase(hsm: Hsm, context: CallerContext, *, new: Secret, current: str) -> None:
    """Set the passphrase that encrypts backups to `new`.

    `current` is the present one, or "" if none is set. Raises NotPermitted if `current` is wrong.
    """
    async with hsm.changing:
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

    Raises WrongState if no backup passphrase is set. Reading a part raises it too, if the HSM was
    locked in the meantime.
    """
    with suppress(WriteRefused):  # A full disk is no reason to go without a backup.
        await context.session.flush_counters()
    async with hsm.changing:
        key = await context.session.config.get(BACKUP_KEY)
        salt = await context.session.config.get(BACKUP_SALT)
        if key is None or salt is None:
            raise WrongState("No backup passphrase is set yet: an Administrator sets it.")
        await _remember_sealing(hsm, context.session)
        # Read together: this salt belongs to this wrapped domain key.
        own = await hsm.local.records_for_backup()
        locked = await hsm.local.locked_domain_key()
    writer = BackupWriter(key, salt)
    head = writer.head(
        locked_domain_key=locked,
        device_id=hsm.device_id,
        local_config_key=hsm.local.config_key,
    )
    context.note("backup started")
    sealed = RecordSet(locked_domain_key=locked, device_id=hsm.device_id)
    return _parts(context.session, writer, head, own, sealed)


async def _remember_sealing(hsm: Hsm, session: Session) -> None:
    """Record that restores under this domain key need a seal from now on.

    Raises WriteRefused if the mark cannot be written: without it, a restore would accept a file
    without a seal. A domain key that was made here has the mark from the beginning.
    """
    local = hsm.local.settings
    mark = fingerprint(session.require_domain_key())
    if await local.get(SEALS_BACKUPS) != mark:
        await session.store.commit([local.put(SEALS_BACKUPS, mark)])


async def _parts(
    session: Session, writer: BackupWriter, head: bytes, own: list[Record], sealed: RecordSet
) -> AsyncGenerator[bytes, None]:
    session.backups.add(writer)
    try:
        async with session.moving:
            pass  # Wait for a running move. No other move begins while a backup is made.
        yield head
        for path, entry in own:
            sealed.add(path, entry.value)
            yield writer.record(path, entry.value)
        async for record in shared_records(session.store):
            value = session.for_backup(record)
            sealed.add(record.path, value)
            yield writer.record(record.path, value)
        seal = seal_of(sealed.summary(), session.require_domain_key())
        yield writer.record(SEAL_PATH, seal) + writer.end()
        session.note(None, "backup complete")
    finally:
        writer.forget()
        session.backups.discard(writer)
