"""`keystead attestation`: get the HSM's identity, and verify attestations without the HSM."""

import base64
import binascii
from argparse import ArgumentParser, Namespace
from pathlib import Path

from keystead.cli.command import Commands, Invocation, run_offline
from keystead.cli.exit_status import UsageError
from keystead.cli.key_arguments import add_output, read_input
from keystead.cli.screen import Screen, write_file


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead attestation`."""
    commands = Commands(parser)
    showing = commands.add("identity", _identity, "get the certificates of the HSM's identity, PEM")
    add_output(showing)
    verifying = commands.add_group("verify", "check an attestation, without an HSM")
    run_offline(verifying, _verify)
    verifying.add_argument("file", type=Path, metavar="FILE", help="the JWS; '-' is stdin")
    verifying.add_argument(
        "--identity",
        type=Path,
        metavar="PEM",
        required=True,
        help="the identity's public key, or its certificates",
    )
    verifying.add_argument(
        "--nonce", metavar="BASE64", required=True, help="what the attestation was asked for with"
    )


def nonce_of(text: str) -> bytes:
    """Return the nonce that is given in base64. Raises UsageError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise UsageError("The nonce is not base64.") from None


def _identity(call: Invocation) -> None:
    certificates = call.client.identity()["certificates"]
    write_file(call.given.output, [certificates.encode()], is_text=True)


def _verify(given: Namespace) -> None:
    from keystead.client.attestations import verify_attestation

    identity, nonce = given.identity.read_bytes(), nonce_of(given.nonce)
    claims = verify_attestation(read_input(given.file), identity_pem=identity, nonce=nonce)
    Screen(is_json=given.json).record(claims)
