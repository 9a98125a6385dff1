"""How long a compare of something secret takes does not tell where it first differs."""

import contextlib
import hmac
import os
from collections.abc import Awaitable, Callable

import pytest
from Crypto.Cipher import AES
from Crypto.Cipher._mode_kw import W

from keystead import algorithms
from keystead.algorithms import DECRYPT, SIGN, VERIFY, PrivateKey, PrivateParts
from keystead.errors import DecryptionFailed, NotAuthenticated
from keystead.model.secret import Secret
from keystead.model.users import PassphraseVerifier, ScryptParameters
from keystead.sealing import envelope, passphrase
from tests.support.uses import use

FLOOR_NS = 150
SAMPLES = 4000
VARIETY = 50
PASSPHRASE = Secret(b"a passphrase")
CHEAPEST = ScryptParameters(n=2, r=1, p=1)
PLACES = {"first byte": 0, "middle byte": 16, "last byte": 31}


def changed(octets: bytes, place: int) -> bytes:
    return octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :]


@pytest.fixture
def verifiers() -> dict[str, list[PassphraseVerifier]]:
    """Verifiers that the passphrase does not fit, by where the digest differs."""
    fit = [passphrase.make_verifier(PASSPHRASE, cost=CHEAPEST) for _ in range(VARIETY)]
    return {
        kind: [PassphraseVerifier(one.salt, changed(one.digest, place), CHEAPEST) for one in fit]
        for kind, place in PLACES.items()
    }


async def verify(verifier: PassphraseVerifier) -> None:
    with contextlib.suppress(NotAuthenticated):
        passphrase.verify(verifier, PASSPHRASE)


async def test_a_passphrases_digest_is_compared_in_constant_time(verifiers, verdict) -> None:
    found = await verdict(verify, verifiers, samples=SAMPLES, floor_ns=FLOOR_NS)
    assert not found.leaks, found


async def test_control_a_compare_that_stops_early_is_found(
    verifiers, verdict_on_leak, monkeypatch
) -> None:
    def early(one: bytes, other: bytes) -> bool:
        return all(a == b for a, b in zip(one, other, strict=True))

    monkeypatch.setattr(hmac, "compare_digest", early)
    found = await verdict_on_leak(verify, verifiers, samples=SAMPLES, floor_ns=FLOOR_NS)
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


def generic_key(value: bytes) -> PrivateKey:
    return algorithms.BY_NAME["Generic"].from_parts(PrivateParts(data=value))


async def test_a_cmac_is_compared_in_constant_time(verdict) -> None:
    key = generic_key(os.urandom(32))
    messages = [os.urandom(64) for _ in range(VARIETY)]
    tags = [use(key, SIGN, "AES_CMAC", message) for message in messages]
    kinds = {
        kind: [
            (message, changed(tag, place // 2)) for message, tag in zip(messages, tags, strict=True)
        ]
        for kind, place in PLACES.items()
    }

    async def verify_cmac(pair: tuple[bytes, bytes]) -> None:
        message, tag = pair
        use(key, VERIFY, "AES_CMAC", message, signature=tag)

    found = await verdict(verify_cmac, kinds, samples=SAMPLES, floor_ns=FLOOR_NS)
    assert not found.leaks, found


WRAPPED = {
    "AES_KW": {
        "check value, first byte": b"\xa7" + b"\xa6" * 7 + bytes(24),
        "check value, middle byte": b"\xa6" * 4 + b"\xa7" + b"\xa6" * 3 + bytes(24),
        "check value, last byte": b"\xa6" * 7 + b"\xa7" + bytes(24),
    },
    "AES_KWP": {
        "check value, first byte": bytes.fromhex("a75959a600000014") + bytes(24),
        "check value, last byte": bytes.fromhex("a65959a700000014") + bytes(24),
        "length": bytes.fromhex("a65959a600000034") + bytes(24),
        "padding, first byte": bytes.fromhex("a65959a600000014") + bytes(20) + b"?\0\0\0",
        "padding, last byte": bytes.fromhex("a65959a600000014") + bytes(23) + b"?",
    },
}
"""What a wrapped key of 24 or 20 bytes must not unwrap to (RFC 3394, 2.2.3; RFC 5649, 3)."""
WRAPPED_FLOOR_NS = {"AES_KW": FLOOR_NS, "AES_KWP": 1_000}
"""The library looks at the padding only if the check value is right, which takes 0.2 µs. A forger
needs 2**32 tries to get there, because any changed byte makes all of the check value random."""


@pytest.mark.parametrize("mode", WRAPPED)
async def test_key_wrap_does_not_tell_what_is_wrong(verdict, mode: str) -> None:
    keys = [os.urandom(32) for _ in range(VARIETY)]
    kinds = {
        kind: [(generic_key(key), W(AES.new(key, AES.MODE_ECB), text)) for key in keys]
        for kind, text in WRAPPED[mode].items()
    }

    async def unwrap(pair: tuple[PrivateKey, bytes]) -> None:
        key, wrapped = pair
        with pytest.raises(DecryptionFailed):
            use(key, DECRYPT, mode, wrapped)

    floor = WRAPPED_FLOOR_NS[mode]
    found = await verdict(unwrap, kinds, samples=SAMPLES, floor_ns=floor)
    assert not found.leaks, found
