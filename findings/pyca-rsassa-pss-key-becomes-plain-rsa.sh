#!/usr/bin/env bash
# A key that is for RSASSA-PSS alone becomes a plain RSA key in pyca/cryptography, and so does the public key in a request for a certificate.
#
# RFC 4055 has an identifier of its own for RSA keys that may sign with PSS only, id-RSASSA-PSS, with the hash and the salt in it.
# OpenSSL makes such keys (`genpkey -algorithm RSA-PSS`), and the request that OpenSSL makes with one names it. pyca/cryptography loads the
# same file, signs with PKCS #1 v1.5 when asked, and names rsaEncryption in the request and in the file that it writes. So the
# certificate allows what the key was made to rule out, and its SubjectPublicKeyInfo has another SHA-256 than the one that is pinned or published for the key.
#
# Seen with cryptography 50.0.2 and OpenSSL 3.0 of Debian 12 on 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --disable-pip-version-check -q install cryptography==50.0.2
openssl version
openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha256 \
    -pkeyopt rsa_pss_keygen_mgf1_md:sha256 -pkeyopt rsa_pss_keygen_saltlen:32 -out key.pem 2>/dev/null
openssl req -new -key key.pem -subj /CN=example.com -out openssl.csr

venv/bin/python - <<'PROGRAM'
from pathlib import Path

import cryptography
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

print("cryptography", cryptography.__version__)
key = load_pem_private_key(Path("key.pem").read_bytes(), None)
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.com")])
request = x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256())
Path("pyca.csr").write_bytes(request.public_bytes(Encoding.PEM))
key.public_key().verify(key.sign(b"m", padding.PKCS1v15(), hashes.SHA1()), b"m", padding.PKCS1v15(), hashes.SHA1())
PROGRAM

for maker in openssl pyca; do
    openssl req -in $maker.csr -noout -verify 2>&1
    openssl req -in $maker.csr -noout -pubkey | openssl pkey -pubin -outform DER >$maker.spki
    echo "$maker: $(openssl asn1parse -inform DER -in $maker.spki | sed -n 's/.*OBJECT *:\(rsa[A-Za-z]*\).*/\1/p' | head -1)"
done | tee seen
grep -qx 'openssl: rsassaPss' seen
grep -qx 'pyca: rsaEncryption' seen
if cmp -s openssl.spki pyca.spki; then exit 1; fi
echo "as described"
