"""What keys did, checked with what the API shows of them and with other code than signed.

pycryptodome checks RSA, EdDSA and AES, plain arithmetic checks ECDSA and BIP-340.
"""

import hashlib
from base64 import b64decode
from types import MappingProxyType

from Crypto.Cipher import AES, PKCS1_OAEP, PKCS1_v1_5
from Crypto.Hash import CMAC, MD5, SHA1, SHA224, SHA256, SHA384, SHA512
from Crypto.PublicKey import MLDSA, RSA
from Crypto.Signature import eddsa, mldsa, pss
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.algorithms.reference_curves import CURVES

HASHES = MappingProxyType(
    {
        "MD5": MD5,
        "SHA1": SHA1,
        "SHA224": SHA224,
        "SHA256": SHA256,
        "SHA384": SHA384,
        "SHA512": SHA512,
    }
)
DIGEST_BYTES = MappingProxyType(
    {
        "EC_P256": 32,
        "EC_P384": 48,
        "EC_P521": 64,
        "EC_P256K1": 32,
        "BIP32": 32,
        "BrainpoolP256": 32,
        "BrainpoolP384": 48,
        "BrainpoolP512": 64,
    }
)
"""What ECDSA takes, by key type."""


def rsa_key(public: dict[str, str]) -> RSA.RsaKey:
    """Return the key of a modulus and a public exponent as the API shows them."""
    numbers = (int.from_bytes(b64decode(public[name])) for name in ("modulus", "publicExponent"))
    return RSA.construct(tuple(numbers))


def what_to_sign(key_type: str, mode: str) -> bytes:
    """Return something that a sign mode takes."""
    if mode.startswith("PSS_"):
        return HASHES[mode.removeprefix("PSS_")].new(b"signed").digest()
    if mode == "ECDSA":
        return hashlib.shake_256(b"signed").digest(DIGEST_BYTES[key_type])
    if mode == "ML_DSA_MU":
        return bytes(64)
    return b"a message of any length"


def signature_holds(shown: dict, mode: str, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is one of `message` by the key that GET /keys/{id} shows."""
    public = shown["public"]
    if mode == "PKCS1":
        return _pkcs1_holds(rsa_key(public), message, signature)
    if mode.startswith("PSS_"):
        return _pss_holds(rsa_key(public), mode.removeprefix("PSS_"), signature)
    point = b64decode(public["data"])
    if mode == "EdDSA":
        return _eddsa_holds(point, message, signature)
    if mode.startswith("ML_DSA"):
        return ml_dsa_holds(shown, mode, message, signature)
    curve = CURVES["EC_P256K1" if shown["type"] == "BIP32" else shown["type"]]
    if mode == "BIP340":
        return curve.bip340_holds(curve.decode(point)[0], message, signature)
    r, s = decode_dss_signature(signature)
    return curve.ecdsa_holds(curve.decode(point), message, r, s)


def _pkcs1_holds(key: RSA.RsaKey, message: bytes, signature: bytes) -> bool:
    """RFC 8017, 8.2.2, with the message in the place of the DigestInfo."""
    size = key.size_in_bytes()
    encoded = pow(int.from_bytes(signature), key.e, key.n).to_bytes(size)
    expected = b"\0\1" + b"\xff" * (size - len(message) - 3) + b"\0" + message
    return len(signature) == size and encoded == expected


def _pss_holds(key: RSA.RsaKey, name: str, signature: bytes) -> bool:
    digest = HASHES[name].new(b"signed")
    try:
        pss.new(key, salt_bytes=digest.digest_size).verify(digest, signature)
    except ValueError:
        return False
    return True


def _eddsa_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        eddsa.new(eddsa.import_public_key(public), "rfc8032").verify(message, signature)
    except ValueError:
        return False
    return True


def ml_dsa_holds(
    shown: dict, mode: str, message: bytes, signature: bytes, context: bytes = b""
) -> bool:
    """Whether pycryptodome finds an ML-DSA signature to be one of `message`, or of a mu."""
    parameters = MLDSA.ParamSet[shown["type"]]
    public = MLDSA.construct(param_set=parameters, pk=b64decode(shown["public"]["data"]))
    if mode == "ML_DSA_MU":
        return public._verify(message, signature, external_mu=True)  # noqa: SLF001  makes a mu itself
    try:
        mldsa.new(public, context=context).verify(message, signature)
    except ValueError:
        return False
    return True


def encrypted_for(public: dict[str, str], mode: str, message: bytes) -> bytes:
    """Return an RSA ciphertext for a decrypt mode; RAW has as many bytes as the modulus."""
    key = rsa_key(public)
    if mode == "RAW":
        return pow(int.from_bytes(message), key.e, key.n).to_bytes(key.size_in_bytes())
    if mode == "PKCS1":
        return PKCS1_v1_5.new(key).encrypt(message)
    return PKCS1_OAEP.new(key, hashAlgo=HASHES[mode.removeprefix("OAEP_")]).encrypt(message)


def opened_gcm(key: bytes, iv: bytes, ciphertext: bytes, tag: bytes, aad: bytes) -> bytes:
    """Return what an AES-GCM ciphertext decrypts to. Raises ValueError for a wrong tag."""
    return AES.new(key, AES.MODE_GCM, iv).update(aad).decrypt_and_verify(ciphertext, tag)


def aes_cbc(key: bytes, iv: bytes):
    """Return pycryptodome's AES-CBC."""
    return AES.new(key, AES.MODE_CBC, iv)


def key_wrap(key: bytes, mode: str):
    """Return pycryptodome's AES key wrap, with padding or not."""
    return AES.new(key, {"AES_KW": AES.MODE_KW, "AES_KWP": AES.MODE_KWP}[mode])


def aes_cmac(key: bytes, message: bytes) -> bytes:
    """Return the CMAC that pycryptodome makes."""
    return CMAC.new(key, message, ciphermod=AES).digest()
