#!/usr/bin/env bash
# A signature by a key that is in memory makes a system call: OpenSSL asks getpid each time that it needs random bytes.
#
# OpenSSL compares the process's number with the last one, to notice a fork, before its generator gives bytes. glibc has kept no copy of
# the number since version 2.25. So each signature with ECDSA, RSA-PSS or ML-DSA makes one getpid, and one with Ed25519 none.
# RSA PKCS #1 v1.5 has one in 32 signatures, for new blinding. A sandbox that forbids getpid, or lets a tracer answer it, breaks or slows
# the first three, and a profile that was made with Ed25519 does not show it. Where a system call takes 1.3 µs, a P-256 signature of 25 µs spends a twentieth on it.
#
# Seen with cryptography 50.0.2 from PyPI (OpenSSL 4.0.3) on Debian 12 (glibc 2.36) on 2026-12-01. It needs a C compiler.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -q install cryptography==50.0.2
"$folder/venv/bin/python" -c '
import cryptography
from cryptography.hazmat.backends.openssl import backend
print("cryptography", cryptography.__version__, backend.openssl_version_text())'

cc -shared -fPIC -o "$folder/counting.so" -x c - <<'SOURCE'
#include <sys/syscall.h>
#include <unistd.h>

long asked = 0;

pid_t getpid(void) {
    asked++;
    return syscall(SYS_getpid);
}
SOURCE

LD_PRELOAD="$folder/counting.so" "$folder/venv/bin/python" - <<'PROGRAM' | tee "$folder/seen"
import ctypes

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

asked = ctypes.c_long.in_dll(ctypes.CDLL(None), "asked")
sha256 = hashes.SHA256()
curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
modulus, lattice = rsa.generate_private_key(65537, 2048), mldsa.MLDSA65PrivateKey.generate()
for name, sign in {
    "ECDSA P-256": lambda: curve.sign(b"", ec.ECDSA(sha256)),
    "RSA-PSS": lambda: modulus.sign(b"", padding.PSS(padding.MGF1(sha256), 32), sha256),
    "RSA PKCS #1 v1.5": lambda: modulus.sign(b"", padding.PKCS1v15(), sha256),
    "ML-DSA-65": lambda: lattice.sign(b""),
    "Ed25519": lambda: edwards.sign(b""),
}.items():
    for _ in range(100):  # What is done once for a key is done then.
        sign()
    before = asked.value
    for _ in range(100):
        sign()
    print(f"{name}: {(asked.value - before) / 100:.1f} calls of getpid a signature")
PROGRAM
diff - "$folder/seen" <<'EXPECTED'
ECDSA P-256: 1.0 calls of getpid a signature
RSA-PSS: 1.0 calls of getpid a signature
RSA PKCS #1 v1.5: 0.0 calls of getpid a signature
ML-DSA-65: 1.0 calls of getpid a signature
Ed25519: 0.0 calls of getpid a signature
EXPECTED
echo "as described"
