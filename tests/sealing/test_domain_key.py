"""The domain key opens with the right passphrase on the right device, or by itself if so set."""

import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import DecryptionFailed
from keystead.model.secret import Secret
from keystead.sealing import domain_key as keys

KEY = st.binary(min_size=32, max_size=32)


@given(domain=KEY, key=KEY, wrong=KEY)
def test_the_unattended_lock_opens_with_its_key_only(domain, key, wrong):
    locked = keys.lock_unattended(Secret(domain), Secret(key))
    assert keys.unlock_unattended(locked, Secret(key)).reveal() == domain
    if wrong != key:
        with pytest.raises(DecryptionFailed):
            keys.unlock_unattended(locked, Secret(wrong))


def test_one_lock_does_not_open_as_the_other():
    domain, key = Secret(b"d" * 32), Secret(b"k" * 32)
    with pytest.raises(DecryptionFailed):
        keys.unlock(keys.lock_unattended(domain, key), key)
    with pytest.raises(DecryptionFailed):
        keys.unlock_unattended(keys.lock(domain, key), key)


def test_a_locked_domain_key_has_the_form_of_a_nethsm_backup():
    locked = keys.lock(Secret(b"d" * 32), Secret(b"u" * 32))
    assert AESGCM(b"u" * 32).decrypt(locked[:12], locked[12:], b"passphrase") == b"d" * 32
    assert len(locked) == 60


def test_the_wrong_passphrase_does_not_unlock():
    locked = keys.lock(Secret(b"d" * 32), Secret(b"u" * 32))
    with pytest.raises(DecryptionFailed):
        keys.unlock(locked, Secret(b"v" * 32))


def test_each_store_has_its_own_key():
    domain = Secret(b"d" * 32)
    derived = {label: keys.store_key(domain, label).reveal() for label in keys.StoreLabel}
    assert derived[keys.StoreLabel.USERS] == hashlib.sha256(b"d" * 32 + b"auth_store").digest()
    assert len(set(derived.values())) == len(keys.StoreLabel)


def test_new_keys_and_salts_differ():
    assert keys.new_domain_key().reveal() != keys.new_domain_key().reveal()
    assert len(keys.new_domain_key().reveal()) == keys.DOMAIN_KEY_BYTES
    assert keys.new_unlock_salt() != keys.new_unlock_salt()
    assert len(keys.new_unlock_salt()) == keys.UNLOCK_SALT_BYTES
