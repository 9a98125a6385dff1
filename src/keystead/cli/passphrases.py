"""Passphrases: from a file, a descriptor, the environment, the keyring, or typed unseen.

Never from the command line, which every user of the machine can read.
"""

import getpass
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from keystead.cli.exit_status import UsageError

MAX_BYTES: Final = 4096
SERVICE: Final = "keystead"
"""The service's name in the desktop keyring; the account is `USER@HOST:PORT`."""
_WHOSE: Final = {
    "": "the user's passphrase",
    "unlock": "the unlock passphrase",
    "admin": "the passphrase of the user admin",
    "backup": "the passphrase of the backup",
    "current": "the present passphrase",
    "new": "the new passphrase",
    "file": "the passphrase of the key's file",
    "pin": "the user PIN of the token",
}


def add_options(parser: ArgumentParser, kind: str = "") -> None:
    """Give `parser` the options that bring a passphrase of this kind, such as `unlock`."""
    prefix = f"{kind}-" if kind else ""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        f"--{prefix}passphrase-file",
        type=Path,
        metavar="FILE",
        help=f"{_WHOSE[kind]}: the first line of FILE",
    )
    group.add_argument(
        f"--{prefix}passphrase-fd",
        type=int,
        metavar="N",
        help=f"{_WHOSE[kind]}: what the open descriptor N gives",
    )


def present(given: Namespace, kind: str, question: str) -> str:
    """Return a passphrase that exists: as the options or the environment say, or as typed.

    Raises UsageError if nobody can be asked.
    """
    found = configured(given, kind)
    return _typed(question, kind) if found is None else found


def new(given: Namespace, kind: str, question: str) -> str:
    """Return a passphrase that is to be set; it is typed twice.

    Raises UsageError if the two differ.
    """
    found = configured(given, kind)
    if found is not None:
        return found
    first = _typed(question, kind)
    if _typed(f"{question}, again", kind) != first:
        raise UsageError("The two passphrases are not the same: nothing was changed.")
    return first


def configured(given: Namespace, kind: str) -> str | None:
    """Return what options or the environment say, None if they do not."""
    prefix = f"{kind}_" if kind else ""
    file: Path | None = getattr(given, f"{prefix}passphrase_file", None)
    descriptor: int | None = getattr(given, f"{prefix}passphrase_fd", None)
    try:
        if file is not None:
            with file.open("rb") as stream:
                return _first_line(stream.read(MAX_BYTES), str(file))
        if descriptor is not None:
            with os.fdopen(descriptor, "rb") as stream:
                return _first_line(stream.read(MAX_BYTES), f"descriptor {descriptor}")
    except OSError as error:
        raise UsageError(f"The passphrase cannot be read: {error.strerror}.") from None
    return os.environ.get(_variable(kind))


def from_keyring(user: str, address: str) -> str | None:
    """Return what the desktop keyring keeps for a user of an HSM. Raises UsageError without one."""
    try:
        import keyring
    except ImportError:
        raise UsageError("The keyring needs the package keyring: pip install keyring.") from None
    found: str | None = keyring.get_password(SERVICE, f"{user}@{address}")
    return found


def _typed(question: str, kind: str) -> str:
    if not sys.stdin.isatty():
        option = f"--{kind}-passphrase-file" if kind else "--passphrase-file"
        raise UsageError(
            f"{question}: there is no terminal to ask at. Give {option}, or {_variable(kind)}."
        )
    return getpass.getpass(f"{question}: ", stream=sys.stderr)


def _variable(kind: str) -> str:
    return f"KEYSTEAD_{kind.upper()}_PASSPHRASE" if kind else "KEYSTEAD_PASSPHRASE"


def _first_line(content: bytes, where: str) -> str:
    line, *_ = content.split(b"\n", 1)
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise UsageError(f"The passphrase in {where} is not UTF-8.") from None
