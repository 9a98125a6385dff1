"""Passphrases: what fits, what does not, and what an answer costs."""

import hashlib
import hmac
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.errors import NotAuthenticated
from keystead.model.secret import Secret
from keystead.model.users import PassphraseVerifier, ScryptParameters
from keystead.sealing.passphrase import (
    UNLOCK_COST,
    VERIFIER_COST,
    derive_unlock_key,
    dummy_verifier,
    make_verifier,
    needs_renewal,
    verify,
)

CHEAP = ScryptParameters(n=2, r=1, p=1)
PASSPHRASES = st.binary(min_size=1, max_size=200)


@given(right=PASSPHRASES, wrong=PASSPHRASES)
@settings(max_examples=50)
def test_a_verifier_fits_its_passphrase_and_no_other(right, wrong):
    verifier = make_verifier(Secret(right), cost=CHEAP)
    verify(verifier, Secret(right), cost=CHEAP)
    if wrong != right:
        with pytest.raises(NotAuthenticated):
            verify(verifier, Secret(wrong), cost=CHEAP)


def test_equal_passphrases_have_different_verifiers():
    first, second = (make_verifier(Secret(b"same"), cost=CHEAP) for _ in range(2))
    assert first.salt != second.salt
    assert first.digest != second.digest


def test_a_verifier_is_scrypt_with_its_own_parameters():
    verifier = make_verifier(Secret(b"secret"), cost=ScryptParameters(n=4, r=2, p=3))
    assert verifier.digest == hashlib.scrypt(b"secret", salt=verifier.salt, n=4, r=2, p=3, dklen=32)


def test_a_restored_nethsm_digest_fits_its_passphrase_and_no_other():
    restored = PassphraseVerifier(b"salt", hmac.digest(b"salt", b"right", "sha256"), None)
    verify(restored, Secret(b"right"), cost=CHEAP)
    with pytest.raises(NotAuthenticated):
        verify(restored, Secret(b"wrong"), cost=CHEAP)


def test_no_passphrase_fits_the_dummy():
    dummy = dummy_verifier(cost=CHEAP)
    for guess in (b"", b"password", dummy.digest):
        with pytest.raises(NotAuthenticated):
            verify(dummy, Secret(guess), cost=CHEAP)


def test_restored_and_cheaper_verifiers_want_renewal():
    assert needs_renewal(PassphraseVerifier(b"salt", b"digest", None))
    assert needs_renewal(make_verifier(Secret(b"x"), cost=CHEAP))
    half = ScryptParameters(n=VERIFIER_COST.n, r=VERIFIER_COST.r, p=VERIFIER_COST.p - 1)
    assert needs_renewal(PassphraseVerifier(b"salt", b"digest", half))
    less_memory = ScryptParameters(n=VERIFIER_COST.n // 2, r=8, p=2 * VERIFIER_COST.p)
    assert needs_renewal(PassphraseVerifier(b"salt", b"digest", less_memory))
    assert not needs_renewal(PassphraseVerifier(b"salt", b"digest", VERIFIER_COST))
    assert not needs_renewal(PassphraseVerifier(b"salt", b"digest", UNLOCK_COST))


def test_a_wrong_answer_takes_as_long_whoever_was_asked_for():
    def cost(verifier):
        started = process_time()
        with pytest.raises(NotAuthenticated):
            verify(verifier, Secret(b"wrong"))
        return process_time() - started

    restored = PassphraseVerifier(b"salt", b"d" * 32, None)
    known = PassphraseVerifier(b"s" * 16, b"d" * 32, VERIFIER_COST)
    costs = [min(cost(who) for _ in range(2)) for who in (known, dummy_verifier(), restored)]
    assert min(costs) > max(costs) / 2


def test_the_unlock_key_is_the_scrypt_of_a_nethsm():
    key = derive_unlock_key(Secret(b"unlockPassphrase"), b"0123456789abcdef")
    expected = hashlib.scrypt(
        b"unlockPassphrase", salt=b"0123456789abcdef", n=16384, r=8, p=16, dklen=32
    )
    assert key.reveal() == expected


def test_what_was_compared_does_not_show_in_a_failure():
    with pytest.raises(NotAuthenticated) as caught:
        verify(dummy_verifier(cost=CHEAP), Secret(b"hunter2hunter2"), cost=CHEAP)
    assert "hunter2" not in str(caught.value)
