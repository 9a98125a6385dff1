"""NetHSM's backup container. Version 1 is written, and versions 0 and 1 are read, in parts.

    "_NETHSM_BACKUP_"  version byte
    field   salt of the backup passphrase, in clear
    field   the version again, sealed                                  "backup-version"
    field   the locked domain key, sealed                              "domain-key"
    field   the device that made it, sealed            (version 1)     "backup-device-id"
    field   the key of its local configuration, sealed (version 1)     "backup-config-store-key"
    field   a record, sealed; any number of them                       "backup"
    field   empty                                      (version 1)
    "_NETHSM_BACKUP_END_"                              (version 1)

A field is a 3-byte big-endian length and as many bytes. Sealed is AES-256-GCM under the key derived
from the backup passphrase, with the quoted words as associated data. A record is its path as a
field, and its value as it lies in the store.

What the format cannot show: a record that was taken out as a whole or put in from another file
(`backup_seal` shows that), or the end of a version 0 file cut off between two records.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from keystead.errors import DecryptionFailed, InvalidInput, WrongState
from keystead.model.secret import Secret
from keystead.sealing import envelope

MAGIC: Final = b"_NETHSM_BACKUP_"
TRAILER: Final = b"_NETHSM_BACKUP_END_"
WRITTEN_VERSION: Final = 1
LOCKED_KEY_BYTES: Final = envelope.NONCE_BYTES + envelope.KEY_BYTES + envelope.TAG_BYTES

MAX_HEAD_FIELD_BYTES: Final = 1024
"""The longest field before the records. The longest that is needed has 60 bytes."""
MAX_RECORD_BYTES: Final = 8 * 1024 * 1024 - 64 * 1024
"""The longest field of a record. The largest record holds a certificate of 1 MiB, each byte of
which can take six in JSON. Memory is only allocated for bytes that have arrived."""

_LENGTH_BYTES: Final = 3
_CUT_SHORT: Final = "The backup was cut short: the HSM was locked or restored meanwhile."


@dataclass(frozen=True, slots=True)
class BackupOrigin:
    """The origin of a backup, and the keys that open it. Version 0 lacks the last two fields."""

    locked_domain_key: bytes
    """The wrapped domain key of the attended slot, under the unlock key."""
    device_id: str | None
    local_config_key: Secret | None = field(repr=False)


class BackupWriter:
    """Makes the parts of one container, which are concatenated."""

    def __init__(self, key: Secret, salt: bytes) -> None:
        """`key` is derived from the backup passphrase and `salt`."""
        self._key: Secret | None = key
        self._salt = salt

    def forget(self) -> None:
        """Drop the key. Later calls that need it raise WrongState."""
        self._key = None

    def head(self, *, locked_domain_key: bytes, device_id: str, local_config_key: Secret) -> bytes:
        """Return the head of the container, before the records."""
        version = bytes([WRITTEN_VERSION])
        return b"".join(
            (
                MAGIC + version,
                _field(self._salt),
                self._sealed("backup-version", version),
                self._sealed("domain-key", locked_domain_key),
                self._sealed("backup-device-id", device_id.encode()),
                self._sealed("backup-config-store-key", local_config_key.reveal()),
            )
        )

    def record(self, path: str, value: bytes) -> bytes:
        """Return one record. `value` is already sealed, as in the store."""
        return self._sealed("backup", _field(path.encode()) + value)

    def end(self) -> bytes:
        """Return the end of the container. Raises WrongState if the key was dropped."""
        if self._key is None:
            raise WrongState(_CUT_SHORT)
        return _field(b"") + TRAILER

    def _sealed(self, purpose: str, plaintext: bytes) -> bytes:
        if self._key is None:
            raise WrongState(_CUT_SHORT)
        return _field(envelope.seal(self._key, purpose, plaintext))


class BackupReader:
    """Reads one container in this order: `opening`, `origin`, `records`.

    Each raises InvalidInput with the reason if the file is not valid. At most one part of the
    stream and one field are in memory at a time.
    """

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        """`parts` are the bytes of the file, cut anywhere."""
        self._stream = _Stream(parts)
        self._version = WRITTEN_VERSION
        self._key = Secret(b"")

    async def opening(self) -> bytes:
        """Check the magic and version of the file, and return the salt of its passphrase."""
        if await self._stream.exactly(len(MAGIC)) != MAGIC:
            raise InvalidInput("This is not a NetHSM backup file.")
        (self._version,) = await self._stream.exactly(1)
        if self._version > WRITTEN_VERSION:
            raise InvalidInput(
                f"The backup file has version {self._version}; "
                f"this software reads versions up to {WRITTEN_VERSION}."
            )
        return await self._field(MAX_HEAD_FIELD_BYTES)

    async def origin(self, key: Secret) -> BackupOrigin:
        """Open the head of the file with the key derived from passphrase and salt."""
        self._key = key
        version = await self._sealed(
            "backup-version", "The backup passphrase is wrong, or the file is damaged."
        )
        if version != bytes([self._version]):
            raise InvalidInput("The backup file names two different versions.")
        locked_domain_key = await self._sealed("domain-key")
        if len(locked_domain_key) != LOCKED_KEY_BYTES:
            raise InvalidInput("The backup file holds no domain key.")
        if self._version == 0:
            return BackupOrigin(locked_domain_key, None, None)
        device_id = _text(await self._sealed("backup-device-id"))
        local_config_key = await self._sealed("backup-config-store-key")
        if not device_id or "/" in device_id or len(local_config_key) != envelope.KEY_BYTES:
            raise InvalidInput("The backup file does not say which device made it.")
        return BackupOrigin(locked_domain_key, device_id, Secret(local_config_key))

    async def records(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield every record's path and value, and check that the file ends where it should."""
        while not await self._is_at_end_of_version_0():
            sealed = await self._field(MAX_RECORD_BYTES)
            if not sealed and self._version > 0:
                break
            yield _split(self._unseal("backup", sealed, _DAMAGED))
        if self._version > 0 and await self._stream.exactly(len(TRAILER)) != TRAILER:
            raise InvalidInput(_DAMAGED)
        if not await self._stream.is_at_end():
            raise InvalidInput("The backup file goes on after its end.")

    async def _is_at_end_of_version_0(self) -> bool:
        return self._version == 0 and await self._stream.is_at_end()

    async def _sealed(self, purpose: str, problem: str | None = None) -> bytes:
        sealed = await self._field(MAX_HEAD_FIELD_BYTES)
        return self._unseal(purpose, sealed, problem or _DAMAGED)

    def _unseal(self, purpose: str, sealed: bytes, problem: str) -> bytes:
        try:
            return envelope.unseal(self._key, purpose, sealed)
        except DecryptionFailed:
            raise InvalidInput(problem) from None

    async def _field(self, most_bytes: int) -> bytes:
        length = int.from_bytes(await self._stream.exactly(_LENGTH_BYTES))
        if length > most_bytes:
            raise InvalidInput(f"A field of the backup file is over {most_bytes} bytes.")
        return await self._stream.exactly(length)


_DAMAGED: Final = "The backup file is damaged."


class _Stream:
    """Bytes that arrive in parts, taken in other sizes."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts
        self._part = b""
        self._position = 0

    async def exactly(self, size: int) -> bytes:
        """Return the next `size` bytes. Raises InvalidInput if the stream ends before."""
        end = self._position + size
        if end <= len(self._part):
            taken = self._part[self._position : end]
            self._position = end
            return taken
        return await self._collect(size)

    async def is_at_end(self) -> bool:
        """Whether the stream has ended."""
        while self._position == len(self._part):
            if not await self._next_part():
                return True
        return False

    async def _collect(self, size: int) -> bytes:
        taken = bytearray()
        while len(taken) < size:
            if await self.is_at_end():
                raise InvalidInput("The backup file is truncated.")
            end = self._position + size - len(taken)
            taken += self._part[self._position : end]
            self._position = min(end, len(self._part))
        return bytes(taken)

    async def _next_part(self) -> bool:
        part = await anext(self._parts, None)
        self._part, self._position = part or b"", 0
        return part is not None


def _field(content: bytes) -> bytes:
    """Return `content` as a field. Raises OverflowError if it has more than 16 MiB."""
    return len(content).to_bytes(_LENGTH_BYTES) + content


def _split(record: bytes) -> tuple[str, bytes]:
    end = _LENGTH_BYTES + int.from_bytes(record[:_LENGTH_BYTES])
    if len(record) < max(end, _LENGTH_BYTES):
        raise InvalidInput(_DAMAGED)
    return _text(record[_LENGTH_BYTES:end]), record[end:]


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidInput(_DAMAGED) from None
