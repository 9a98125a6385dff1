"""What the platform is told at its start, beyond where the data is: in an anonymous file.

The supervisor keeps the file, so that every generation gets the same, and no path is needed twice.
"""

import os
from dataclasses import dataclass

import msgspec

from keystead.wire.messages import CoreSettings

_MAX_BYTES = 4 * 1024 * 1024


class SyslogReceiver(msgspec.Struct, frozen=True):
    """Where syslog goes over TLS, and the CAs (PEM) that it is known by; None: the machine's."""

    host: str
    port: int
    authorities_pem: bytes | None


class PlatformSettings(msgspec.Struct, frozen=True):
    """What the operator's configuration says to the platform."""

    syslog: SyslogReceiver | None = None
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
        descriptor = os.memfd_create("platform settings")
        os.write(descriptor, msgspec.msgpack.encode(settings))
        return cls(descriptor)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.descriptor
