#!/usr/bin/env bash
# PyJWT refuses a valid PS256 token when the RSA key of the key set has no "alg", even where the caller allows PS256.
#
# "alg" is optional in a JWK (RFC 7517, section 4.4): without it, any algorithm of the key's type may be meant. PyJWT's PyJWK takes
# RS256 for an RSA key that names none, and then holds the token to it; `algorithms=["PS256"]` does not change that. The same key
# given as a public key verifies the token, so does the JWK once it says PS256. A key set for PS256 has to name the algorithm.
#
# Seen with PyJWT 2.15.1 and cryptography 50.0.2 from PyPI on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -q install pyjwt==2.15.1 cryptography==50.0.2
"$folder/venv/bin/pip" list 2> /dev/null | grep -iE '^(pyjwt|cryptography) '

"$folder/venv/bin/python" - <<'PROGRAM' | tee "$folder/seen"
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

key = rsa.generate_private_key(65537, 2048)
public = key.public_key()
token = jwt.encode({"a": 1}, key, algorithm="PS256")
without = RSAAlgorithm.to_jwk(public, as_dict=True)

for what, verifier in (
    ("public key", public),
    ("JWK with alg", jwt.PyJWK(without | {"alg": "PS256"})),
    ("JWK without alg", jwt.PyJWK(without)),
):
    try:
        print(what, jwt.decode(token, verifier, algorithms=["PS256"]))
    except jwt.InvalidTokenError as error:
        print(what, error)
PROGRAM
diff - "$folder/seen" <<'EXPECTED'
public key {'a': 1}
JWK with alg {'a': 1}
JWK without alg Token algorithm 'PS256' does not match the key's algorithm 'RS256'
EXPECTED
echo "as described"
