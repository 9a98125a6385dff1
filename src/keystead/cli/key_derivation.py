"""`keystead keys derive`: a secret shared with another party, or derived from a symmetric key."""

import base64
from argparse import ArgumentParser
from pathlib import Path

from keystead.cli.command import Commands, Invocation
from keystead.cli.exit_status import UsageError
from keystead.cli.key_arguments import DERIVATION, add_key_id, add_output, give, mode_of
from keystead.client.client import Json, segment, to_base64


def add_command(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add("derive", _derive, "derive a secret, which may become a key that stays")
    add_key_id(parser)
    parser.add_argument("--mode", help="as the API names it (default: the key's first)")
    parser.add_argument("--peer", type=Path, metavar="PEM", help="the other party's public key")
    _add_hkdf(parser)
    parser.add_argument("--into", metavar="KEY", help="make it a Generic key; nothing is shown")
    parser.add_argument(
        "--mechanism", action="append", default=[], metavar="NAME", help="of the key of --into"
    )
    add_output(parser)


def _add_hkdf(parser: ArgumentParser) -> None:
    parser.add_argument("--hkdf", metavar="HASH", help="apply HKDF to the shared secret: SHA256, …")
    parser.add_argument("--length", type=int, metavar="BYTES", help="of what HKDF gives")
    parser.add_argument("--salt", type=Path, metavar="FILE", help="of HKDF")
    parser.add_argument("--info", type=Path, metavar="FILE", help="of HKDF")


def _derive(call: Invocation) -> None:
    given = call.given
    mode = given.mode or mode_of(call.client.key(given.key_id)["mechanisms"], DERIVATION)
    content: dict[str, Json] = {"mode": mode}
    if given.peer is not None:
        content["publicKey"] = to_base64(_spki(given.peer))
    if given.hkdf is not None:
        content["kdf"] = {"hkdf": given.hkdf, **_hkdf(call)}
    else:
        content |= _hkdf(call)
    if given.into is None:
        answer = call.client.use(given.key_id, "derive", content)
        give(call, base64.b64decode(answer["secret"]), answer)
        return
    if not given.mechanism:
        raise UsageError("What may the new key be used for? Give --mechanism, as the API names it.")
    content["into"] = {"id": given.into, "mechanisms": given.mechanism}
    # Not repeatable: the second of two would be refused for the ID.
    call.client.post(f"/keys/{segment(given.key_id)}/derive", content)
    call.screen.done(f"The key {given.into} is stored.")


def _hkdf(call: Invocation) -> dict[str, Json]:
    given = call.given
    found: dict[str, Json] = {} if given.length is None else {"length": given.length}
    for name, file in (("salt", given.salt), ("info", given.info)):
        if file is not None:
            found[name] = to_base64(file.read_bytes())
    return found


def _spki(file: Path) -> bytes:
    """Return a public key as DER. Raises UsageError if the file has none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    try:
        public = load_pem_public_key(file.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{file} is not a public key in PEM.") from None
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
