"""What RSA encrypts (RFC 8017), well encoded and in every way that is wrong; and raw encryption."""

import hashlib
from collections.abc import Mapping

from keystead.algorithms import PrivateKey


def numbers(key: PrivateKey) -> tuple[int, int]:
    public = key.public()
    assert public is not None
    assert public.modulus is not None
    assert public.public_exponent is not None
    return int.from_bytes(public.modulus), int.from_bytes(public.public_exponent)


def size(key: PrivateKey) -> int:
    return (numbers(key)[0].bit_length() + 7) // 8


def encrypt_raw(key: PrivateKey, encoded: bytes) -> bytes:
    modulus, exponent = numbers(key)
    return pow(int.from_bytes(encoded), exponent, modulus).to_bytes(size(key))


def encode_pkcs1(message: bytes, length: int) -> bytes:
    """7.2.1, step 2, with a fixed padding string."""
    return b"\x00\x02" + b"\xa5" * (length - len(message) - 3) + b"\x00" + message


def wrong_pkcs1(length: int, message: bytes = b"m" * 32) -> Mapping[str, bytes]:
    """Blocks of `length` bytes that are no PKCS#1 v1.5 encoding for encryption, by what is wrong.

    Those with one fault are good otherwise, and hold `message`, 32 bytes without a zero.
    """
    good = encode_pkcs1(message, length)
    return {
        "first byte 01": b"\x01" + good[1:],
        "block type 00": b"\x00\x00" + good[2:],
        "block type 01": b"\x00\x01" + good[2:],
        "block type 03": b"\x00\x03" + good[2:],
        "block type ff": b"\x00\xff" + good[2:],
        "padding string empty": b"\x00\x02\x00" + good[3:],
        "padding string of 1 byte": good[:3] + b"\x00" + good[4:],
        "padding string of 7 bytes": good[:9] + b"\x00" + good[10:],
        "no separator": b"\x00\x02" + message.rjust(length - 2, b"\xa5"),
        "no padding": message.rjust(length, b"\x00"),
        "a signature's": b"\x00\x01" + b"\xff" * (length - 35) + b"\x00" + message,
    }


def mgf1(seed: bytes, length: int, digest: str) -> bytes:
    """B.2.1."""
    blocks = (hashlib.new(digest, seed + counter.to_bytes(4)).digest() for counter in range(length))
    return b"".join(blocks)[:length]


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def encode_oaep(message: bytes, length: int, digest: str) -> bytes:
    """7.1.1, step 2, with a seed that `message` determines."""
    label = hashlib.new(digest).digest()
    filler = bytes(length - len(message) - 2 * len(label) - 2)
    return _masked(label + filler + b"\x01" + message, digest)


def _masked(block: bytes, digest: str) -> bytes:
    """7.1.1, from the data block DB on, whatever that is."""
    seed = hashlib.new(digest, block).digest()
    masked_block = xor(block, mgf1(seed, len(block), digest))
    return b"\x00" + xor(seed, mgf1(masked_block, len(seed), digest)) + masked_block


def wrong_oaep(length: int, digest: str, message: bytes = b"m" * 8) -> Mapping[str, bytes]:
    """Blocks of `length` bytes that are no OAEP encoding, by what is wrong.

    The first is Manger's (CRYPTO 2001): whoever can tell it from the others decrypts.
    `message` varies them.
    """
    label = hashlib.new(digest).digest()
    good = encode_oaep(message, length, digest)
    filler = bytes(length - 2 * len(label) - len(message) - 2)

    def masked(label: bytes, marker: bytes) -> bytes:
        return _masked(label + filler + marker + message, digest)

    return {
        "first byte 01": b"\x01" + good[1:],
        "label hash, first byte": masked(bytes([label[0] ^ 1]) + label[1:], b"\x01"),
        "label hash, last byte": masked(label[:-1] + bytes([label[-1] ^ 1]), b"\x01"),
        "label hash, all": masked(bytes(len(label)), b"\x01"),
        "separator 00": _masked(label + bytes(len(filler) + 1 + len(message)), digest),
        "separator 02": masked(label, b"\x02"),
        "not masked": b"\x00" + message.rjust(length - 1, b"\x00"),
    }
