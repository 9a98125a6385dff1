#!/usr/bin/env bash
# SoftHSM2 keeps an Ed25519 key that was imported in another form than one that it made, and OpenSC reads the public half of the latter alone.
#
# A key that C_GenerateKeyPair made has CKA_EC_PARAMS as the caller gave them (pkcs11-tool: the name "edwards25519") and CKA_EC_POINT as
# an OCTET STRING in DER. softhsm2-util --import writes the object identifier 1.3.101.112 and the 32 bytes without DER around them.
# PKCS #11 has allowed one and the other in its versions 2.40 to 3.1. pkcs11-tool says "cannot decode EC_POINT" of the imported key, and
# p11tool a "Public key" without a type; signing works with both. So test with keys of both origins, and keep the public key's file.
#
# Seen with SoftHSM 2.6.1, OpenSC 0.23 and OpenSSL 3.0 of Debian 12 on 2026-11-29.
set -euo pipefail
command -v softhsm2-util pkcs11-tool openssl >/dev/null || {
    echo "softhsm2, opensc and openssl are needed"
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
dpkg-query --show softhsm2 opensc
mkdir tokens
echo "directories.tokendir = $folder/tokens" >softhsm2.conf
export SOFTHSM2_CONF=$folder/softhsm2.conf
module=$(ls /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so 2>/dev/null | head -n 1)
tool() { pkcs11-tool --module "$module" --token-label t --login --pin 1234 "$@"; }
{
    softhsm2-util --init-token --free --label t --pin 1234 --so-pin 12345678
    openssl genpkey -algorithm ed25519 -out key.pem
    openssl pkey -in key.pem -pubout -out imported.pem
    softhsm2-util --import key.pem --token t --label imported --id 01 --pin 1234
    tool --keypairgen --key-type EC:edwards25519 --label made --id 02
} >log 2>&1

tool --list-objects --type pubkey 2>&1 | grep -E 'EC_|label' | tee objects
printf hello >message
for id in 01 02; do
    tool --sign --mechanism EDDSA --id $id --input-file message --output-file signature.$id >>log 2>&1
done
openssl pkeyutl -verify -pubin -inkey imported.pem -rawin -in message -sigfile signature.01
tool --read-object --type pubkey --id 02 --output-file made.pem >>log 2>&1
openssl pkeyutl -verify -pubin -inkey made.pem -rawin -in message -sigfile signature.02
if tool --read-object --type pubkey --id 01 --output-file read.pem 2>refusal; then exit 1; fi
grep 'cannot decode EC_POINT' refusal
grep -q 'EC_PARAMS:  06032b6570 ' objects # OBJECT IDENTIFIER 1.3.101.112
grep -q 'EC_PARAMS:  130c656477617264733235353139 ' objects # PrintableString "edwards25519"
echo "as described"
