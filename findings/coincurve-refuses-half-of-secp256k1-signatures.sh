#!/usr/bin/env bash
# coincurve refuses one in two of the valid ECDSA signatures on secp256k1 that OpenSSL makes: those whose s is in the upper half.
#
# (r, s) and (r, n - s) are signatures of the same message (SEC 1, FIPS 186-5), and most libraries make and take both. libsecp256k1
# takes the one with the lower s alone, as Bitcoin does, and its header says so; coincurve's verify() passes that on and says nothing of
# it. So a test with one signature passes or fails by chance. Replace an s above n/2 by n - s before verifying.
#
# Seen with coincurve 21.0.0 and cryptography 50.0.2 from PyPI on 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -q install coincurve==21.0.0 cryptography==50.0.2
"$folder/venv/bin/pip" list 2> /dev/null | grep -iE '^(coincurve|cryptography) '

"$folder/venv/bin/python" - <<'PROGRAM' | tee "$folder/seen"
from coincurve import PublicKey
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SHA256 = ec.ECDSA(hashes.SHA256())
key = ec.generate_private_key(ec.SECP256K1())
by_openssl = key.public_key()
by_coincurve = PublicKey(by_openssl.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))
upper = 0

for _ in range(200):
    signature = key.sign(b"message", SHA256)
    r, s = decode_dss_signature(signature)
    upper += s > N // 2
    by_openssl.verify(signature, b"message", SHA256)  # Raises if it is not valid.
    assert by_coincurve.verify(signature, b"message") == (s <= N // 2)
    lower = encode_dss_signature(r, min(s, N - s))
    by_openssl.verify(lower, b"message", SHA256)
    assert by_coincurve.verify(lower, b"message")

print("OpenSSL verifies all signatures, and coincurve those in the lower half:", 0 < upper < 200)
PROGRAM
grep -q 'lower half: True$' "$folder/seen"
echo "as described"
