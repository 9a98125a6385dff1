#!/usr/bin/env bash
# pkcs11-tool --read-object writes the public keys of RSA and EC as DER, and those of Ed25519 as PEM.
#
# The option, the file and the exit status are the same, and pkcs11-tool(1) of OpenSC 0.23 mentions DER alone. A script that goes on with
# `openssl pkey -pubin -inform DER` works for every key but those of Ed25519: "Could not read key". Without -inform, OpenSSL 3
# finds out by itself which of the two it is.
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
tool() { pkcs11-tool --module "$module" --token-label t --login --pin 1234 "$@" >>log 2>&1; }
softhsm2-util --init-token --free --label t --pin 1234 --so-pin 12345678 >log

number=0
for type in rsa:2048 EC:prime256v1 EC:edwards25519; do
    number=$((number + 1))
    tool --keypairgen --key-type $type --label $type --id "0$number"
    tool --read-object --type pubkey --id "0$number" --output-file public.$number
    if [ "$(head -c 10 public.$number)" = "-----BEGIN" ]; then format=PEM; else format=DER; fi
    openssl pkey -pubin -inform $format -in public.$number -noout
    echo "$type: $format"
done | tee seen
diff - seen <<'EXPECTED'
rsa:2048: DER
EC:prime256v1: DER
EC:edwards25519: PEM
EXPECTED
echo "as described"
