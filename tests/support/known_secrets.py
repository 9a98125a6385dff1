"""Secrets of an HSM: those a test has made, and those it opens with the unlock passphrase."""

import asyncio
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from keystead.model.keys import KeyPath
from keystead.model.secret import Secret
from keystead.sealing import envelope
from keystead.sealing.domain_key import StoreLabel, store_key, unlock
from keystead.sealing.passphrase import derive_unlock_key
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.domain import DomainStores
from keystead.storage.generations import GenerationStore
from keystead.storage.journal_records import stored_keys
from keystead.storage.local import LocalStore
from keystead.storage.settings import BACKUP_KEY, IDENTITY_KEY, TLS_KEY, UNLOCK_SALT
from tests.support.leaks import Secrets


def private_pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def add_private_key(secrets: Secrets, name: str, key: PrivateKeyTypes) -> None:
    """All that the private half is made of, and each form that it is kept in."""
    secrets.add_pem(name, private_pem(key))
    match key:
        case rsa.RSAPrivateKey():
            numbers = key.private_numbers()
            for part in ("p", "q", "d", "dmp1", "dmq1", "iqmp"):
                secrets.add(f"{name}, {part}", getattr(numbers, part))
        case ec.EllipticCurvePrivateKey():
            size = (key.key_size + 7) // 8
            value = key.private_numbers().private_value
            secrets.add(f"{name}, scalar", value.to_bytes(size))
        case ed25519.Ed25519PrivateKey():
            secrets.add(f"{name}, seed", key.private_bytes_raw())


def add_stored_secrets(
    secrets: Secrets, data: Path, unlock_passphrase: str, *, prefix: str = ""
) -> None:
    """The device key, the domain key and what is derived from them, verifiers, all keys."""
    device_key = Secret((data / "device.key").read_bytes())
    secrets.add(f"{prefix}device key", device_key.reveal())
    asyncio.run(_add_stored(secrets, data / "keystead.db", device_key, unlock_passphrase, prefix))


async def _add_stored(
    secrets: Secrets, database: Path, device_key: Secret, unlock_passphrase: str, prefix: str
) -> None:
    raw = SqliteStore(database)
    try:
        store = await GenerationStore.open(raw)
        local = LocalStore(store, device_key)
        secrets.add(f"{prefix}local configuration key", local.config_key.reveal())
        tls_key = await local.settings.get(TLS_KEY)
        assert tls_key is not None
        secrets.add_pem(f"{prefix}TLS key", tls_key.reveal())
        salt = await local.settings.get(UNLOCK_SALT)
        assert salt is not None
        unlock_key = derive_unlock_key(Secret(unlock_passphrase.encode()), salt)
        secrets.add(f"{prefix}unlock key", unlock_key.reveal())
        domain_key = unlock(await local.locked_domain_key(), unlock_key)
        secrets.add(f"{prefix}domain key", domain_key.reveal())
        for label in StoreLabel:
            secrets.add(f"{prefix}{label.name} store key", store_key(domain_key, label).reveal())
        await _add_journal(secrets, raw, domain_key, prefix)
        await _add_identity(secrets, local, domain_key, prefix)
        await _add_records(secrets, DomainStores(store, domain_key), prefix)
    finally:
        await raw.close()


async def _add_journal(
    secrets: Secrets, store: SqliteStore, domain_key: Secret, prefix: str
) -> None:
    keys = await stored_keys(store, domain_key)
    assert keys is not None
    half = len(keys.stored.reveal()) // 2
    secrets.add(f"{prefix}journal, seed", keys.stored.reveal()[:half])
    secrets.add(f"{prefix}journal, sealing key", keys.stored.reveal()[half:])


async def _add_identity(
    secrets: Secrets, local: LocalStore, domain_key: Secret, prefix: str
) -> None:
    sealed = await local.settings.get(IDENTITY_KEY)
    if sealed is not None:
        pem = envelope.unseal(store_key(domain_key, StoreLabel.IDENTITY), "identity", sealed)
        add_private_key(secrets, f"{prefix}identity", load_pem_private_key(pem, None))


async def _add_records(secrets: Secrets, stores: DomainStores, prefix: str) -> None:
    for user_id in await stores.users.list(None):
        found = await stores.users.get(user_id)
        assert found is not None
        secrets.add(f"{prefix}verifier of {user_id}", found[0].verifier.digest)
    for key_id in await stores.keys.lists.ids(None):
        key = await stores.keys.get(KeyPath(None, key_id))
        assert key is not None
        material, name = key.record.private, f"{prefix}key {key_id}"
        if material.pem is None:
            secrets.add(name, material.raw or b"")
        else:
            add_private_key(secrets, name, load_pem_private_key(material.pem, None))
    backup_key = await stores.config.get(BACKUP_KEY)
    if backup_key is not None:
        secrets.add(f"{prefix}backup key", backup_key.reveal())
