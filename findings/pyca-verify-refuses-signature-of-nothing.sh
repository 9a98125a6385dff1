#!/usr/bin/env bash
# pyca/cryptography signs an empty message with NoDigestInfo, and then refuses every signature of it.
#
# With PKCS #1 v1.5 and NoDigestInfo the caller brings the DigestInfo, so the message may be anything that fits, also
# nothing. sign() returns a signature whose padding is right (00 01 FF … FF 00); verify() of the same bytes raises
# InvalidSignature, and recover_data_from_signature() returns the empty message. One byte is enough for verify() to
# agree again. Whoever verifies what was signed so has to recover and compare.
#
# Seen with cryptography 50.0.2 from PyPI on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -q install cryptography==50.0.2
"$folder/venv/bin/pip" list 2> /dev/null | grep -E '^cryptography '

"$folder/venv/bin/python" - << 'PYTHON' | tee "$folder/seen"
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo

key = rsa.generate_private_key(65537, 2048)
for message in (b"", b"x"):
    signature = key.sign(message, PKCS1v15(), NoDigestInfo())
    recovered = key.public_key().recover_data_from_signature(signature, PKCS1v15(), None)
    try:
        key.public_key().verify(signature, message, PKCS1v15(), NoDigestInfo())
        verdict = "valid"
    except InvalidSignature:
        verdict = "InvalidSignature"
    print(f"{message!r}: recovered {recovered!r}, verify says {verdict}")
PYTHON
diff - "$folder/seen" << 'EXPECTED'
b'': recovered b'', verify says InvalidSignature
b'x': recovered b'x', verify says valid
EXPECTED
echo "as described"
