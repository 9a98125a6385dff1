"""JSON web tokens signed by HSM keys, and the key set (JWKS) that verifies them.

The ID of a key in the HSM is its `kid`. Each key has one algorithm, which the key set names.
"""

import datetime as dt
import json
from argparse import Namespace
from pathlib import Path
from typing import Final

import jwt
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from examples.connection import hsm, parser
from keystead.client import Client
from keystead.client.private_keys import private_key

ALGORITHMS: Final = {
    "RS256": RSAAlgorithm,
    "PS256": RSAAlgorithm,
    "ES256": ECAlgorithm,
    "EdDSA": OKPAlgorithm,
}
LIFETIME: Final = dt.timedelta(minutes=15)


def sign(client: Client, given: Namespace) -> str:
    """Return a token for a subject and an audience."""
    now = dt.datetime.now(dt.UTC)
    claims = {"sub": given.subject, "aud": given.audience, "iat": now, "exp": now + LIFETIME}
    key = private_key(client, given.key)
    return jwt.encode(claims, key, algorithm=given.algorithm, headers={"kid": given.key})


def publish(client: Client, given: Namespace) -> str:
    """Return the key set of HSM keys, to be served as `/.well-known/jwks.json`."""
    keys = []
    for pair in given.keys:
        algorithm, _, kid = pair.partition(":")
        public = private_key(client, kid).public_key()
        described = ALGORITHMS[algorithm].to_jwk(public, as_dict=True)
        keys.append(described | {"kid": kid, "alg": algorithm, "use": "sig"})
    return json.dumps({"keys": keys}, indent=1)


def main() -> None:
    """Write what is asked for."""
    top = parser(__doc__)
    top.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    signing = commands.add_parser("sign", help="sign a token")
    signing.set_defaults(run=sign)
    signing.add_argument("--algorithm", choices=ALGORITHMS, required=True)
    for name in ("--key", "--subject", "--audience"):
        signing.add_argument(name, required=True)
    publishing = commands.add_parser("publish", help="make the key set")
    publishing.set_defaults(run=publish)
    publishing.add_argument("keys", nargs="+", metavar="ALGORITHM:KEY")
    given = top.parse_args()
    with hsm(given) as client:
        given.output.write_text(given.run(client, given))


if __name__ == "__main__":
    main()
