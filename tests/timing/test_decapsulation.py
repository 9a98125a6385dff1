"""How long a decapsulation takes does not tell a ciphertext of the key's from any other."""

import hashlib
import os
from collections.abc import Mapping, Sequence

import pytest

from keystead import algorithms
from keystead.algorithms import DECAPSULATE, ENCAPSULATE, PrivateKey
from tests.support.uses import use

FLOOR_NS = 500
"""Of 30 to 100 µs."""
VARIETY = 35
"""Ciphertexts of a kind: one alone is told from others by what a CPU remembers of it."""
Ciphertexts = Mapping[str, Sequence[bytes]]


@pytest.fixture(params=["ML_KEM_768", "ML_KEM_1024"])
def key(request) -> PrivateKey:
    return algorithms.BY_NAME[request.param].generate(None)


def ciphertexts(key: PrivateKey) -> Ciphertexts:
    sound = [use(key, ENCAPSULATE, "ML_KEM")[0] for _ in range(VARIETY)]
    return {
        "sound": sound,
        "first bit": [bytes([one[0] ^ 1]) + one[1:] for one in sound],
        "last bit": [one[:-1] + bytes([one[-1] ^ 1]) for one in sound],
        "random": [os.urandom(len(one)) for one in sound],
    }


async def test_a_rejected_ciphertext_takes_as_long_as_a_sound_one(key, verdict) -> None:
    async def decapsulate(ciphertext: bytes) -> bytes:
        return use(key, DECAPSULATE, "ML_KEM", ciphertext)

    found = await verdict(decapsulate, ciphertexts(key), samples=1500, floor_ns=FLOOR_NS)
    assert not found.leaks, found


async def test_control_a_rejection_that_hashes_once_more_is_found(key, verdict_on_leak) -> None:
    made = ciphertexts(key)
    sound = frozenset(made["sound"])

    async def leaking(ciphertext: bytes) -> bytes:
        secret = use(key, DECAPSULATE, "ML_KEM", ciphertext)
        if ciphertext in sound:
            return secret
        return hashlib.shake_256(secret + ciphertext * 8).digest(32)

    found = await verdict_on_leak(leaking, made, samples=1500, floor_ns=FLOOR_NS)
    assert found.leaks, found
