"""What the platform is told at its start, beyond where the data is: in an anonymous file.

The supervisor keeps the file, so that every instance gets the same, and no path is needed twice.
"""

import fcntl
import os
from dataclasses import dataclass

import msgspec

from keystead.platform.device_key import ProviderName
from keystead.wire.messages import CoreSettings

_MAX_BYTES = 4 * 1024 * 1024
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class SyslogReceiver(msgspec.Struct, frozen=True):
    """Where syslog goes over TLS, and the CAs (PEM) that it is known by; None: the machine's."""

    host: str
    port: int
    authorities_pem: bytes | None


def _credentials_directory() -> str | None:
    """Return where the service manager has put this service's credentials, if it has."""
    return os.environ.get("CREDENTIALS_DIRECTORY")


class DeviceKeySettings(msgspec.Struct, frozen=True):
    """How the device key is kept; with the options of all providers, for moving it."""

    provider: ProviderName = "file"
    credential: str = "keystead-device-key"
    credentials_directory: str | None = msgspec.field(default_factory=_credentials_directory)
    tcti: str = "device:/dev/tpmrm0"
    pcrs: str = "sha256:7"
    """As `PcrSelection` reads it. The default is the state of Secure Boot: the updates of firmware,
    boot loader and kernel leave it as it is."""


class PlatformSettings(msgspec.Struct, frozen=True):
    """What the operator's configuration says to the platform."""

    syslog: SyslogReceiver | None = None
    device_key: DeviceKeySettings = msgspec.field(default_factory=DeviceKeySettings)
    core: CoreSettings = CoreSettings()
    """To be passed on."""

    @classmethod
    def read(cls, descriptor: int) -> "PlatformSettings":
        """Return what is in the file of a `SettingsFile`."""
        return msgspec.msgpack.decode(os.pread(descriptor, _MAX_BYTES, 0), type=cls)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """Settings in a file of memory that a child inherits."""

    descriptor: int

    @classmethod
    def of(cls, settings: PlatformSettings) -> "SettingsFile":
        """Return a new file with these settings; it is there until this process ends."""
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        descriptor = os.memfd_create("platform settings", flags)
        os.write(descriptor, msgspec.msgpack.encode(settings))
        # A child could write to it too, and so say to the next one what to do.
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return cls(descriptor)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.descriptor
