"""Signs a Debian repository with an OpenPGP key whose private half is in the HSM.

`certify` writes the certificate that apt trusts. `release` signs a Release file: InRelease and
Release.gpg are written beside it.
"""

import time
from argparse import Namespace
from pathlib import Path

from examples.connection import hsm, parser
from examples.debian_repository.openpgp import (
    OF_BINARY,
    PrivateKey,
    armored,
    certificate,
    known_signer,
    new_signer,
    signature,
    signed_text,
)
from keystead.client.private_keys import private_key


def certify(key: PrivateKey, given: Namespace) -> None:
    """Write a new certificate: its fingerprint is another one each second."""
    given.output.write_bytes(certificate(new_signer(key, int(time.time())), given.user_id))


def release(key: PrivateKey, given: Namespace) -> None:
    """Sign a Release file."""
    signer, now = known_signer(key, given.certificate.read_bytes()), int(time.time())
    text = given.release.read_text()
    given.release.with_name("InRelease").write_text(signed_text(signer, text, now))
    detached = signature(signer, OF_BINARY, given.release.read_bytes(), now)
    given.release.with_name("Release.gpg").write_text(armored(detached))


def main() -> None:
    """Certify or sign."""
    top = parser(__doc__)
    top.add_argument("--key", required=True, help="the key in the HSM: RSA or Curve25519")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    certifying = commands.add_parser("certify", help="write the certificate that apt trusts")
    certifying.set_defaults(run=certify)
    certifying.add_argument("user_id", metavar="USER-ID")
    certifying.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    signing = commands.add_parser("release", help="sign a Release file")
    signing.set_defaults(run=release)
    signing.add_argument("release", type=Path, metavar="RELEASE")
    signing.add_argument("--certificate", type=Path, required=True, metavar="FILE")
    given = top.parse_args()
    with hsm(given) as client:
        given.run(private_key(client, given.key), given)


if __name__ == "__main__":
    main()
