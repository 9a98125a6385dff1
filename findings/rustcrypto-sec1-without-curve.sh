#!/usr/bin/env bash
# The p256 crate writes an EC PRIVATE KEY file that does not say which curve it is on; OpenSSL and Go refuse it.
#
# RFC 5915, section 3: the field `parameters` is optional in ASN.1, but implementations that conform must always include
# it. SecretKey::to_sec1_pem of RustCrypto (p256, and p384 and k256 by the same code) leaves it out. Its to_pkcs8_pem
# names the curve in PKCS #8, and is read everywhere.
#
# Seen with p256 0.13.2, OpenSSL 3.0.19 of Debian 12 and Go 1.26.8 on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"

mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "sec1"
version = "0.0.0"
edition = "2021"

[dependencies]
p256 = { version = "=0.13.2", features = ["pem", "pkcs8"] }
TOML
cat > src/main.rs <<'RUST'
use p256::pkcs8::{EncodePrivateKey, LineEnding::LF};

fn main() {
    let mut scalar = [0; 32];
    scalar[31] = 7;
    let key = p256::SecretKey::from_slice(&scalar).unwrap();
    std::fs::write("sec1.pem", key.to_sec1_pem(LF).unwrap()).unwrap();
    std::fs::write("pkcs8.pem", key.to_pkcs8_pem(LF).unwrap()).unwrap();
}
RUST
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
	_, asSec1 := x509.ParseECPrivateKey(block.Bytes)
	_, asPkcs8 := x509.ParsePKCS8PrivateKey(block.Bytes)
	if asSec1 != nil && asPkcs8 != nil {
		os.Exit(1)
	}
}
GO
cargo run --quiet
export GOCACHE="$folder/go-cache" GOFLAGS=-modcacherw
go build -o read-go read.go

openssl version
go version
openssl asn1parse -in sec1.pem
for form in sec1 pkcs8; do
    for reader in "openssl pkey -noout -in" ./read-go; do
        verdict=refuses
        if $reader "$form.pem" > /dev/null 2>&1; then verdict=reads; fi
        echo "${reader%% *} $verdict $form"
    done
done | tee seen
diff - seen <<'EXPECTED'
openssl refuses sec1
./read-go refuses sec1
openssl reads pkcs8
./read-go reads pkcs8
EXPECTED
if openssl asn1parse -in sec1.pem | grep -q OBJECT; then exit 1; fi
echo "as described"
