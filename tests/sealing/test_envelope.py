"""A sealed record opens under its own key at its own path, and in no other case."""

import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import DecryptionFailed
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.envelope import (
    EXTENDED_NONCE_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    seal,
    seal_extended,
    unseal,
    unseal_any,
)

KEYS = st.binary(min_size=32, max_size=32)
PATHS = st.text(st.characters(codec="utf-8"), max_size=40)
PLAINTEXTS = st.binary(max_size=200)


@given(key=KEYS, path=PATHS, plaintext=PLAINTEXTS)
def test_a_record_opens_at_its_own_path(key, path, plaintext):
    sealed = seal(Secret(key), path, plaintext)
    assert len(sealed) == NONCE_BYTES + len(plaintext) + TAG_BYTES
    assert unseal(Secret(key), path, sealed) == plaintext


@given(key=KEYS, path=PATHS, other=PATHS, plaintext=PLAINTEXTS)
def test_a_record_does_not_open_at_another_path(key, path, other, plaintext):
    sealed = seal(Secret(key), path, plaintext)
    if other != path:
        with pytest.raises(DecryptionFailed):
            unseal(Secret(key), other, sealed)


@given(key=KEYS, other=KEYS, plaintext=PLAINTEXTS)
def test_a_record_does_not_open_under_another_key(key, other, plaintext):
    sealed = seal(Secret(key), "/a", plaintext)
    if other != key:
        with pytest.raises(DecryptionFailed):
            unseal(Secret(other), "/a", sealed)


@given(plaintext=PLAINTEXTS, data=st.data())
def test_a_record_with_any_bit_flipped_does_not_open(plaintext, data):
    key = Secret(b"k" * 32)
    sealed = bytearray(seal(key, "/a", plaintext))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecryptionFailed):
        unseal(key, "/a", bytes(sealed))


@given(plaintext=PLAINTEXTS, data=st.data())
def test_a_truncated_or_extended_record_does_not_open(plaintext, data):
    key = Secret(b"k" * 32)
    sealed = seal(key, "/a", plaintext)
    length = data.draw(st.integers(0, len(sealed) - 1))
    for wrong in (sealed[:length], sealed[len(sealed) - length :], sealed + b"\0"):
        with pytest.raises(DecryptionFailed):
            unseal(key, "/a", wrong)


def test_a_record_with_the_nonce_of_another_does_not_open():
    key = Secret(b"k" * 32)
    first, second = seal(key, "/a", b"value"), seal(key, "/a", b"value")
    with pytest.raises(DecryptionFailed):
        unseal(key, "/a", second[:NONCE_BYTES] + first[NONCE_BYTES:])


def test_no_two_seals_share_a_nonce():
    key = Secret(b"k" * 32)
    nonces = {seal(key, "/a", b"")[:NONCE_BYTES] for _ in range(1000)}
    assert len(nonces) == 1000


def test_what_failed_does_not_show_in_the_error():
    key = Secret(b"k" * 32)
    sealed = seal(key, "/a", b"value")
    messages = set()
    for wrong_key, path, wrong in (
        (Secret(b"x" * 32), "/a", sealed),
        (key, "/b", sealed),
        (key, "/a", sealed[:5]),
        (key, "/a", sealed[:-1] + bytes([sealed[-1] ^ 1])),
    ):
        with pytest.raises(DecryptionFailed) as caught:
            unseal(wrong_key, path, wrong)
        messages.add(str(caught.value))
    assert len(messages) == 1


# --- the extended form ---

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"
XAES_VECTORS = [
    (b"\1", b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
    (b"\3", b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
]


@pytest.mark.parametrize(("octet", "path", "ciphertext"), XAES_VECTORS)
def test_the_published_xaes_vectors_hold_both_ways(monkeypatch, octet, path, ciphertext):
    key = Secret(octet * 32)
    monkeypatch.setattr(envelope.os, "urandom", lambda size: NONCE[:size])
    sealed = seal_extended(key, path.decode(), b"XAES-256-GCM")
    assert sealed.hex() == NONCE.hex() + ciphertext
    assert unseal_any(key, path.decode(), sealed) == b"XAES-256-GCM"


def test_the_accumulated_xaes_tests_hold():
    """As the specification has them: 10,000 inputs from SHAKE128, the ciphertexts hashed."""
    stream = hashlib.shake_128(b"").digest(10_000 * (32 + 24 + 2 * 256))
    position, ciphertexts = 0, hashlib.shake_128()

    def take(size: int) -> bytes:
        nonlocal position
        position += size
        return stream[position - size : position]

    for _ in range(10_000):
        key, nonce = Secret(take(32)), take(24)
        plaintext = take(take(1)[0])
        additional = take(take(1)[0])
        cipher = envelope._subkey(key, nonce)  # noqa: SLF001 - a path is text, and this is not
        ciphertexts.update(cipher.encrypt(nonce[NONCE_BYTES:], plaintext, additional))
    assert ciphertexts.hexdigest(32) == (
        "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
    )


@given(key=KEYS, path=PATHS, other=PATHS, plaintext=PLAINTEXTS)
def test_both_forms_open_at_their_own_path_only(key, path, other, plaintext):
    for form in (seal, seal_extended):
        sealed = form(Secret(key), path, plaintext)
        assert unseal_any(Secret(key), path, sealed) == plaintext
        if other != path:
            with pytest.raises(DecryptionFailed):
                unseal_any(Secret(key), other, sealed)


@given(plaintext=PLAINTEXTS, data=st.data())
def test_an_extended_record_with_any_bit_flipped_or_cut_does_not_open(plaintext, data):
    key = Secret(b"k" * 32)
    sealed = seal_extended(key, "/a", plaintext)
    assert len(sealed) == EXTENDED_NONCE_BYTES + len(plaintext) + TAG_BYTES
    flipped = bytearray(sealed)
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    flipped[bit // 8] ^= 1 << bit % 8
    length = data.draw(st.integers(0, len(sealed) - 1))
    for wrong in (bytes(flipped), sealed[:length], sealed + b"\0"):
        with pytest.raises(DecryptionFailed):
            unseal_any(key, "/a", wrong)


@given(key=KEYS, plaintexts=st.lists(PLAINTEXTS, min_size=1, max_size=3))
def test_each_record_is_encrypted_under_the_key_that_sp_800_108_derives(key, plaintexts):
    secret = Secret(key)
    for plaintext in plaintexts:
        sealed = seal_extended(secret, "/a", plaintext)
        derived = KBKDFCMAC(
            AES,
            Mode.CounterMode,
            length=32,
            rlen=2,
            llen=None,
            location=CounterLocation.BeforeFixed,
            label=None,
            context=None,
            fixed=b"X\0" + sealed[:NONCE_BYTES],
        ).derive(key)
        nonce, rest = sealed[NONCE_BYTES:EXTENDED_NONCE_BYTES], sealed[EXTENDED_NONCE_BYTES:]
        assert AESGCM(derived).decrypt(nonce, rest, b"/a") == plaintext
