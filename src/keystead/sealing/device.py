"""Values derived from the device key: the device's name, and the key of its settings."""

import base64
import hashlib
import hmac
import os

from keystead.model.secret import Secret

DEVICE_KEY_BYTES = 32
UNATTENDED_KEY_BYTES = 32
DEVICE_ID_LENGTH = 10


def new_device_key() -> Secret:
    """Return 32 fresh random bytes."""
    return Secret(os.urandom(DEVICE_KEY_BYTES))


def device_id(device_key: Secret) -> str:
    """Return the public name of this device: 10 characters of A-Z2-7.

    It is a keyed hash of the device key: it needs no storage and reveals nothing about the key.
    """
    digest = hmac.digest(device_key.reveal(), b"device-id", hashlib.sha256)
    return base64.b32encode(digest)[:DEVICE_ID_LENGTH].decode()


def local_config_key(device_key: Secret) -> Secret:
    """Return the key of records that are read before unlock: SHA-256(device key ‖ label)."""
    return Secret(hashlib.sha256(device_key.reveal() + b"early_config_store").digest())
