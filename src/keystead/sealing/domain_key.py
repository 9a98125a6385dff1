"""The domain key, under which all shared records are sealed, and how it is wrapped.

    attended slot:    seal(device key, path, seal(unlock key, "passphrase", domain key))
    unattended slot:  seal(device key, path, seal(unattended key, "unattended", domain key))

The inner part is made here, the outer one by `storage/local`.

That of the attended slot is what NetHSM calls the locked domain key: it travels in
backups, while nothing under a device key ever does.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.device import UNATTENDED_KEY_BYTES

DOMAIN_KEY_BYTES = 32
UNLOCK_SALT_BYTES = 16
_LOCK_PURPOSE = "passphrase"
_UNATTENDED_PURPOSE = "unattended"


class StoreLabel(Enum):
    """The purpose of a store key. The value is used in its derivation."""

    USERS = b"auth_store"
    KEYS = b"key_store"
    NAMESPACES = b"namespace_store"
    CONFIG = b"config_store"
    APPROVALS = b"approval_store"
    IDENTITY = b"identity"
    """For the identity of the device, which is in a store of the device."""
    JOURNAL = b"journal"
    """For the keys of the journal."""
    VERSIONS = b"record_versions"
    """For the root of the versions of records."""
    BACKUPS = b"backup_seal"
    """For the seals of backups, which are no store."""


def new_domain_key() -> Secret:
    """Return 32 fresh random bytes."""
    return Secret(os.urandom(DOMAIN_KEY_BYTES))


def new_unattended_key() -> Secret:
    """Return 32 fresh random bytes."""
    return Secret(os.urandom(UNATTENDED_KEY_BYTES))


def new_unlock_salt() -> bytes:
    """Return 16 fresh random bytes."""
    return os.urandom(UNLOCK_SALT_BYTES)


def store_key(domain_key: Secret, label: StoreLabel) -> Secret:
    """Return the key of one store: SHA-256(domain key ‖ label). Wipe it when the HSM is locked."""
    digest = hashlib.sha256(domain_key.reveal())
    digest.update(label.value)  # Not joined before: that would be one more copy of the domain key.
    return Secret(digest.digest())


@contextmanager
def brief_store_key(domain_key: Secret, label: StoreLabel) -> Iterator[Secret]:
    """Give the key of one store to this context, and wipe it then: lock has no copy to wipe."""
    key = store_key(domain_key, label)
    try:
        yield key
    finally:
        key.wipe()


def fingerprint(domain_key: Secret) -> bytes:
    """Return 32 bytes that identify a domain key and reveal nothing about it."""
    with brief_store_key(domain_key, StoreLabel.BACKUPS) as key:
        return hashlib.sha256(key.reveal()).digest()


def lock(domain_key: Secret, unlock_key: Secret) -> bytes:
    """Return the domain key wrapped under the unlock key, as it is in a backup."""
    return envelope.seal(unlock_key, _LOCK_PURPOSE, domain_key.reveal())


def unlock(locked: bytes, unlock_key: Secret) -> Secret:
    """Return the domain key. Raises DecryptionFailed if the unlock key is not that of `lock`."""
    return Secret(envelope.unseal(unlock_key, _LOCK_PURPOSE, locked))


def lock_unattended(domain_key: Secret, unattended_key: Secret) -> bytes:
    """Return the domain key wrapped under the unattended key, as it is in its slot."""
    return envelope.seal(unattended_key, _UNATTENDED_PURPOSE, domain_key.reveal())


def unlock_unattended(locked: bytes, unattended_key: Secret) -> Secret:
    """Return the domain key.

    Raises DecryptionFailed if the unattended key is not the one of `lock_unattended`.
    """
    return Secret(envelope.unseal(unattended_key, _UNATTENDED_PURPOSE, locked))
