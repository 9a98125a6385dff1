#!/usr/bin/env bash
# ssh-keygen -m PKCS8 writes an Ed25519 key in OpenSSH's own format, and says nothing.
#
# For RSA and ECDSA keys -m PKCS8 and -m PEM write files that other tools read. For Ed25519 both are ignored: the exit
# status is 0, nothing is printed, and the file begins with BEGIN OPENSSH PRIVATE KEY, which `openssl pkey` refuses.
#
# Seen with OpenSSH 9.2p1 and OpenSSL 3.0.19 of Debian 12 on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

ssh -V
openssl version
for kind in rsa ecdsa ed25519; do
    for form in PKCS8 PEM; do
        ssh-keygen -q -t "$kind" -m "$form" -N "" -C "" -f "$kind-$form" > said 2>&1
        [ ! -s said ]
        echo "$kind -m $form: $(head -n 1 "$kind-$form")"
    done
done | tee seen
if openssl pkey -noout -in ed25519-PKCS8 2> /dev/null; then exit 1; fi
openssl pkey -noout -in ecdsa-PKCS8
diff - seen <<'EXPECTED'
rsa -m PKCS8: -----BEGIN PRIVATE KEY-----
rsa -m PEM: -----BEGIN RSA PRIVATE KEY-----
ecdsa -m PKCS8: -----BEGIN PRIVATE KEY-----
ecdsa -m PEM: -----BEGIN EC PRIVATE KEY-----
ed25519 -m PKCS8: -----BEGIN OPENSSH PRIVATE KEY-----
ed25519 -m PEM: -----BEGIN OPENSSH PRIVATE KEY-----
EXPECTED
echo "as described"
