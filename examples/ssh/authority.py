"""An SSH certificate authority whose key is in the HSM."""

import datetime as dt
from argparse import Namespace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_public_key,
)

from examples.connection import hsm, parser
from keystead.client import Client
from keystead.client.private_keys import private_key

BACKDATED: Final = dt.timedelta(minutes=5)
"""Clocks differ."""
PERMITTED: Final = (b"permit-pty", b"permit-port-forwarding", b"permit-agent-forwarding")
KINDS: Final = {"user": SSHCertificateType.USER, "host": SSHCertificateType.HOST}


def show(client: Client, given: Namespace) -> bytes:
    """Return the public key of an HSM key, as `authorized_keys` has it."""
    public = private_key(client, given.key).public_key()
    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return line + f" {given.key}\n".encode()


def certify(client: Client, given: Namespace) -> bytes:
    """Return a certificate for a public key."""
    now = dt.datetime.now(dt.UTC)
    builder = (
        SSHCertificateBuilder()
        .public_key(load_ssh_public_key(given.public.read_bytes()))
        .type(KINDS[given.kind])
        .serial(given.serial)
        .key_id(f"{given.public.stem} {given.serial}".encode())
        .valid_principals([one.encode() for one in given.principal])
        .valid_after(int((now - BACKDATED).timestamp()))
        .valid_before(int((now + dt.timedelta(hours=given.hours)).timestamp()))
    )
    for extension in PERMITTED if given.kind == "user" else ():
        builder = builder.add_extension(extension, b"")
    return builder.sign(private_key(client, given.key)).public_bytes() + b"\n"


def main() -> None:
    """Write what is asked for."""
    top = parser(__doc__)
    top.add_argument("--key", required=True, help="the key in the HSM")
    top.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("show", help="write its public key").set_defaults(run=show)
    certifying = commands.add_parser("certify", help="make a certificate")
    certifying.set_defaults(run=certify)
    certifying.add_argument("kind", choices=KINDS)
    certifying.add_argument("public", type=Path, metavar="PUBLIC_KEY")
    certifying.add_argument("--serial", type=int, required=True, help="by which it is revoked")
    certifying.add_argument("--principal", action="append", required=True, help="user or host name")
    certifying.add_argument("--hours", type=int, default=24, help="how long it is valid")
    given = top.parse_args()
    with hsm(given) as client:
        given.output.write_bytes(given.run(client, given))


if __name__ == "__main__":
    main()
