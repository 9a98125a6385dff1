"""Backup and restore."""

from typing import Final

from keystead.api.http.json_bodies import decode_json
from keystead.api.http.multipart import TwoParts
from keystead.api.http.route import NO_CONTENT, Call, Parts, Reply
from keystead.model.secret import Hidden, Secret
from keystead.model.timestamps import parse_timestamp
from keystead.operations import backup, restore

MAX_ARGUMENTS_BYTES: Final = 4096


class BackupPassphraseRequest(Hidden, forbid_unknown_fields=True, rename="camel"):
    """PUT /config/backup-passphrase."""

    new_passphrase: str
    current_passphrase: str


class RestoreArguments(Hidden, forbid_unknown_fields=True, rename="camel"):
    """The first part of POST /system/restore."""

    backup_passphrase: str | None = None
    system_time: str | None = None


class RestoreParts(Parts):
    """POST /system/restore: the file is what /system/backup gave."""

    arguments: RestoreArguments
    backup_file: str


async def set_passphrase(call: Call[BackupPassphraseRequest]) -> Reply[None]:
    """PUT /config/backup-passphrase: what backups open with from now on."""
    wanted = await call.json(BackupPassphraseRequest)
    await backup.set_passphrase(
        call.hsm,
        call.context,
        new=call.new_passphrase(wanted.new_passphrase, name="newPassphrase"),
        current=wanted.current_passphrase,
    )
    return NO_CONTENT


async def make(call: Call[None]) -> Reply[bytes]:
    """POST /system/backup: the file is made while it is sent."""
    return Reply(200, parts=await backup.begin(call.hsm, call.context))


async def restore_file(call: Call[RestoreParts]) -> Reply[None]:
    """POST /system/restore: the file is read while it arrives."""
    body = call.unread_body.parts(call.route.body_limit)
    parts = TwoParts(body, call.request.headers.get("content-type", ""))
    arguments = await parts.first(limit_bytes=MAX_ARGUMENTS_BYTES)
    wish = _wish(decode_json(arguments, RestoreArguments))
    context = None if call.operational is None else call.context
    await restore.restore(call.hsm, context, wish, parts.second())
    return NO_CONTENT


def _wish(arguments: RestoreArguments) -> restore.Wish:
    passphrase, time = arguments.backup_passphrase, arguments.system_time
    return restore.Wish(
        passphrase=None if passphrase is None else Secret(passphrase.encode()),
        system_time=None if time is None else parse_timestamp(time),
    )
