#!/usr/bin/env bash
# No name of the algorithm makes an Ed25519 JWS that PyJWT and joserfc both take without complaint.
#
# RFC 8037 calls it "EdDSA", RFC 9864 (October 2025) deprecates that name and registers "Ed25519". joserfc 1.8.0 still takes "EdDSA"
# and warns each time, which is an error in programs that make warnings errors. PyJWT 2.15.1 does not know "Ed25519" at all. jwcrypto
# takes both. A producer has to choose the old name, and verifiers with joserfc have to silence the warning.
#
# Seen with PyJWT 2.15.1, joserfc 1.8.0, jwcrypto 1.6.1 and cryptography 50.0.2 from PyPI on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -q install pyjwt==2.15.1 joserfc==1.8.0 jwcrypto==1.6.1 cryptography==50.0.2
"$folder/venv/bin/pip" list 2> /dev/null | grep -iE '^(pyjwt|joserfc|jwcrypto|cryptography) '

"$folder/venv/bin/python" -W ignore - <<'PROGRAM' | tee "$folder/seen"
import warnings

import jwt
from cryptography.hazmat.primitives import serialization
from joserfc import jws as by_joserfc
from joserfc.jwk import OKPKey
from jwcrypto import jwk
from jwcrypto import jws as by_jwcrypto

key = jwk.JWK.generate(kty="OKP", crv="Ed25519")
pem = key.export_to_pem()
public = serialization.load_pem_public_key(pem)

for name in ("EdDSA", "Ed25519"):
    made = by_jwcrypto.JWS(b"{}")
    made.add_signature(key, name, '{"alg":"%s"}' % name)
    token = made.serialize(compact=True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        by_joserfc.deserialize_compact(token, OKPKey.import_key(pem), algorithms=[name])
    print(name, "joserfc:", *([str(one.message) for one in seen] or ["good"]))
    try:
        jwt.api_jws.decode(token, public, algorithms=[name])
        print(name, "PyJWT: good")
    except jwt.InvalidTokenError as error:
        print(name, "PyJWT:", error)
PROGRAM
diff - "$folder/seen" <<'EXPECTED'
EdDSA joserfc: EdDSA is deprecated via RFC 9864
EdDSA PyJWT: good
Ed25519 joserfc: good
Ed25519 PyJWT: Algorithm not supported
EXPECTED
echo "as described"
