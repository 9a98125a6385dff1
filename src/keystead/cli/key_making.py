"""`keystead keys generate` and `import`."""

import io
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keystead.cli import passphrases
from keystead.cli.command import Commands, Invocation
from keystead.cli.exit_status import UsageError
from keystead.cli.parallel import in_parallel
from keystead.cli.screen import Row
from keystead.client.client import Client, Json, Part, segment, to_base64

if TYPE_CHECKING:
    from keystead.cli.key_files import KeyFile

GENERIC_TYPE: Final = "Generic"
_USUAL: Final = {
    "RSA": ["RSA_Signature_PKCS1", "RSA_Signature_PSS_SHA256"],
    "EC_": ["ECDSA_Signature"],
    "Brainpool": ["ECDSA_Signature"],
    "Curve25519": ["EdDSA_Signature"],
    "Ed448": ["EdDSA_Signature"],
    "ML_DSA": ["ML_DSA_Signature"],
    "X": ["ECDH_Derivation"],
}
"""What a key is for when nothing is said: signatures, or a key exchange where it cannot sign.

By the beginning of the type's name."""


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    generating = commands.add("generate", _generate, "have the HSM make a key, or many")
    generating.add_argument("key_id", nargs="?", metavar="KEY", help="its ID (default: made up)")
    generating.add_argument("--type", required=True, metavar="TYPE", help="EC_P256, RSA, …")
    generating.add_argument("--length", type=int, metavar="BITS", help="of RSA and Generic keys")
    generating.add_argument(
        "--count", type=int, default=1, metavar="N", help="make N keys: KEY-1, KEY-2, …"
    )
    _add_attributes(generating)
    importing = commands.add("import", _import, "bring in a key from a file")
    importing.add_argument("key_id", metavar="KEY", help="its ID")
    importing.add_argument(
        "file", type=Path, metavar="FILE", help="PEM, DER or PKCS#12; with --generic, any bytes"
    )
    importing.add_argument("--generic", action="store_true", help="FILE is a symmetric key")
    passphrases.add_options(importing, "file")
    _add_attributes(importing)


def attributes(call: Invocation, type_name: str) -> dict[str, Json]:
    """Return what a new key is stored with. Raises UsageError if nothing says what it is for."""
    given = call.given
    mechanisms = given.mechanism or usual_mechanisms(type_name)
    if not mechanisms:
        raise UsageError(
            f"Nothing says what a key of the type {type_name} is for: check the type, or give "
            "--mechanism, for example HMAC_SHA256. /api_docs of the HSM lists the types (EC_P256, "
            "RSA, Generic, …) and their mechanisms."
        )
    content: dict[str, Json] = {"mechanisms": mechanisms, "restrictions": {"tags": given.tag}}
    if given.label:
        content["label"] = given.label
    return content


def usual_mechanisms(type_name: str) -> list[str]:
    """Return what keys of this type are for when nothing is said; empty if nothing is usual."""
    return next((found for name, found in _USUAL.items() if type_name.startswith(name)), [])


def bring(hsm: Client, key_id: str, key: "KeyFile", stored_with: Json) -> None:
    """Import a key that was read from a file, and the certificate beside it."""
    path = f"/keys/{segment(key_id)}"
    part = Part("key_file", io.BytesIO(key.pem), len(key.pem))
    hsm.upload_form("PUT", path, stored_with, part)
    if key.certificate:
        hsm.put_bytes(f"{path}/cert", key.certificate, "application/octet-stream")


def bring_generic(hsm: Client, key_id: str, secret: bytes, stored_with: Json) -> None:
    """Import a symmetric key."""
    content = {"type": GENERIC_TYPE, "private": {"data": to_base64(secret)}, **stored_with}
    hsm.put(f"/keys/{segment(key_id)}", content)


def _add_attributes(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--mechanism",
        action="append",
        metavar="NAME",
        help="what the key may be used for; may be given several times "
        "(default: signatures; X25519 and X448: key agreement; Generic has none)",
    )
    parser.add_argument("--label", default="")
    parser.add_argument(
        "--tag", action="append", default=[], help="only Operators with this tag may use it"
    )


def _generate(call: Invocation) -> None:
    given = call.given
    if given.count < 1:
        raise UsageError("--count must be 1 or more.")
    content = {"type": given.type, **attributes(call, given.type)}
    if given.length is not None:
        content["length"] = given.length
    hsm = call.client
    made: dict[int, Row] = {}

    def make(number: int) -> None:
        wanted = content
        if given.key_id:
            name = given.key_id if given.count == 1 else f"{given.key_id}-{number}"
            wanted = {**content, "id": name}
        made[number] = hsm.post("/keys/generate", wanted)

    try:
        numbers = range(1, given.count + 1)
        in_parallel("Keys", make, numbers, connections=call.connections)
    finally:  # Those that were made before an error are there.
        if made:
            call.screen.rows([made[number] for number in sorted(made)], {"id": "ID"})


def _import(call: Invocation) -> None:
    given = call.given
    if given.generic:
        stored_with = attributes(call, "Generic")
        bring_generic(call.client, given.key_id, given.file.read_bytes(), stored_with)
    else:
        from keystead.cli import key_files

        key = key_files.read(
            given.file.read_bytes(),
            lambda: passphrases.present(given, "file", f"Passphrase of {given.file}"),
        )
        bring(call.client, given.key_id, key, attributes(call, key.type_name))
    call.screen.done(f"{given.key_id} is in the HSM. The file is still there: destroy it.")
