#!/usr/bin/env bash
# pkcs11-tool signs with another key than the one that --label names.
#
# With --sign, pkcs11-tool of OpenSC 0.23 looks for the private key by --id alone. A --label is accepted and has no effect: the
# signature is by whichever key the module lists first, even if no key has the label, and the exit status is 0. Elsewhere
# (--read-object, --delete-object) --label does select the object, so scripts come to rely on it.
#
# Seen with OpenSC 0.23.0 and SoftHSM 2.6.1 of Debian 12 on 2026-11-28.
set -euo pipefail
command -v pkcs11-tool softhsm2-util openssl >/dev/null || { echo "pkcs11-tool, softhsm2-util and openssl are needed"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
dpkg-query --show opensc softhsm2

mkdir tokens
echo "directories.tokendir = $folder/tokens" > softhsm2.conf
export SOFTHSM2_CONF=$folder/softhsm2.conf
softhsm2-util --init-token --free --label token --pin 1234 --so-pin 1234 >init.log
module=$(find /usr/lib -name libsofthsm2.so | head -1)
tool() { pkcs11-tool --module "$module" --login --pin 1234 "$@" >tool.log 2>&1; }
for key in 01:one 02:two; do
    tool --keypairgen --key-type RSA:2048 --id "${key%:*}" --label "${key#*:}"
    tool --read-object --type pubkey --id "${key%:*}" --output-file "${key#*:}.der"
done

echo text > text
signer() {
    for name in one two; do
        openssl dgst -sha256 -keyform DER -verify $name.der -signature "$1" text >/dev/null 2>&1 && echo $name
    done
    return 0
}
for label in one two missing; do
    tool --sign --mechanism SHA256-RSA-PKCS --label $label --input-file text --output-file $label.sig
    echo "--label $label: signed by $(signer $label.sig)"
done | tee seen
for id in 01 02; do
    tool --sign --mechanism SHA256-RSA-PKCS --id $id --input-file text --output-file $id.sig
    echo "--id $id: signed by $(signer $id.sig)"
done | tee by-id

# The same key for every label; --id selects.
[ "$(sed 's/.*: //' seen | sort -u | wc -l)" = 1 ]
diff - by-id <<'EXPECTED'
--id 01: signed by one
--id 02: signed by two
EXPECTED
