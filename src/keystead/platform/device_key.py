"""The device key: one file of the data directory, which a provider makes and opens.

    device.key              in clear                          provider `file`
    device.key.credential   sealed under a systemd credential  provider `credential`
    device.key.tpm2         sealed by the machine's TPM        provider `tpm2`

Beside each may lie, with `.next` at the end of its name, the one that is about to replace it.
Which of the two is in force is said by the store: the one whose device has records in it.
"""

import hmac
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, Protocol, get_args

from keystead.errors import StartRefused
from keystead.model.secret import Secret
from keystead.platform import durable, own_files
from keystead.sealing.device import DEVICE_KEY_BYTES, device_id, new_device_key

ProviderName = Literal["file", "credential", "tpm2"]
PROVIDER_NAMES: Final[tuple[ProviderName, ...]] = get_args(ProviderName)

_NEXT: Final = ".next"
_MAX_FILE_BYTES: Final = 64 * 1024


class DeviceKeyProvider(Protocol):
    """A provider: it decides the content of the device key's file, and opens it."""

    @property
    def name(self) -> ProviderName:
        """The provider's name in the configuration file."""
        ...

    def seal(self, key: Secret) -> bytes:
        """Return the file's content for `key`. Raises StartRefused if sealing fails."""
        ...

    def unseal(self, sealed: bytes) -> Secret:
        """Return the key in the result of `seal`. Raises StartRefused if it cannot be opened."""
        ...

    def revoke_older(self, sealed: bytes) -> None:
        """Make all earlier results of `seal` useless, if the provider is able to.

        `sealed` is the key in force. Can be repeated, for example after a crash. Raises
        StartRefused if the provider fails.
        """
        ...

    def is_for_older_images(self, sealed: bytes) -> bool:
        """Return whether images open `sealed` that would not open a result of `seal` from now on.

        Raises StartRefused if `sealed` is damaged.
        """
        ...

    def describe(self, sealed: bytes) -> Sequence[str]:
        """Return lines for the operator about the conditions of `unseal`. They hold no secret."""
        ...

    def survey(self) -> Sequence[str]:
        """Return lines on what a key that is sealed now would depend on.

        Raises StartRefused if the provider does not answer.
        """
        ...


class InClear:
    """Provider `file`: the key as it is, in a file that only its owner may read.

    An attacker with the file and the database can guess the unlock passphrase, and has all keys if
    unattended boot is on.
    """

    name: Final = "file"

    def seal(self, key: Secret) -> bytes:
        """Return the 32 bytes."""
        return key.reveal()

    def unseal(self, sealed: bytes) -> Secret:
        """Return the key. Raises StartRefused unless it has 32 bytes."""
        if len(sealed) != DEVICE_KEY_BYTES:
            raise StartRefused(f"it has {len(sealed)} bytes, not {DEVICE_KEY_BYTES}.")
        return Secret(sealed)

    def revoke_older(self, _sealed: bytes) -> None:
        """Do nothing: a copy of the file opens as long as it exists."""

    def is_for_older_images(self, _sealed: bytes) -> bool:
        """Return False, because every image opens the key at all times."""
        return False

    def describe(self, _sealed: bytes) -> Sequence[str]:
        """Return no lines, because the key depends on nothing."""
        return []

    def survey(self) -> Sequence[str]:
        """Return no lines, because the key depends on nothing."""
        return []


class DeviceKey:
    """The device key of one data directory, as one provider keeps it."""

    def __init__(self, directory: Path, provider: DeviceKeyProvider) -> None:
        self._provider = provider
        self.path: Final = file_of(directory, provider.name)
        self._next = _beside(self.path, _NEXT)

    @property
    def is_there(self) -> bool:
        """Whether there is a file of this provider, with the right key or not."""
        return os.path.lexists(self.path) or os.path.lexists(self._next)

    @property
    def is_in_place(self) -> bool:
        """Whether there is a file that is not merely staged."""
        return os.path.lexists(self.path)

    def fetch(self, *, store_exists: bool) -> "Fetched":
        """Let the provider open its file, or make the first key if there is no store yet.

        Raises StartRefused if the key cannot be opened, or is missing although there is a store.
        """
        with _named(self.path):
            if not self.is_there:
                if store_exists:
                    raise _missing(self.path)
                self.stage(new_device_key())
                self.promote()
            return self._open_files()

    def stage(self, key: Secret) -> None:
        """Store `key` durably beside the present one, and check that it can be opened.

        Raises StartRefused if it cannot. The present key is not changed.
        """
        with _named(self._next):
            self.clear()
            durable.create(self._next, self._provider.seal(key))
            kept = self._open_file(self._next)
            if not hmac.compare_digest(kept.reveal(), key.reveal()):
                raise StartRefused(f"The device key {self._next} is not what was written there.")

    def promote(self) -> None:
        """Replace the present key, which is destroyed, by the staged one.

        After a crash, the staged key still exists under one of the two names. Raises StartRefused
        if the disk refuses it.
        """
        with _named(self.path):
            durable.destroy(self.path)
            self._next.rename(self.path)
            durable.sync_directory(self.path.parent)

    def revoke_older(self) -> None:
        """Make copies of earlier files useless, if the provider is able to.

        Does nothing as long as a change is not finished, because both keys are needed until then.
        Raises StartRefused if the provider fails.
        """
        with _named(self.path):
            if not os.path.lexists(self._next):
                self._provider.revoke_older(_read(self.path))

    @property
    def is_for_older_images(self) -> bool:
        """Whether images open the key that would not if it was sealed now.

        Raises StartRefused if the file cannot be read.
        """
        # Of a change that was interrupted, the old file may be half destroyed.
        newest = self._next if os.path.lexists(self._next) else self.path
        with _named(newest):
            return self._provider.is_for_older_images(_read(newest))

    def seal_again(self) -> None:
        """Seal the present key anew. `revoke_older` is to be called after it.

        Raises StartRefused if the key does not open, two different keys are here, or sealing fails.
        """
        with _named(self.path):
            fetched = self._open_files()
        fetched.require_one()
        self.stage(fetched.settle(None))
        self.promote()

    def clear(self) -> None:
        """Destroy what is left of a change that is done, or was never made.

        Raises StartRefused if the disk refuses it.
        """
        with _named(self._next):
            for path in _files(self.path)[:-1]:
                durable.destroy(path)

    def describe(self) -> Sequence[str]:
        """Return lines for the operator, on what decides whether the key comes out."""
        present = self.path if os.path.lexists(self.path) else self._next
        with _named(present):
            return self._provider.describe(_read(present))

    def _open_files(self) -> "Fetched":
        found, refusals = [], []
        for path in (self._next, self.path):
            if os.path.lexists(path):
                try:
                    found.append((path, self._open_file(path)))
                except StartRefused as error:
                    refusals.append(error.message)
        if not found:
            raise StartRefused(" ".join(refusals))
        return Fetched(self, found, refusals)

    def _open_file(self, path: Path) -> Secret:
        sealed = _read(path)
        try:
            return self._provider.unseal(sealed)
        except StartRefused as error:
            raise StartRefused(f"The device key {path} does not open: {error.message}") from error


class Fetched:
    """The keys that a provider has opened: one, or two after an interrupted change."""

    def __init__(
        self, kept: DeviceKey, found: list[tuple[Path, Secret]], refusals: Sequence[str]
    ) -> None:
        self._kept = kept
        self._found = found
        self._refusals = refusals

    def require_one(self) -> None:
        """Raise StartRefused if there are two different keys: only the store knows which counts."""
        if self._refusals or len({device_id(key) for _, key in self._found}) > 1:
            raise StartRefused(f"There is more than one device key {self._kept.path}.")

    def choose(self, devices: Collection[str] | None) -> Secret:
        """Return the key of one of `devices`. None stands for an empty store.

        Changes nothing. Raises StartRefused if there is no such key.
        """
        return self._of(devices)[1]

    def settle(self, devices: Collection[str] | None) -> Secret:
        """Return it as `choose` does, finish or undo the change, and forget all others."""
        path, key = self._of(devices)
        if path != self._kept.path:
            self._kept.promote()
        self._kept.clear()
        self._found.clear()
        return key

    def _of(self, devices: Collection[str] | None) -> tuple[Path, Secret]:
        for path, key in self._found:
            if devices is None or device_id(key) in devices:
                return path, key
        wrong = (
            f"The device key {self._kept.path} is not the one that the store's records are sealed "
            "under. Put the right one back, or use another data directory."
        )
        raise StartRefused(" ".join([*self._refusals, wrong]))


def file_of(directory: Path, provider: ProviderName) -> Path:
    """Return where a provider keeps the key."""
    return directory / ("device.key" if provider == "file" else f"device.key.{provider}")


def kept_here(directory: Path) -> list[ProviderName]:
    """Return the providers that have kept a device key here."""
    return [
        provider
        for provider in PROVIDER_NAMES
        if any(map(os.path.lexists, files_of(directory, provider)))
    ]


def destroy(directory: Path, provider: ProviderName) -> None:
    """Overwrite and remove what a provider kept here, if anything.

    Raises OSError if a file cannot be written or removed.
    """
    for path in files_of(directory, provider):
        durable.destroy(path)


def files_of(directory: Path, provider: ProviderName) -> list[Path]:
    """Return every name that a provider's key may have."""
    return _files(file_of(directory, provider))


def _files(path: Path) -> list[Path]:
    """Return every name that one provider's key may have; the one in force goes last."""
    staged = _beside(path, _NEXT)
    return [_beside(staged, durable.UNFINISHED), _beside(path, durable.UNFINISHED), staged, path]


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _missing(path: Path) -> StartRefused:
    others = [
        provider for provider in kept_here(path.parent) if file_of(path.parent, provider) != path
    ]
    if others:
        hint = (
            f'There is one of the provider {others[0]}: set `provider = "{others[0]}"`, or move it.'
        )
    else:
        hint = "Put it back, or use another data directory."
    return StartRefused(
        f"The device key {path} is missing, and the store holds records sealed under it. {hint}"
    )


def _read(path: Path) -> bytes:
    """Return the content of a private file.

    Raises OSError if it cannot be read, and StartRefused if other users may have written or read
    it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StartRefused(f"The device key {path} is not a regular file.")
        if status.st_uid not in own_files.owners(path.parent):
            raise StartRefused(f"The device key {path} belongs to another user: {status.st_uid}.")
        if status.st_mode & own_files.OTHERS:
            raise StartRefused(
                f"The device key {path} is open to other users: "
                f"mode {stat.S_IMODE(status.st_mode):04o}, not 0600. Run 'chmod 600' on it, and if "
                "anyone may have read it, 'keystead device-key rewrap'."
            )
        return file.read(_MAX_FILE_BYTES)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn errors of the file system into one line for the operator."""
    try:
        yield
    except OSError as error:
        raise StartRefused(f"The device key {path}: {error.strerror}.") from error
