"""`keystead backup` and `keystead restore`. What examines a backup is `keystead.backup_files`."""

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

from keystead.cli import passphrases
from keystead.cli.command import Invocation, add_yes, run_by
from keystead.cli.lifecycle import now
from keystead.cli.screen import counted_file, progress, write_file
from keystead.client.client import Part

_WITH_CREDENTIALS = "Operational"
_AFTER_RESTORE = (
    "The HSM is Locked: run 'keystead unlock'. It shows the certificate that is in the backup: "
    "a --pin of the one before does not fit any more."
)


def add_backup(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead backup` takes: a file to write, or the command `verify`."""
    run_by(parser, _backup)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="(default: stdout)")


def add_restore(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead restore` takes."""
    run_by(parser, _restore)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--time", metavar="RFC3339", help="the HSM's time (default: this machine's)"
    )
    passphrases.add_options(parser, "backup")
    add_yes(parser)


def _backup(call: Invocation) -> None:
    with progress("Backup", None, is_bytes=True) as advance:

        def counted() -> Iterator[bytes]:
            for part in call.client.download("/system/backup"):
                yield part
                advance(len(part))

        write_file(call.given.output, counted())
    call.screen.done(
        "The backup is complete. 'keystead backup verify' tells whether it can be restored."
    )


def _restore(call: Invocation) -> None:
    """Restore into an empty HSM without credentials, into an Operational one with them."""
    given = call.given
    hsm = call.anonymous
    is_new = hsm.state() != _WITH_CREDENTIALS
    if not is_new:
        call.require_consent("Replace all keys and users of the HSM by those of the backup?")
        hsm = call.client
    arguments = {
        "backupPassphrase": passphrases.present(given, "backup", "Backup passphrase"),
        "systemTime": given.time or now(),
    }
    with counted_file("Restore", given.file) as file:
        hsm.upload_form("POST", "/system/restore", arguments, Part("backup_file", file, file.size))
    call.screen.done("The backup is restored. Its unlock passphrase is the HSM's now.")
    if is_new:
        call.screen.done(_AFTER_RESTORE)
