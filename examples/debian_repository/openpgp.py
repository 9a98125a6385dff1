"""OpenPGP certificates and signatures (RFC 9580) of a private key that stays where it is.

Only what a repository needs: version 4, RSA and Ed25519, SHA-512; a user ID, a signed text, a
detached signature. No library for Python that is kept well takes a private key that it cannot read.
"""

import base64
import hashlib
import re
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

VERSION: Final = 4
RSA, ED25519_LEGACY, WITH_SHA512 = 1, 22, 10
ED25519_OID: Final = bytes.fromhex("2b06010401da470f01")
NATIVE_POINT: Final = b"\x40"

SIGNATURE, PUBLIC_KEY, USER_ID = 2, 6, 13
OF_BINARY, OF_TEXT, OF_USER_ID = 0x00, 0x01, 0x13
CREATED, ISSUER_ID, PREFERRED_HASHES, KEY_FLAGS, ISSUER = 2, 16, 21, 27, 33
CERTIFIES_AND_SIGNS: Final = b"\x03"

ARMOR_COLUMNS: Final = 64
CRC24_START, CRC24_POLYNOMIAL = 0xB704CE, 0x1864CFB


class Signer(NamedTuple):
    """A private key, and the body of its public key packet."""

    key: PrivateKey
    public: bytes

    @property
    def fingerprint(self) -> bytes:
        """RFC 9580, 5.5.4.2."""
        framed = _framed_key(self.public)
        return hashlib.sha1(framed, usedforsecurity=False).digest()

    @property
    def created(self) -> int:
        """When the key was made, in seconds since 1970."""
        return int.from_bytes(self.public[1:5])


def new_signer(key: PrivateKey, created: int) -> Signer:
    """Return a signer with a new OpenPGP key. `created` is a part of its fingerprint."""
    algorithm, material = _public_material(key)
    return Signer(key, bytes([VERSION]) + created.to_bytes(4) + bytes([algorithm]) + material)


def known_signer(key: PrivateKey, certificate: bytes) -> Signer:
    """Return the signer of a certificate made here. Raises ValueError for another key's."""
    size = int.from_bytes(certificate[2:6])
    found = Signer(key, certificate[6 : 6 + size])
    if certificate[:2] != _head(PUBLIC_KEY) or new_signer(key, found.created) != found:
        raise ValueError("The certificate is not of this key.")
    return found


def certificate(signer: Signer, user_id: str) -> bytes:
    """Return the public key with a user ID that it signs, as a file for `Signed-By`."""
    name = user_id.encode()
    signed = _framed_key(signer.public) + b"\xb4" + len(name).to_bytes(4) + name
    more = _subpacket(KEY_FLAGS, CERTIFIES_AND_SIGNS)
    more += _subpacket(PREFERRED_HASHES, bytes([WITH_SHA512]))
    bound = signature(signer, OF_USER_ID, signed, signer.created, more)
    return _packet(PUBLIC_KEY, signer.public) + _packet(USER_ID, name) + bound


def signed_text(signer: Signer, text: str, created: int) -> str:
    """Return a text with its signature below (RFC 9580, 7), such as `InRelease`."""
    lines = [re.sub(r"[ \t\r]+$", "", line) for line in text.removesuffix("\n").split("\n")]
    made = signature(signer, OF_TEXT, "\r\n".join(lines).encode(), created)
    escaped = "".join(f"{'- ' if line.startswith('-') else ''}{line}\n" for line in lines)
    return f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{escaped}{armored(made)}"


def signature(signer: Signer, kind: int, data: bytes, created: int, more: bytes = b"") -> bytes:
    """Return a signature packet over `data` (RFC 9580, 5.2.3 and 5.2.4)."""
    algorithm, _ = _public_material(signer.key)
    told = _subpacket(CREATED, created.to_bytes(4)) + more
    told += _subpacket(ISSUER, bytes([VERSION]) + signer.fingerprint)
    told += _subpacket(ISSUER_ID, signer.fingerprint[-8:])  # GnuPG finds no key without it.
    hashed = bytes([VERSION, kind, algorithm, WITH_SHA512]) + len(told).to_bytes(2) + told
    end = bytes([VERSION, 0xFF]) + len(hashed).to_bytes(4)
    digest = hashlib.sha512(data + hashed + end).digest()
    not_hashed = bytes(2)
    return _packet(SIGNATURE, hashed + not_hashed + digest[:2] + _signature(signer.key, digest))


def armored(made: bytes) -> str:
    """Return a signature as text (RFC 9580, 6).

    The checksum may be left out, but GnuPG takes text without padding and checksum for damaged.
    """
    text = base64.b64encode(made).decode()
    lines = [text[at : at + ARMOR_COLUMNS] for at in range(0, len(text), ARMOR_COLUMNS)]
    inside = "\n".join([*lines, f"={base64.b64encode(_checksum(made)).decode()}"])
    return f"-----BEGIN PGP SIGNATURE-----\n\n{inside}\n-----END PGP SIGNATURE-----\n"


def _public_material(key: PrivateKey) -> tuple[int, bytes]:
    """Return the algorithm and its fields (RFC 9580, 5.5.5)."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return RSA, _number(numbers.n) + _number(numbers.e)
    point = NATIVE_POINT + public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    oid = bytes([len(ED25519_OID)]) + ED25519_OID
    return ED25519_LEGACY, oid + _number(int.from_bytes(point))


def _signature(key: PrivateKey, digest: bytes) -> bytes:
    """Return the numbers of a signature (RFC 9580, 5.2.3.1 and 5.2.3.3)."""
    if isinstance(key, rsa.RSAPrivateKey):
        made = key.sign(digest, padding.PKCS1v15(), Prehashed(SHA512()))
        return _number(int.from_bytes(made))
    made = key.sign(digest)
    return _number(int.from_bytes(made[:32])) + _number(int.from_bytes(made[32:]))


def _checksum(content: bytes) -> bytes:
    """Return the CRC-24 (RFC 9580, 6.1.1)."""
    remainder = CRC24_START
    for byte in content:
        remainder ^= byte << 16
        for _ in range(8):
            remainder <<= 1
            if remainder >> 24:
                remainder ^= CRC24_POLYNOMIAL
    return remainder.to_bytes(3)


def _number(value: int) -> bytes:
    bits = value.bit_length()
    return bits.to_bytes(2) + value.to_bytes((bits + 7) // 8)


def _framed_key(public: bytes) -> bytes:
    return b"\x99" + len(public).to_bytes(2) + public


def _subpacket(kind: int, content: bytes) -> bytes:
    return bytes([1 + len(content), kind]) + content


def _packet(kind: int, content: bytes) -> bytes:
    return _head(kind) + len(content).to_bytes(4) + content


def _head(kind: int) -> bytes:
    """Return what tells the kind of a packet, and that four bytes of length follow."""
    return bytes([0xC0 | kind, 0xFF])
