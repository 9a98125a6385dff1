"""`keystead image`: builds the appliance, and signs and inspects update images.

Images are read in pieces. No whole image is in memory.
"""

import argparse
import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keystead.appliance.commands import add_build, add_keys
from keystead.appliance.sign_policy import sign_policy
from keystead.appliance.update_file import write_update
from keystead.errors import InvalidInput
from keystead.sealing.update_image import (
    MAX_CHUNK_BYTES,
    MAX_NOTES_CHARACTERS,
    ImageHeader,
    IncomingImage,
    SignatureCheck,
    SigningKey,
    UpdateKey,
)

_MAX_KEY_BYTES = 64 * 1024
_MAX_CONTENTS_BYTES = 16 * 1024 * 1024


class AnySignature:
    """Accepts every signature. Use it to inspect an image, never to install one."""

    def verify(self, header: bytes, signature: bytes) -> None:
        """Return."""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the subcommands; each sets `run`, to be called with the parsed arguments."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    signing = commands.add_parser("sign", help="make a signed update image")
    signing.add_argument("--key", type=Path, required=True, metavar="PRIVATE.pem")
    signing.add_argument("--version", required=True, metavar="MAJOR.MINOR.PATCH")
    signing.add_argument(
        "--security-version",
        type=int,
        required=True,
        metavar="N",
        help="raise it to keep every HSM that installs this image from going back before it",
    )
    signing.add_argument("--notes", type=Path, required=True, metavar="FILE", help="release notes")
    signing.add_argument("image", type=Path, metavar="IMAGE", help="what is to be signed")
    signing.add_argument("out", type=Path, metavar="OUT", help="the update image; must not exist")
    signing.set_defaults(run=_sign)
    inspecting = commands.add_parser("inspect", help="show what an update image is, and check it")
    inspecting.add_argument("--key", type=Path, metavar="PUBLIC.pem", help="verify the signature")
    inspecting.add_argument("file", type=Path, metavar="FILE")
    inspecting.set_defaults(run=_inspect)
    building = commands.add_parser("build", help="build the bootable image of the appliance")
    add_build(building)
    allowing = commands.add_parser("policy", help="sign what a TPM measures of a boot image")
    allowing.add_argument("--key", type=Path, required=True, metavar="PRIVATE.pem")
    allowing.add_argument("--security-version", type=int, required=True, metavar="N")
    allowing.add_argument("contents", type=Path, metavar="CONTENTS.json", help="of the image")
    allowing.add_argument("out", type=Path, metavar="OUT", help="the policy; must not exist")
    allowing.set_defaults(run=_policy)
    making = commands.add_parser("keys", help="make keys for Secure Boot and for update images")
    add_keys(making)


def _sign(given: argparse.Namespace) -> None:
    notes = _read(given.notes, limit=4 * MAX_NOTES_CHARACTERS)
    with _named_errors():
        header = write_update(
            given.image,
            given.out,
            _signing_key(given.key),
            version=given.version,
            security_version=given.security_version,
            release_notes=_text(notes, given.notes),
        )
    _say(header)


def _policy(given: argparse.Namespace) -> None:
    policy = sign_policy(
        _read(given.contents, limit=_MAX_CONTENTS_BYTES),
        _read(given.key, limit=_MAX_KEY_BYTES),
        security_version=given.security_version,
    )
    with _named_errors(), given.out.open("xb") as file:
        file.write(policy)


def _inspect(given: argparse.Namespace) -> None:
    """Check the whole image, then show it. Nothing of a damaged image is shown."""
    check: SignatureCheck = AnySignature()
    if given.key is not None:
        check = UpdateKey(_read(given.key, limit=_MAX_KEY_BYTES))
    image = IncomingImage(check)
    with _named_errors(), given.file.open("rb") as file:
        while part := file.read(MAX_CHUNK_BYTES):
            for _ in image.feed(part):
                pass
    _say(image.finish())
    print("signature: " + ("good" if given.key else "NOT VERIFIED (give --key)"))  # noqa: T201 - the answer


def _say(header: ImageHeader) -> None:
    lines = (
        f"product: {header.product}",
        f"version: {header.version}",
        f"security version: {header.security_version}",
        f"size: {header.size} bytes in {len(header.chunks)} chunks",
        # As a literal: the notes of a file that nobody has verified do not get at the terminal.
        f"release notes: {header.release_notes!a}",
    )
    print("\n".join(lines))  # noqa: T201 - the answer


def _signing_key(path: Path) -> SigningKey:
    pem = _read(path, limit=_MAX_KEY_BYTES)
    try:
        return SigningKey(pem)
    except TypeError:  # It is encrypted.
        return SigningKey(pem, getpass.getpass(f"Passphrase of {path}: ").encode())


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn errors of the file system into one line for the user."""
    try:
        yield
    except OSError as error:
        where = error.filename2 or error.filename or "The file"
        raise InvalidInput(f"{where}: {error.strerror}.") from error


def _read(path: Path, *, limit: int) -> bytes:
    with _named_errors(), path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise InvalidInput(f"{path} has more than {limit} bytes.")
    return content


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8.") from None
