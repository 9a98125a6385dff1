#!/usr/bin/env bash
# The armored signatures of gpgsm are PEM with a label of its own, which OpenSSL does not read.
#
# `gpgsm --sign --armor` writes a CMS structure (RFC 5652) between "-----BEGIN SIGNED MESSAGE-----" and its end. RFC 7468 has "CMS" for it, and OpenSSL
# reads "CMS" and "PKCS7": `openssl cms -verify -inform PEM` says "no start line: Expecting: CMS". The content is the same: without --armor, or with
# the label replaced, OpenSSL verifies it. Give it -binary too, or it changes line ends before it verifies detached text.
#
# Seen with gpgsm 2.2.40 and OpenSSL 3.0.22 of Debian 12 on 2026-12-01.
set -euo pipefail
command -v gpgsm gpgconf openssl >/dev/null || {
    echo "gpgsm and openssl are needed"
    exit 1
}
folder=$(mktemp -d)
export GNUPGHOME=$folder/gnupg
trap 'gpgconf --kill all; rm -rf "$folder"' EXIT
cd "$folder"
dpkg-query --show gpgsm openssl
mkdir -m 700 gnupg
{
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -subj /CN=Signer -days 30 \
        -addext keyUsage=digitalSignature,keyCertSign
    openssl pkcs12 -export -legacy -in certificate.pem -inkey key.pem -out key.p12 -passout pass:secret
    echo secret | gpgsm --batch --pinentry-mode loopback --passphrase-fd 0 --import key.p12
    openssl x509 -in certificate.pem -noout -fingerprint -sha1 | sed 's/.*=//; s/$/ S/' >gnupg/trustlist.txt
    gpgconf --reload gpg-agent
} >log 2>&1
echo text >text
sign() {
    echo secret | gpgsm --batch --pinentry-mode loopback --passphrase-fd 0 --disable-crl-checks --local-user Signer --detach-sign "$@" text 2>>log
}
sign --armor >signature.pem
sign >signature.der
verified() { openssl cms -verify -binary -content text -certfile certificate.pem -CAfile certificate.pem -purpose any "$@" 2>refusal; }

grep -e '-----BEGIN' signature.pem
if verified -inform PEM -in signature.pem; then exit 1; fi
grep -m 1 'no start line' refusal | sed 's/.*no start line/openssl: no start line/'
verified -inform DER -in signature.der
sed 's/SIGNED MESSAGE/CMS/' signature.pem >relabelled.pem
verified -inform PEM -in relabelled.pem
echo "as described"
