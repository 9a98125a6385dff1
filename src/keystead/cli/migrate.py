"""`keystead migrate softhsm` and `migrate directory`: a plan first, a report at the end."""

import re
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keystead.cli import passphrases
from keystead.cli.command import Commands, Invocation, add_yes
from keystead.cli.exit_status import ExitStatus, UsageError
from keystead.cli.key_making import bring, bring_generic, usual_mechanisms
from keystead.cli.parallel import in_parallel
from keystead.cli.screen import Row
from keystead.client.client import Client, Json
from keystead.errors import InvalidInput, KeysteadError

if TYPE_CHECKING:
    from keystead.cli.key_files import KeyFile

TOKENS: Final = Path("/var/lib/softhsm/tokens")
_SUFFIXES: Final = (".pem", ".key", ".der", ".p8", ".pk8", ".p12", ".pfx")
_MAX_NAME: Final = 120
"""An ID has up to 128 characters; the rest is for a number."""
_AES: Final = ["AES_Encryption_CBC", "AES_Decryption_CBC"]
_SECRET: Final = ["HMAC_SHA256"]
_COLUMNS: Final = {"source": "From", "id": "ID", "type": "Type", "result": "Result"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key that was found elsewhere; or why it cannot come."""

    source: str
    name: str
    asymmetric: "KeyFile | None" = None
    symmetric: bytes | None = field(default=None, repr=False)
    mechanisms: Sequence[str] = ()
    problem: str = ""
    is_key: bool = True
    """Whether something stays behind when it does not come."""

    @property
    def type_name(self) -> str:
        """The type, as far as it is known here."""
        if self.symmetric is not None:
            return "Generic"
        return "" if self.asymmetric is None else self.asymmetric.type_name.rstrip("_")


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead migrate`."""
    commands = Commands(parser)
    tokens = commands.add("softhsm", _softhsm, "bring the keys of a SoftHSM2 token")
    tokens.add_argument(
        "--tokens", type=Path, default=TOKENS, metavar="DIR", help="(default: %(default)s)"
    )
    tokens.add_argument("--token", default="", metavar="LABEL", help="(default: the only one)")
    passphrases.add_options(tokens, "pin")
    folders = commands.add("directory", _directory, "bring the PEM and PKCS#12 files of a folder")
    folders.add_argument("directory", type=Path, metavar="DIR")
    passphrases.add_options(folders, "file")
    for one in (tokens, folders):
        one.add_argument("--dry-run", action="store_true", help="only show what would be done")
        one.add_argument("--prefix", default="", help="what the new IDs begin with")
        add_yes(one)


def _softhsm(call: Invocation) -> int:
    from keystead.cli.softhsm import read_token, token_folder

    folder = token_folder(call.given.tokens, call.given.token)
    pin = passphrases.present(call.given, "pin", "User PIN of the token")
    found = [
        Candidate(
            one.label,
            one.label,
            one.asymmetric,
            one.symmetric,
            _AES if one.is_aes else _SECRET,
            one.problem,
        )
        for one in read_token(folder, pin)
    ]
    return _migrate(call, found)


def _directory(call: Invocation) -> int:
    root: Path = call.given.directory
    files = [file for file in sorted(root.iterdir()) if file.suffix.lower() in _SUFFIXES]
    return _migrate(call, [_from_file(call, file) for file in files])


def _from_file(call: Invocation, file: Path) -> Candidate:
    from keystead.cli import key_files

    def ask() -> str:
        return passphrases.present(call.given, "file", f"Passphrase of {file.name}")

    try:
        return Candidate(file.name, file.stem, key_files.read(file.read_bytes(), ask))
    except UsageError:
        problem = "It is encrypted: give --file-passphrase-file."
    except key_files.NoPrivateKey as error:
        return Candidate(file.name, file.stem, problem=error.message, is_key=False)
    except InvalidInput as error:
        problem = error.message
    except OSError as error:
        problem = f"{error.strerror}."
    return Candidate(file.name, file.stem, problem=problem)


def _migrate(call: Invocation, found: Sequence[Candidate]) -> int:
    """Show the plan, ask, bring the keys, and report; status 1 if a key did not come."""
    ids = list(_ids(found, call.given.prefix))
    plan = [
        _row(one, key_id, one.problem or "would come")
        for one, key_id in zip(found, ids, strict=True)
    ]
    coming = sum(not one.problem for one in found)
    if call.given.dry_run or not coming:
        call.screen.rows(plan, _COLUMNS)
        return ExitStatus.DONE
    if not call.given.yes:
        call.screen.rows(plan, _COLUMNS)
        call.require_consent(f"Bring {coming} of {len(found)} keys into the HSM?")
    report = _bring_all(call, found, ids)
    call.screen.rows(report, _COLUMNS)
    all_came = all(
        row["result"] == _CAME for row, one in zip(report, found, strict=True) if one.is_key
    )
    call.screen.done("The sources are unchanged: destroy them when all is tried.")
    return ExitStatus.DONE if all_came else ExitStatus.REFUSED


_CAME: Final = "came"


def _bring_all(call: Invocation, found: Sequence[Candidate], ids: Sequence[str]) -> list[Row]:
    hsm = call.client

    def brought(pair: tuple[Candidate, str]) -> Row:
        one, key_id = pair
        return _row(one, key_id, one.problem or _bring(hsm, one, key_id))

    pairs = list(zip(found, ids, strict=True))
    return in_parallel("Keys", brought, pairs, connections=call.connections)


def _bring(hsm: Client, one: Candidate, key_id: str) -> str:
    """Import a key. Return the text that the table of results shows for it."""
    try:
        if one.asymmetric is not None:
            mechanisms = usual_mechanisms(one.asymmetric.type_name)
            bring(hsm, key_id, one.asymmetric, _stored_with(mechanisms))
        elif one.symmetric is not None:
            bring_generic(hsm, key_id, one.symmetric, _stored_with(one.mechanisms))
    except KeysteadError as error:
        return error.message
    return _CAME


def _stored_with(mechanisms: Sequence[str]) -> Json:
    return {"mechanisms": list(mechanisms)}


def _row(one: Candidate, key_id: str, result: str) -> Row:
    return {"source": one.source, "id": key_id, "type": one.type_name, "result": result}


def _ids(found: Sequence[Candidate], prefix: str) -> Iterator[str]:
    """Yield an ID for each: its name with what an ID cannot have replaced, numbered if taken."""
    taken: set[str] = set()
    for one in found:
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", prefix + one.name).lstrip("_.-") or "key"
        name = name[:_MAX_NAME]
        key_id, number = name, 2
        while key_id in taken:
            key_id, number = f"{name}-{number}", number + 1
        taken.add(key_id)
        yield key_id
