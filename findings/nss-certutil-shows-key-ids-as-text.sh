#!/usr/bin/env bash
# certutil of NSS shows the ID of a key as text if it is printable, and does not take that text to choose the key.
#
# `certutil -K` prints the CKA_ID of each key in hexadecimal digits, unless all its bytes are printable: then it prints the characters, in quotes.
# `certutil -R -k` takes hexadecimal digits alone: with what -K has shown it says "is neither a key-type nor a nickname nor a key-id". HSMs whose
# keys have names (an ID of "web", say) meet this always, and tokens with binary IDs never. And an ID that is the name of a key type, such as `rsa`, is
# taken for that: then -k asks for a new key. Give -k the ID in hexadecimal digits: `printf %s web | od -An -tx1 | tr -d ' \n'`.
#
# Seen with NSS 3.87.1, SoftHSM 2.6.1 and OpenSC 0.23.0 of Debian 12 on 2026-12-01.
set -euo pipefail
command -v certutil modutil softhsm2-util pkcs11-tool openssl >/dev/null || {
    echo "libnss3-tools, softhsm2, opensc and openssl are needed"
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
dpkg-query --show libnss3-tools softhsm2
mkdir tokens
echo "directories.tokendir = $folder/tokens" >softhsm2.conf
export SOFTHSM2_CONF=$folder/softhsm2.conf
module=$(find /usr/lib -name libsofthsm2.so | head -n 1)
hex=$(printf %s web | od -An -tx1 | tr -d ' \n')
printf 1234 >pin
{
    softhsm2-util --init-token --free --label token --pin 1234 --so-pin 12345678
    for id in "$hex" 00ff; do
        pkcs11-tool --module "$module" --token-label token --login --pin 1234 --keypairgen --key-type EC:prime256v1 --id "$id"
    done
    certutil -N -d sql:. --empty-password
    modutil -dbdir sql:. -force -add token -libfile "$module"
} >log 2>&1

certutil -K -d sql:. -h token -f pin | tee keys
grep -q '"web"' keys
grep -q '00ff' keys
request() { certutil -R -d sql:. -h token -f pin -k "$1" -s CN=web -a -o request.pem >request.log 2>&1; }
if request web; then exit 1; fi
echo "-k web: $(grep -m 1 'key-id' request.log)"
request "$hex"
openssl req -in request.pem -verify -noout
echo "-k $hex: a request"
