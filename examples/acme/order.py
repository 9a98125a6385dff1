"""Orders a certificate by ACME (RFC 8555), with an account key in the HSM.

The names are those of a certificate signing request. HTTP-01 proves them: a file in the directory
of the web server that the names lead to.
"""

from argparse import Namespace
from pathlib import Path
from typing import Any, Final

import josepy
from acme import challenges, errors, messages
from acme.client import ClientNetwork, ClientV2
from cryptography.hazmat.primitives.asymmetric import ec

from examples.connection import hsm, parser
from keystead.client.private_keys import private_key

ALGORITHMS: Final = {"secp256r1": josepy.ES256, "secp384r1": josepy.ES384}
"""RFC 8555 asks of every server that it takes ES256."""


class AccountKey(josepy.JWKEC):
    """An account key whose private half is in the HSM.

    josepy writes a key's private numbers with its public ones, and a thumbprint asks for all of
    them before it drops the private ones.
    """

    __slots__ = ("key",)

    def fields_to_partial_json(self) -> dict[str, Any]:
        """Return the fields of the public key."""
        return josepy.JWKEC(key=self.key.public_key()).fields_to_partial_json()


def account(directory: str, key: ec.EllipticCurvePrivateKey) -> ClientV2:
    """Return a client with the account of a key, which is made if the key has none yet."""
    net = ClientNetwork(AccountKey(key=key), alg=ALGORITHMS[key.curve.name])
    client = ClientV2(ClientV2.get_directory(directory, net), net)
    try:
        client.new_account(messages.NewRegistration(terms_of_service_agreed=True))
    except errors.ConflictError as found:
        known = messages.RegistrationResource(body=messages.Registration(), uri=found.location)
        client.query_registration(known)
    return client


def prove(client: ClientV2, authorization: messages.AuthorizationResource, webroot: Path) -> None:
    """Write the file that proves a name, and have the authority fetch it."""
    if authorization.body.status == messages.STATUS_VALID:
        return
    challenge = next(
        one for one in authorization.body.challenges if isinstance(one.chall, challenges.HTTP01)
    )
    response, content = challenge.response_and_validation(client.net.key)
    file = webroot / challenge.chall.path.removeprefix("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    client.answer_challenge(challenge, response)


def order(client: ClientV2, given: Namespace) -> None:
    """Write the certificate and its issuers. Raises ValidationError for a name not proven."""
    wanted = client.new_order(given.request.read_bytes())
    for authorization in wanted.authorizations:
        prove(client, authorization, given.webroot)
    given.output.write_text(client.poll_and_finalize(wanted).fullchain_pem)


def main() -> None:
    """Order a certificate."""
    top = parser(__doc__)
    top.add_argument("request", type=Path, metavar="CSR")
    top.add_argument("--account", required=True, metavar="KEY", help="the account's key in the HSM")
    top.add_argument("--directory", required=True, metavar="URL", help="of the authority")
    top.add_argument("--webroot", type=Path, required=True, metavar="DIRECTORY")
    top.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    given = top.parse_args()
    with hsm(given) as keys:
        order(account(given.directory, private_key(keys, given.account)), given)


if __name__ == "__main__":
    main()
