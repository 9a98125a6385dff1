#!/usr/bin/env bash
# OpenSSL and Go do not agree on which certificates are a TLS server's.
#
# - extendedKeyUsage with anyExtendedKeyUsage alone: RFC 5280, 4.2.1.12 lets an application take it; Go does, OpenSSL
#   (so curl and Python too) finds the certificate "unsuitable" for a server.
# - keyUsage with keyCertSign alone, without digitalSignature: RFC 8446, 4.4.2.2 wants digitalSignature of a server.
#   OpenSSL refuses it; Go does not look.
# - keyUsage with keyEncipherment alone: neither refuses it, though such a key may not sign in TLS 1.3. (GnuTLS 3.7.9
#   does: "Key usage violation in certificate has been detected".)
#
# Seen with OpenSSL 3.0.19 of Debian 12 and Go 1.26.8 on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout root.key -subj /CN=root -days 9 \
    -addext keyUsage=critical,keyCertSign -out root.pem 2> /dev/null
openssl req -newkey rsa:2048 -nodes -keyout server.key -subj /CN=localhost -out server.csr 2> /dev/null
certificate() { # file, extension
    printf 'subjectAltName=DNS:localhost\n%s\n' "$2" > extensions
    openssl x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 9 -extfile extensions \
        -out "$1.pem" 2> /dev/null
}
certificate serverAuth extendedKeyUsage=serverAuth
certificate anyExtendedKeyUsage extendedKeyUsage=anyExtendedKeyUsage
certificate keyCertSign keyUsage=keyCertSign
certificate keyEncipherment keyUsage=keyEncipherment

cat > verify.go <<'GO'
package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
)

func read(file string) *x509.Certificate {
	text, _ := os.ReadFile(file)
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic(err)
	}
	return certificate
}

func main() {
	roots := x509.NewCertPool()
	roots.AddCert(read("root.pem"))
	options := x509.VerifyOptions{DNSName: "localhost", Roots: roots} // KeyUsages: serverAuth by default.
	if _, err := read(os.Args[1]).Verify(options); err != nil {
		os.Exit(1)
	}
}
GO
export GOCACHE="$folder/go-cache" GOFLAGS=-modcacherw
go build -o verify-go verify.go

openssl version
go version
for name in serverAuth anyExtendedKeyUsage keyCertSign keyEncipherment; do
    for reader in "openssl verify -CAfile root.pem -purpose sslserver" ./verify-go; do
        verdict=refuses
        if $reader "$name.pem" > /dev/null 2>&1; then verdict=accepts; fi
        echo "${reader%% *} $verdict $name"
    done
done | tee seen
diff - seen <<'EXPECTED'
openssl accepts serverAuth
./verify-go accepts serverAuth
openssl refuses anyExtendedKeyUsage
./verify-go accepts anyExtendedKeyUsage
openssl refuses keyCertSign
./verify-go accepts keyCertSign
openssl accepts keyEncipherment
./verify-go accepts keyEncipherment
EXPECTED
echo "as described"
