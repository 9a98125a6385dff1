"""`keystead backup verify`: opens a backup and lists what is in it, without an HSM.

With the backup passphrase it shows that the file is whole, and names what it holds. With the unlock
passphrase too it opens every record and checks the seal over all of them, as a restore does.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from keystead.cli import passphrases
from keystead.cli.backups import add_backup
from keystead.cli.command import run_offline
from keystead.cli.screen import Screen, say
from keystead.errors import DecryptionFailed, InvalidInput
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.backup import BackupOrigin, BackupReader
from keystead.sealing.backup_seal import SEAL_PATH
from keystead.sealing.domain_key import StoreLabel, store_key, unlock
from keystead.sealing.passphrase import derive_unlock_key
from keystead.storage import format_version, settings
from keystead.storage.backup_records import RestoredRecords

_CHUNK_BYTES: Final = 1 << 20
_LABELS: Final = {
    "/authentication/": StoreLabel.USERS,
    "/key/": StoreLabel.KEYS,
    "/namespace/": StoreLabel.NAMESPACES,
    "/config/": StoreLabel.CONFIG,
}
_INTERNAL: Final = (f"/{format_version.NAME}", "/.deleted/", "/.quota/")
"""In paths of records that are not a user, key or namespace."""


Contents = dict[str, list[str]]
"""What a backup holds: the names of its users, keys and namespaces."""

_KINDS: Final = {"users": "/authentication/", "keys": "/key/", "namespaces": "/namespace/"}


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give `parser` what `keystead backup` takes, and the command `verify` below it."""
    add_backup(parser)
    commands = parser.add_subparsers(metavar="verify")
    verifying = commands.add_parser(
        "verify", help="open a backup and list what is in it, without an HSM"
    )
    run_offline(verifying, _verify)
    verifying.add_argument("file", type=Path, metavar="FILE")
    verifying.add_argument(
        "--unlock", action="store_true", help="open every record, with the unlock passphrase"
    )
    verifying.add_argument(
        "--unlock-shares",
        type=Path,
        metavar="SHARES",
        help="the same, with enough of the unlock shares, one a line",
    )
    passphrases.add_options(verifying, "backup")
    passphrases.add_options(verifying, "unlock")


def _verify(given: argparse.Namespace) -> None:
    asyncio.run(_show(given, given.file))


async def _show(given: argparse.Namespace, path: Path) -> None:
    question = "Backup passphrase"
    passphrase = Secret(passphrases.present(given, "backup", question).encode())
    key = derive_unlock_key(passphrase, await BackupReader(_parts(path)).opening())
    contents, records, origin = await _read(path, key)
    opened = None
    if given.unlock or given.unlock_shares is not None:
        opened = await _open_all(path, key, _domain_key(given, records, origin), records)
    report = {
        "device": origin.device_id,
        "sealed": records.is_sealed,
        "recordsOpened": opened,
        **contents,
    }
    Screen(is_json=given.json).record(report)
    if not given.json:
        say(_verdict(records, opened))


async def _read(path: Path, key: Secret) -> tuple[Contents, RestoredRecords, BackupOrigin]:
    """Read the file to its end. Raises InvalidInput unless it is whole and complete."""
    reader = BackupReader(_parts(path))
    await reader.opening()
    origin = await reader.origin(key)
    contents: Contents = {kind: [] for kind in _KINDS}
    records = RestoredRecords(origin)
    async for record_path, value in reader.records():
        if records.is_shared(record_path, value):
            _list(contents, record_path)
    records.require_complete()
    return contents, records, origin


def _list(contents: Contents, path: str) -> None:
    """Take in the path of a record. A key in a namespace is written `NAMESPACE~KEY`."""
    if any(part in path for part in _INTERNAL):
        return
    for kind, root in _KINDS.items():
        if path.startswith(root):
            name = path.removeprefix(root).removeprefix(".")
            contents[kind].append(name.replace("/", "~"))


def _domain_key(
    given: argparse.Namespace, records: RestoredRecords, origin: BackupOrigin
) -> Secret:
    """Return the domain key. Raises InvalidInput unless the unlock passphrase opens it."""
    passphrase = _unlock_passphrase(given, records)
    salt = records.setting(settings.UNLOCK_SALT) or b""
    try:
        return unlock(origin.locked_domain_key, derive_unlock_key(passphrase, salt))
    except DecryptionFailed:
        raise InvalidInput("The unlock passphrase does not open this backup.") from None


def _unlock_passphrase(given: argparse.Namespace, records: RestoredRecords) -> Secret:
    """Return the unlock passphrase, or what the shares give. Raises NotPermitted for wrong ones."""
    if given.unlock_shares is None:
        return Secret(passphrases.present(given, "unlock", "Unlock passphrase").encode())
    share_set = records.setting(settings.UNLOCK_SHARES)
    if share_set is None:
        raise InvalidInput("The HSM of this backup had no unlock shares.")
    return share_set.passphrase_of(given.unlock_shares.read_text().splitlines())


async def _open_all(path: Path, key: Secret, domain_key: Secret, records: RestoredRecords) -> int:
    """Open every record; return how many. Raises InvalidInput at the first that does not open."""
    if records.is_sealed:
        records.sealed_set.require_intact(domain_key)
    store_keys = {root: store_key(domain_key, label) for root, label in _LABELS.items()}
    reader = BackupReader(_parts(path))
    await reader.opening()
    origin = await reader.origin(key)
    sorted_again = RestoredRecords(origin)
    opened = 0
    async for record_path, value in reader.records():
        if record_path == SEAL_PATH or not sorted_again.is_shared(record_path, value):
            continue
        (own,) = (one for root, one in store_keys.items() if record_path.startswith(root))
        try:
            envelope.unseal_any(own, record_path, value)
        except DecryptionFailed:
            raise InvalidInput(f"The record {record_path} does not open.") from None
        opened += 1
    return opened


def _verdict(records: RestoredRecords, opened: int | None) -> str:
    if opened is None:
        return "The file is whole. --unlock tries every record in it, as a restore does."
    if not records.is_sealed:
        return f"All {opened} records open. No seal over all of them: some may be missing."
    return f"All {opened} records open, and none is missing: it can be restored."


async def _parts(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(_CHUNK_BYTES):
            yield part
