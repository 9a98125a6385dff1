"""How long a compare of something secret takes does not tell where it first differs."""

import contextlib
import hmac
import os
from collections.abc import Awaitable, Callable

import pytest

from keystead.errors import DecryptionFailed, NotAuthenticated
from keystead.model.secret import Secret
from keystead.model.users import ScryptParameters, Verifier
from keystead.sealing import envelope, passphrase

FLOOR_NS = 150
SAMPLES = 4000
VARIETY = 50
PASSPHRASE = Secret(b"a passphrase")
CHEAPEST = ScryptParameters(n=2, r=1, p=1)
PLACES = {"first byte": 0, "middle byte": 16, "last byte": 31}


def changed(octets: bytes, place: int) -> bytes:
    return octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :]


@pytest.fixture
def verifiers() -> dict[str, list[Verifier]]:
    """Verifiers that the passphrase does not fit, by where the digest differs."""
    fit = [passphrase.make_verifier(PASSPHRASE, cost=CHEAPEST) for _ in range(VARIETY)]
    return {
        kind: [Verifier(one.salt, changed(one.digest, place), CHEAPEST) for one in fit]
        for kind, place in PLACES.items()
    }


async def verify(verifier: Verifier) -> None:
    with contextlib.suppress(NotAuthenticated):
        passphrase.verify(verifier, PASSPHRASE)


async def test_a_passphrases_digest_is_compared_in_constant_time(verifiers, verdict) -> None:
    found = await verdict(verify, verifiers, samples=SAMPLES, floor_ns=FLOOR_NS)
    assert not found.leaks, found


async def test_control_a_compare_that_stops_early_is_found(verifiers, verdict, monkeypatch) -> None:
    def early(one: bytes, other: bytes) -> bool:
        return all(a == b for a, b in zip(one, other, strict=True))

    monkeypatch.setattr(hmac, "compare_digest", early)
    found = await verdict(verify, verifiers, samples=SAMPLES, floor_ns=FLOOR_NS)
    assert found.leaks, found


def opening(key: Secret) -> Callable[[bytes], Awaitable[None]]:
    async def unseal(sealed: bytes) -> None:
        with contextlib.suppress(DecryptionFailed):
            envelope.unseal(key, "/a/path", sealed)

    return unseal


async def test_a_seals_tag_is_compared_in_constant_time(verdict) -> None:
    key = Secret(os.urandom(32))
    sealed = [envelope.seal(key, "/a/path", os.urandom(64)) for _ in range(VARIETY)]
    kinds = {
        f"tag, {kind}": [changed(one, len(one) - envelope.TAG_BYTES + place // 2) for one in sealed]
        for kind, place in PLACES.items()
    }
    kinds["text, first byte"] = [changed(one, envelope.NONCE_BYTES) for one in sealed]
    found = await verdict(opening(key), kinds, samples=SAMPLES, floor_ns=FLOOR_NS)
    assert not found.leaks, found
