"""How long a decryption takes does not tell what is wrong with a padding."""

import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import pytest

from keystead import algorithms
from keystead.algorithms import DECRYPT, PrivateKey
from keystead.errors import DecryptionFailed
from keystead.model.keys import PrivateMaterial
from tests.algorithms.published_vectors import OURS
from tests.support.rsa_encodings import (
    encode_pkcs1,
    encrypt_raw,
    mgf1,
    wrong_oaep,
    wrong_pkcs1,
)
from tests.support.uses import use

FLOOR_NS = 1000
"""Of 0.7 to 5 ms."""
VARIETY = 35
"""Ciphertexts of a kind: one alone is told from others by what a CPU remembers of it."""
HASHES = ["MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512"]
Ciphertexts = Mapping[str, Sequence[bytes]]


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return algorithms.load(PrivateMaterial(pem=(OURS / "keys" / "rsa-2048.pem").read_bytes()))


def watched(work: Callable[[bytes], object]) -> Callable[[bytes], Awaitable[object]]:
    async def decrypt(ciphertext: bytes) -> object:
        try:
            return work(ciphertext)
        except DecryptionFailed as failure:
            return failure

    return decrypt


def random_message(length: int) -> bytes:
    """No byte of it is 0."""
    return os.urandom(length).replace(b"\x00", b"\x01")


def encrypted(key: PrivateKey, make: Callable[[bytes], Mapping[str, bytes]]) -> Ciphertexts:
    """Ciphertexts of what `make` makes of random messages, by kind."""
    made = [make(random_message(32)) for _ in range(VARIETY)]
    return {kind: [encrypt_raw(key, blocks[kind]) for blocks in made] for kind in made[0]}


async def test_pkcs1_does_not_tell_a_good_padding_from_a_wrong_one(key, verdict) -> None:
    good = [random_message(length) for length in range(0, 245, 245 // VARIETY)]
    kinds = {
        "good": [encrypt_raw(key, encode_pkcs1(message, 256)) for message in good],
        **encrypted(key, lambda message: wrong_pkcs1(256, message)),
    }
    found = await verdict(watched(key.decrypt_pkcs1), kinds, samples=150, floor_ns=FLOOR_NS)
    assert not found.leaks, found


async def test_pkcs1_with_padding_errors_does_not_tell_what_is_wrong(key, verdict) -> None:
    kinds = encrypted(key, lambda message: wrong_pkcs1(256, message))
    decrypt = watched(key.decrypt_pkcs1_with_padding_errors)
    found = await verdict(decrypt, kinds, samples=50, floor_ns=FLOOR_NS)
    assert not found.leaks, found


@pytest.mark.parametrize("name", HASHES)
async def test_oaep_does_not_tell_what_is_wrong(key, verdict, name: str) -> None:
    kinds = encrypted(key, lambda message: wrong_oaep(256, name.lower(), message))
    samples = 60 if name == "MD5" else 120
    found = await verdict(
        watched(partial(use, key, DECRYPT, f"OAEP_{name}")),
        kinds,
        samples=samples,
        floor_ns=FLOOR_NS,
    )
    assert not found.leaks, found


async def test_control_an_oaep_that_looks_at_the_first_byte_first_is_found(
    key, verdict_on_leak
) -> None:
    def unmask(block: bytes) -> bytes:
        masked_seed, masked_block = block[1:33], block[33:]
        seed = bytes(
            a ^ b for a, b in zip(masked_seed, mgf1(masked_block, 32, "sha256"), strict=True)
        )
        mask = mgf1(seed, len(masked_block), "sha256")
        return bytes(a ^ b for a, b in zip(masked_block, mask, strict=True))

    async def leaking(ciphertext: bytes) -> bool:
        block = use(key, DECRYPT, "RAW", ciphertext)
        return block[0] == 0 and unmask(block).startswith(hashlib.sha256().digest())

    everything = encrypted(key, lambda message: wrong_oaep(256, "sha256", message))
    kinds = {
        kind: everything[kind] for kind in ("first byte 01", "label hash, all", "separator 02")
    }
    found = await verdict_on_leak(leaking, kinds, samples=300, floor_ns=FLOOR_NS)
    assert found.leaks, found
    assert found.worst.kind == "first byte 01"
