"""A sealed record opens under its own key at its own path, and in no other case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import DecryptionFailed
from keystead.model.secret import Secret
from keystead.sealing.envelope import NONCE_BYTES, TAG_BYTES, seal, unseal

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
