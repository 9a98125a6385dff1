#!/usr/bin/env bash
# OpenSSL and pyca/cryptography refuse the Ed25519 private key that RFC 8410 prints as its second example; Go reads it.
#
# The example (RFC 8410, section 10.3) is PKCS #8 of version 2 (RFC 5958): it has attributes and the public key beside
# the private one. ring, Bouncy Castle and ed25519-dalek write version 2 by default, so that their key files cannot be
# read with `openssl pkey`, nor by what calls the same code; the first example, without a public key, can.
#
# Seen with OpenSSL 3.0.19 of Debian 12, cryptography 50.0.2 and Go 1.26.8 on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"

cat > first.pem <<'PEM'
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
PEM
cat > second.pem <<'PEM'
-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
PEM
python3 -m venv venv
venv/bin/pip install --quiet cryptography==50.0.2
cat > read.go <<'GO'
package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
)

func main() {
	text, _ := os.ReadFile(os.Args[1])
	block, _ := pem.Decode(text)
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		os.Exit(1)
	}
}
GO
export GOCACHE="$folder/go-cache" GOFLAGS=-modcacherw
go build -o read-go read.go
load="import sys; from cryptography.hazmat.primitives.serialization import load_pem_private_key as load
load(open(sys.argv[1], 'rb').read(), None)"

openssl version
venv/bin/pip list 2>/dev/null | grep '^cryptography '
go version
for example in first second; do
    for reader in "openssl pkey -noout -in" "venv/bin/python -c LOAD" "./read-go"; do
        read -ra words <<< "$reader"
        verdict=refuses
        if "${words[@]/LOAD/$load}" "$example.pem" > /dev/null 2>&1; then verdict=reads; fi
        echo "${words[0]##*/} $verdict $example"
    done
done | tee seen
diff - seen <<'EXPECTED'
openssl reads first
python reads first
read-go reads first
openssl refuses second
python refuses second
read-go reads second
EXPECTED
echo "as described"
