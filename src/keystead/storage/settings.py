"""Settings of the HSM: one typed, sealed record each. A new setting is a row here."""

import base64
import re
import textwrap
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from keystead.model.device_settings import LoggingSettings, NetworkSettings, NtpSettings
from keystead.model.journal_settings import JournalSettings
from keystead.model.secret import Secret
from keystead.sealing.backup_seal import SealedSet
from keystead.sealing.unlock_shares import ShareSet
from keystead.storage.device_records import (
    decode_logging,
    decode_network,
    encode_logging,
    encode_network,
)
from keystead.storage.key_value_store import Change
from keystead.storage.records import corrupt
from keystead.storage.sealed_records import SealedRecords

T = TypeVar("T")


class Setting(msgspec.Struct, Generic[T], frozen=True):
    """A setting's name in its store, and its encoding. `decode` raises ValueError."""

    name: str
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


def _raw(name: str) -> Setting[bytes]:
    return Setting(name, lambda value: value, lambda stored: stored)


def _secret(name: str) -> Setting[Secret]:
    return Setting(name, lambda value: value.reveal(), Secret)


def _json(name: str, shape: type[T]) -> Setting[T]:
    # msgspec.DecodeError is a ValueError, as Setting.decode has to raise.
    return Setting(
        name, msgspec.json.encode, lambda stored: msgspec.json.decode(stored, type=shape)
    )


def _encode_flag(value: bool) -> bytes:  # noqa: FBT001  the value itself is a truth value
    return b"1" if value else b"0"


def _decode_flag(stored: bytes) -> bool:
    if stored not in (b"0", b"1"):
        raise ValueError("not a flag")
    return stored == b"1"


_PEM_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----"
)
_LENGTH_BYTES = 4


def _encode_chain(pem: bytes) -> bytes:
    certificates = [base64.b64decode(body) for body in _PEM_CERTIFICATE.findall(pem)]
    if not certificates:
        raise ValueError("no certificate")
    return b"".join(len(der).to_bytes(_LENGTH_BYTES) + der for der in certificates)


def _decode_chain(stored: bytes) -> bytes:
    chain = b""
    while stored:
        end = _LENGTH_BYTES + int.from_bytes(stored[:_LENGTH_BYTES])
        if len(stored) < max(end, _LENGTH_BYTES + 1):
            raise ValueError("truncated certificate")
        body = "\n".join(textwrap.wrap(base64.b64encode(stored[_LENGTH_BYTES:end]).decode(), 64))
        chain += f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n".encode()
        stored = stored[end:]
    if not chain:
        raise ValueError("no certificate")
    return chain


# Settings of one device, readable before unlock (LocalStore).
UNLOCK_SALT = _raw("unlock-salt")
UNLOCK_SHARES = _json("unlock-shares", ShareSet)
"""The present set of unlock shares. Without it, the unlock passphrase is one that people know."""
TLS_CHAIN: Setting[bytes] = Setting("certificate", _encode_chain, _decode_chain)
"""The TLS certificates in PEM, the server's own first."""
TLS_KEY = _secret("private-key")
"""The TLS key in PKCS#8 PEM."""
IDENTITY_KEY = _raw("identity-key")
"""The key that signs attestations, sealed under the domain key."""
IDENTITY_CHAIN: Setting[bytes] = Setting("identity-certificate", _encode_chain, _decode_chain)
"""The certificates of that key in PEM, its own first."""
CLUSTER_CA = _raw("cluster-ca")
"""The certificate of the cluster's CA in PEM."""
TIME_OFFSET: Setting[int] = Setting("time-offset", lambda value: b"%d" % value, int)
"""Seconds to add to the machine's clock."""
UNATTENDED_BOOT: Setting[bool] = Setting("unattended-boot", _encode_flag, _decode_flag)
NETWORK: Setting[NetworkSettings] = Setting("ip-config", encode_network, decode_network)
LOGGING: Setting[LoggingSettings] = Setting("log-config", encode_logging, decode_logging)
NTP = _json("ntp-config", NtpSettings)
RESTORED_BACKUP_SALT = _raw("restored-backup-salt")
RESTORED_BACKUP_KEY = _secret("restored-backup-key")
"""The backup key of a restored file of version 0, which has key and salt in clear. They stay here
until the next unlock, when they can be sealed under the domain key."""
RESTORED_SEAL: Setting[SealedSet] = Setting(
    "restored-backup-seal", SealedSet.encode, SealedSet.decode
)
"""The seal of a restored file. It stays here until the next unlock, when it can be checked."""
SEALS_BACKUPS = _raw("seals-backups")
"""The fingerprint of the domain key under which the last backup was sealed."""

RESTORED_VERSIONS = _secret("restored-versions-key")
"""The key of the root that a restore has made. It stays here until the next unlock, when the root
can be sealed under the domain key."""

JOURNAL = _json("journal", JournalSettings)
RESTORED_JOURNAL = _secret("restored-journal-keys")
"""The keys of the journal, after a restore has replaced the domain key that sealed them. They stay
here until the next unlock."""

# Settings of the HSM as a whole, sealed under the domain key (DomainStores.config).
BACKUP_SALT = _raw("backup-salt")
BACKUP_KEY = _secret("backup-key")
ATTENDED_SLOTS = "attended-slot-"
"""The beginning of the names of these settings. They are in no backup."""


def attended_slot(device_id: str) -> Setting[bytes]:
    """Return the setting with the hash of a device's wrapped domain key."""
    return _raw(ATTENDED_SLOTS + device_id)


class SettingStore:
    """Settings in one sealed store."""

    def __init__(self, records: SealedRecords) -> None:
        self._records = records

    async def get(self, setting: Setting[T]) -> T | None:
        """Return a setting's value, or None if it was never set.

        Raises CorruptRecord if its record is damaged.
        """
        opened = await self._records.get(setting.name)
        if opened is None:
            return None
        try:
            return setting.decode(opened.plaintext)
        except ValueError:
            raise corrupt(self._records.path(setting.name)) from None

    def put(self, setting: Setting[T], value: T) -> Change:
        """Return the change that sets it."""
        return self._records.put(setting.name, setting.encode(value))

    def remove(self, setting: Setting[T]) -> Change:
        """Return the change that unsets it."""
        return self._records.delete(setting.name)
