"""Writes src/keystead/self_tests/known_answers.json: what other implementations make of fixed keys.

pycryptodome signs and encrypts, dilithium-py makes ML-DSA's signatures, kyber-py ML-KEM's secrets,
slip10 derives BIP-32's key, the tests' plain arithmetic makes ECDSA's signatures on curves that
pycryptodome has not. BIP-340's answer is from the BIP. Run it again when the table has a new row:
python -m scripts.known_answers. Answers that the file has stay, because some are random.
"""

import csv
import hashlib
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dilithium_py.ml_dsa
import kyber_py.ml_kem
import msgspec
from Crypto.Cipher import AES, PKCS1_OAEP, PKCS1_v1_5
from Crypto.Hash import CMAC, HMAC, SHA256, SHA384, SHA512
from Crypto.Protocol import DH, KDF
from Crypto.PublicKey import ECC, MLDSA, MLKEM, RSA
from Crypto.Signature import eddsa, mldsa, pss
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from slip10 import SLIP10

from tests.algorithms.reference_curves import CURVES
from tests.support.curves import WEIERSTRASS
from tests.support.verification import DIGEST_BYTES, HASHES

VECTORS = Path(__file__).parents[1] / "tests" / "vectors"
TARGET = Path(__file__).parents[1] / "src/keystead/self_tests/known_answers.json"
MESSAGE = b"Keystead tests itself"
AES_KEY = bytes(range(32))

Answer = dict[str, Any]


def octets(value: bytes) -> str:
    """Return bytes as JSON has them."""
    return b64encode(value).decode()


def verify(mode: str, message: bytes, signature: bytes, **more: bytes) -> Answer:
    """Return an answer of a mode that verifies."""
    options = {"signature": octets(signature), **{name: octets(it) for name, it in more.items()}}
    return {"use": "verify", "mode": mode, "message": octets(message), "options": options}


def decrypt(mode: str, encrypted: bytes, result: bytes = MESSAGE, **options: bytes) -> Answer:
    """Return an answer of a mode that decrypts."""
    return {
        "use": "decrypt",
        "mode": mode,
        "message": octets(encrypted),
        "options": {name: octets(value) for name, value in options.items()},
        "result": octets(result),
    }


def derive(mode: str, result: bytes, **options: bytes | int) -> Answer:
    """Return an answer of a mode that derives."""
    given = {
        name: octets(value) if isinstance(value, bytes) else value
        for name, value in options.items()
    }
    return {"use": "derive", "mode": mode, "options": given, "result": octets(result)}


def agreement(name: str, scalar: int) -> Answer:
    """Return the answer of ECDH with a point that is not the base, by plain arithmetic."""
    curve = CURVES[name]
    peer = curve.multiply(3, curve.g)
    point = b"\4" + b"".join(one.to_bytes(curve.size) for one in peer)
    secret = curve.multiply(scalar, peer)[0].to_bytes(curve.size)
    return derive("ECDH", secret, public_key=point)


def rsa() -> Answer:
    """Return an RSA key and its answers."""
    pem = (VECTORS / "keys" / "rsa-2048.pem").read_text()
    key = RSA.import_key(pem)
    size = key.size_in_bytes()
    padded = b"\0\1" + b"\xff" * (size - len(MESSAGE) - 3) + b"\0" + MESSAGE
    signature = pow(int.from_bytes(padded), key.d, key.n).to_bytes(size)
    raw = MESSAGE.rjust(size, b"\0")
    answers = [
        verify("PKCS1", MESSAGE, signature),
        decrypt("RAW", pow(int.from_bytes(raw), key.e, key.n).to_bytes(size), raw),
        decrypt("PKCS1", PKCS1_v1_5.new(key).encrypt(MESSAGE)),
    ]
    for name, kind in HASHES.items():
        digest = kind.new(MESSAGE)
        answers.append(verify(f"PSS_{name}", digest.digest(), pss.new(key).sign(digest)))
        answers.append(decrypt(f"OAEP_{name}", PKCS1_OAEP.new(key, kind).encrypt(MESSAGE)))
    return {"type": "RSA", "pem": pem, "answers": answers}


def ecdsa(name: str) -> Answer:
    """Return a key on a curve and its answer, by plain arithmetic."""
    curve, digest = CURVES[name], hashlib.shake_256(MESSAGE).digest(DIGEST_BYTES[name])
    scalar, nonce = (int.from_bytes(hashlib.sha256(one).digest()) % curve.n for one in (b"d", b"k"))
    r = curve.multiply(nonce, curve.g)[0] % curve.n
    s = pow(nonce, -1, curve.n) * (int.from_bytes(digest) + r * scalar) % curve.n
    answers = [verify("ECDSA", digest, encode_dss_signature(r, s)), agreement(name, scalar)]
    pem = ec.derive_private_key(scalar, WEIERSTRASS[name]).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return {"type": name, "pem": pem.decode(), "answers": answers}


def secp256k1() -> Answer:
    """Return the BIP's key and its answers."""
    with (VECTORS / "bip-0340" / "test-vectors.csv").open() as file:
        row = list(csv.DictReader(file))[1]
    scalar = int(row["secret key"], 16)
    message, signature = bytes.fromhex(row["message"]), bytes.fromhex(row["signature"])
    curve = CURVES["EC_P256K1"]
    r = curve.multiply(2, curve.g)[0] % curve.n
    s = pow(2, -1, curve.n) * (int.from_bytes(message) + r * scalar) % curve.n
    pem = ec.derive_private_key(scalar, ec.SECP256K1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    ecdsa_signature = encode_dss_signature(r, min(s, curve.n - s))
    answers = [
        verify("ECDSA", message, ecdsa_signature),
        verify("BIP340", message, signature),
        agreement("EC_P256K1", scalar),
    ]
    return {"type": "EC_P256K1", "pem": pem.decode(), "answers": answers}


def edwards(name: str, curve: str, seed_bytes: int) -> Answer:
    """Return a key of EdDSA and its answer."""
    key = ECC.construct(curve=curve, seed=bytes(range(seed_bytes)))
    answers = [verify("EdDSA", MESSAGE, eddsa.new(key, "rfc8032").sign(MESSAGE))]
    return {"type": name, "pem": key.export_key(format="PEM"), "answers": answers}


def montgomery(name: str, curve: str, size: int) -> Answer:
    """Return a key of RFC 7748 and its answer."""
    key = ECC.construct(curve=curve, seed=bytes(range(size)))
    peer = ECC.construct(curve=curve, seed=bytes(reversed(range(size)))).public_key()
    secret = DH.key_agreement(static_priv=key, static_pub=peer, kdf=bytes)
    answers = [derive("ECDH", secret, public_key=peer.export_key(format="raw"))]
    return {"type": name, "pem": key.export_key(format="PEM"), "answers": answers}


def ml_dsa(name: str) -> Answer:
    """Return a key of ML-DSA and its answers."""
    key = MLDSA.construct(param_set=MLDSA.ParamSet[name], seed=bytes(range(32)))
    context = b"context"
    pure = getattr(dilithium_py.ml_dsa, name)
    signature = pure.sign(key.sk, MESSAGE, context, deterministic=True)
    mu = mldsa.MLDSAMuHash(key, data=MESSAGE, context=context).digest()
    answers = [
        verify("ML_DSA", MESSAGE, signature, context=context),
        verify("ML_DSA_MU", mu, signature),
    ]
    return {"type": name, "pem": key.export_key(format="PEM"), "answers": answers}


def ml_kem(name: str) -> Answer:
    """Return a key of ML-KEM and its answer."""
    key = MLKEM.construct(param_set=MLKEM.ParamSet[name], seed=bytes(range(64)))
    secret, ciphertext = getattr(kyber_py.ml_kem, name).encaps(key.ek)
    answers = [
        {
            "use": "decapsulate",
            "mode": "ML_KEM",
            "message": octets(ciphertext),
            "result": octets(secret),
        }
    ]
    return {"type": name, "pem": key.export_key(format="PEM"), "answers": answers}


def bip32() -> Answer:
    """Return a seed and its answers, by plain arithmetic on a key that slip10 derives."""
    seed, derivation, curve = bytes(range(64)), "m/44'/60'/0'/0/0", CURVES["EC_P256K1"]
    scalar = int.from_bytes(SLIP10.from_seed(seed).get_privkey_from_path(derivation))
    digest = hashlib.sha256(MESSAGE).digest()
    (r, r_y), (x, y) = curve.multiply(2, curve.g), curve.multiply(scalar, curve.g)
    s = pow(2, -1, curve.n) * (int.from_bytes(digest) + r * scalar) % curve.n
    tag = hashlib.sha256(b"BIP0340/challenge").digest()
    commitment = r.to_bytes(32) + x.to_bytes(32) + MESSAGE
    challenge = int.from_bytes(hashlib.sha256(tag * 2 + commitment).digest())
    even = (2 if r_y % 2 == 0 else -2) + challenge * (scalar if y % 2 == 0 else -scalar)
    signatures = [
        verify("ECDSA", digest, encode_dss_signature(r, s)),
        verify("BIP340", MESSAGE, r.to_bytes(32) + (even % curve.n).to_bytes(32)),
    ]
    answers = [{**one, "texts": {"derivation": derivation}} for one in signatures]
    return {"type": "BIP32", "raw": octets(seed), "answers": answers}


def generic() -> Answer:
    """Return an AES key and its answers."""
    iv, aad, block = bytes(range(16)), b"aad", bytes(range(32))
    gcm = AES.new(AES_KEY, AES.MODE_GCM, iv[:12]).update(aad)
    encrypted, tag = gcm.encrypt_and_digest(MESSAGE)
    answers = [
        decrypt("AES_CBC", AES.new(AES_KEY, AES.MODE_CBC, iv).encrypt(block), block, iv=iv),
        decrypt("AES_GCM", encrypted, iv=iv[:12], tag=tag, aad=aad),
        decrypt("AES_KW", AES.new(AES_KEY, AES.MODE_KW).seal(block), block),
        decrypt("AES_KWP", AES.new(AES_KEY, AES.MODE_KWP).seal(MESSAGE)),
        verify("AES_CMAC", MESSAGE, CMAC.new(AES_KEY, MESSAGE, ciphermod=AES).digest()),
        *(
            verify(
                f"HMAC_SHA{8 * kind.digest_size}",
                MESSAGE,
                HMAC.new(AES_KEY, MESSAGE, kind).digest(),
            )
            for kind in (SHA256, SHA384, SHA512)
        ),
        *(
            derive(
                f"HKDF_SHA{8 * kind.digest_size}",
                KDF.HKDF(AES_KEY, 42, b"salt", kind, context=b"info"),
                length=42,
                salt=b"salt",
                info=b"info",
            )
            for kind in (SHA256, SHA384, SHA512)
        ),
    ]
    return {"type": "Generic", "raw": octets(AES_KEY), "answers": answers}


def keys() -> Iterator[Answer]:
    """Yield a key of each type, in the table's order."""
    yield rsa()
    yield edwards("Curve25519", "Ed25519", 32)
    for name in WEIERSTRASS:
        yield secp256k1() if name == "EC_P256K1" else ecdsa(name)
    yield generic()
    yield edwards("Ed448", "Ed448", 57)
    for name in ("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"):
        yield ml_dsa(name)
    yield montgomery("X25519", "Curve25519", 32)
    yield montgomery("X448", "Curve448", 56)
    for name in ("ML_KEM_768", "ML_KEM_1024"):
        yield ml_kem(name)
    yield bip32()


def with_kept_answers(key: Answer, kept: dict[tuple[str, str, str], Answer]) -> Answer:
    """Return a key with the answers that the file has, and new ones for what it has not."""
    answers = [kept.get((key["type"], one["use"], one["mode"]), one) for one in key["answers"]]
    return key | {"answers": answers}


def main() -> int:
    """Write the file."""
    kept = {
        (key["type"], one["use"], one["mode"]): one
        for key in msgspec.json.decode(TARGET.read_bytes())
        for one in key["answers"]
    }
    made = [with_kept_answers(key, kept) for key in keys()]
    for key in made:
        if "pem" in key:
            load_pem_private_key(key["pem"].encode(), None)
    TARGET.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
