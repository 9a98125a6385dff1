#!/usr/bin/env bash
# pyca/cryptography refuses a common name of 33 characters that takes 66 bytes as UTF-8.
#
# RFC 5280, appendix A.1, bounds a common name by ub-common-name, 64, and counts characters. OpenSSL counts
# characters too, and writes such a name into a certificate signing request. x509.NameAttribute counts the bytes of
# the UTF-8 encoding and raises ValueError, for names that other tools accept: half as many umlauts, a third as many
# CJK characters.
#
# Seen with cryptography 50.0.2 and OpenSSL 3.0 of Debian 12 on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet cryptography==50.0.2

cat > "$folder/name.py" <<'PYTHON'
import cryptography
from cryptography import x509
from cryptography.x509.oid import NameOID

print("cryptography", cryptography.__version__)
for text in ("u" * 64, "ü" * 32, "ü" * 33):
    try:
        x509.NameAttribute(NameOID.COMMON_NAME, text)
        print(len(text), "characters,", len(text.encode()), "bytes: accepted")
    except ValueError as error:
        print(len(text), "characters,", len(text.encode()), "bytes: refused:", error)
PYTHON
"$folder/venv/bin/python" "$folder/name.py" | tee "$folder/seen"

openssl version
name=$(printf 'ü%.0s' $(seq 33))
openssl req -new -utf8 -newkey rsa:2048 -nodes -keyout /dev/null -subj "/CN=$name" 2>/dev/null |
    openssl req -noout -verify 2>&1 | tee "$folder/openssl"

grep -q '^64 characters, 64 bytes: accepted$' "$folder/seen"
grep -q '^32 characters, 64 bytes: accepted$' "$folder/seen"
grep -q '^33 characters, 66 bytes: refused' "$folder/seen"
grep -qi 'verify.* OK' "$folder/openssl"
echo "as described"
