#!/usr/bin/env bash
# Of one in 128 EC keys, Authlib writes a JWK that go-jose refuses, with a thumbprint that is not RFC 7638's.
#
# RFC 7518, sections 6.2.1.2 and 6.2.2.1: a coordinate or private value is as long as the field, 32 bytes for P-256. Authlib writes
# the number without its leading zeros. So 127 of 128 key sets work everywhere. Of the others, go-jose says "wrong length for y",
# PyJWT and jwcrypto read them, and the `kid` that Authlib makes from the thumbprint is not what others make from the same key.
# joserfc, which comes from the same authors, writes such keys right. The key here is the private value 43, whose y begins with a zero.
#
# Seen with Authlib 1.9.10, jwcrypto 1.6.1, joserfc 1.8.0 and cryptography 50.0.2 from PyPI, go-jose 4.1.9 and Go 1.26 on 2026-11-29.
set -euo pipefail
command -v go >/dev/null || {
    echo "go is needed"
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip --disable-pip-version-check -q install authlib==1.9.10 jwcrypto==1.6.1 joserfc==1.8.0 cryptography==50.0.2
venv/bin/pip list 2> /dev/null | grep -iE '^(authlib|jwcrypto|joserfc|cryptography) '
venv/bin/python -W ignore - <<'PROGRAM' | tee thumbprints
import json
from pathlib import Path

from authlib.jose import ECKey as ByAuthlib
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey as ByJoserfc
from jwcrypto.jwk import JWK as ByJwcrypto

pem = (
    ec.derive_private_key(43, ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)
authlib, joserfc, jwcrypto = ByAuthlib.import_key(pem), ByJoserfc.import_key(pem), ByJwcrypto.from_pem(pem)
Path("authlib.json").write_text(json.dumps(authlib.as_dict()))
Path("jwcrypto.json").write_text(jwcrypto.export_public())
print("Authlib ", authlib.thumbprint())
print("joserfc ", joserfc.thumbprint())
print("jwcrypto", jwcrypto.thumbprint())
PROGRAM

cat > main.go <<'PROGRAM'
package main

import (
	"fmt"
	"os"

	"github.com/go-jose/go-jose/v4"
)

func main() {
	for _, by := range os.Args[1:] {
		data, err := os.ReadFile(by + ".json")
		if err == nil {
			var key jose.JSONWebKey
			err = key.UnmarshalJSON(data)
		}
		fmt.Println(by, err)
	}
}
PROGRAM
{
    go mod init finding
    go get github.com/go-jose/go-jose/v4@v4.1.9
} 2> go.log
go run . jwcrypto authlib | tee read

diff - thumbprints <<'EXPECTED'
Authlib  oynto_iDk7BbC1TpDhAjGoiBUFY63hdrK_AAqhuXqX8
joserfc  WZsjbh58q8kl1WsGShqtiycImZtCgGbukDn4RAacMig
jwcrypto WZsjbh58q8kl1WsGShqtiycImZtCgGbukDn4RAacMig
EXPECTED
grep -qx 'jwcrypto <nil>' read
grep -q '^authlib .*wrong length for y' read
echo "as described"
