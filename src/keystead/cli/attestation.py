"""`keystead attestation`: get what others verify, and verify it without the HSM."""

import base64
import binascii
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Final

from keystead.cli.command import Commands, Invocation, run_offline
from keystead.cli.exit_status import UsageError
from keystead.cli.key_arguments import add_output, read_input
from keystead.cli.screen import Screen, write_file
from keystead.client.errors import WrongState

_NO_TPM: Final = (
    "This HSM has no TPM for attestation: [attestation] in its configuration file names one."
)
"""What the HSM says to a request for a quote, too."""


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead attestation`."""
    commands = Commands(parser)
    showing = commands.add("identity", _identity, "get the certificates of the HSM's identity, PEM")
    add_output(showing)
    showing = commands.add("tpm-key", _tpm_key, "get the key of the TPM that signs quotes, PEM")
    add_output(showing)
    quoting = commands.add("quote", _quote, "have the TPM sign what the machine has booted")
    add_output(quoting)
    quoting.add_argument("--nonce", metavar="BASE64", required=True, help="8 to 32 bytes")
    verifying = commands.add_group("verify", "check an attestation, without an HSM")
    run_offline(verifying, _verify)
    verifying.add_argument("file", type=Path, metavar="FILE", help="the JWS or quote; '-' is stdin")
    signer = verifying.add_mutually_exclusive_group(required=True)
    signer.add_argument(
        "--identity",
        type=Path,
        metavar="PEM",
        help="the identity's public key, or its certificates",
    )
    signer.add_argument("--tpm-key", type=Path, metavar="PEM", help="FILE is a quote of this key")
    verifying.add_argument(
        "--measurements",
        type=Path,
        metavar="FILE",
        help="contents.json of the image that is expected to run; with --tpm-key",
    )
    verifying.add_argument(
        "--nonce", metavar="BASE64", required=True, help="what the attestation was asked for with"
    )


def nonce_of(text: str) -> bytes:
    """Return the nonce that is given in base64. Raises UsageError if it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise UsageError("The nonce is not base64.") from None


def _identity(call: Invocation) -> None:
    certificates = call.client.identity()["certificates"]
    write_file(call.given.output, [certificates.encode()], is_text=True)


def _tpm_key(call: Invocation) -> None:
    from keystead.client.quotes import pem_of

    key = call.client.attestation_key()
    if key is None:
        raise WrongState(_NO_TPM, 412)
    write_file(call.given.output, [pem_of(key)], is_text=True)


def _quote(call: Invocation) -> None:
    quote = call.client.machine_quote(nonce_of(call.given.nonce))
    write_file(call.given.output, [quote], is_text=True)


def _verify(given: Namespace) -> None:
    if given.measurements is not None and given.tpm_key is None:
        raise UsageError("--measurements is for quotes: it needs --tpm-key.")
    claims = _claims_of_key(given) if given.tpm_key is None else _claims_of_machine(given)
    Screen(is_json=given.json).record(claims)


def _claims_of_key(given: Namespace) -> dict[str, Any]:
    from keystead.client.attestations import verify_attestation

    identity, nonce = given.identity.read_bytes(), nonce_of(given.nonce)
    return verify_attestation(read_input(given.file), identity_pem=identity, nonce=nonce)


def _claims_of_machine(given: Namespace) -> dict[str, Any]:
    from keystead.client.quotes import verify_quote

    wanted = given.measurements
    return verify_quote(
        read_input(given.file),
        key_pem=given.tpm_key.read_bytes(),
        nonce=nonce_of(given.nonce),
        measurements=None if wanted is None else wanted.read_bytes(),
    )
