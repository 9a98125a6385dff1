#!/usr/bin/env bash
# PyJWT refuses the PS256 signatures of josepy.
#
# RFC 7518 (section 3.5) has the salt of PS256 as long as the hash: 32 bytes. PyJWT signs so, and requires it when it verifies.
# josepy, the library under certbot's ACME client, signs with the longest salt that the key has room for, 222 bytes with
# RSA-2048, and accepts either when it verifies, so a test with josepy alone shows nothing. An HSM that makes PSS as RFC 7518
# has it cannot serve josepy's PS256. RS256 is not affected.
#
# Seen with josepy 2.2.0, PyJWT 2.15.1 and cryptography 50.0.2 from PyPI on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -q install josepy==2.2.0 pyjwt==2.15.1 cryptography==50.0.2
"$folder/venv/bin/pip" list 2> /dev/null | grep -iE '^(josepy|pyjwt|cryptography) '

"$folder/venv/bin/python" - <<'PROGRAM' | tee "$folder/seen"
import json

import josepy
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

key = rsa.generate_private_key(65537, 2048)
jwk = josepy.JWKRSA(key=josepy.util.ComparableRSAKey(key))


def by_pyjwt(algorithm):
    return jwt.encode({"a": 1}, key, algorithm=algorithm)


def by_josepy(algorithm):
    signed = josepy.JWS.sign(
        json.dumps({"a": 1}).encode(), key=jwk, alg=getattr(josepy, algorithm), protect={"alg"}, include_jwk=False
    )
    return signed.to_compact().decode()


def pyjwt_accepts(token, algorithm):
    try:
        return bool(jwt.decode(token, key.public_key(), algorithms=[algorithm]))
    except jwt.InvalidSignatureError:
        return False


def josepy_accepts(token):
    return josepy.JWS.from_compact(token.encode()).verify(jwk.public_key())


for algorithm in ("RS256", "PS256"):
    for maker in (by_pyjwt, by_josepy):
        token = maker(algorithm)
        print(algorithm, maker.__name__, "PyJWT:", pyjwt_accepts(token, algorithm), "josepy:", josepy_accepts(token))
PROGRAM
diff - "$folder/seen" <<'EXPECTED'
RS256 by_pyjwt PyJWT: True josepy: True
RS256 by_josepy PyJWT: True josepy: True
PS256 by_pyjwt PyJWT: True josepy: True
PS256 by_josepy PyJWT: False josepy: True
EXPECTED
echo "as described"
