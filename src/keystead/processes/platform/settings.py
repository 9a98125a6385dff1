"""The settings of the platform, which it gets at its start in an anonymous file.

The supervisor keeps the file, so that every instance gets the same, and no path is needed twice.
"""

import fcntl
import os
from dataclasses import dataclass
from typing import Literal

import msgspec

from keystead.platform.device_key import ProviderName
from keystead.wire.platform_messages import CoreSettings

RunningImage = Literal["trial", "confirmed"]

_MAX_BYTES = 4 * 1024 * 1024
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class SyslogReceiver(msgspec.Struct, frozen=True):
    """The syslog server over TLS, and its CAs (PEM). None stands for the machine's CAs."""

    host: str
    port: int
    authorities_pem: bytes | None


def _credentials_directory() -> str | None:
    """Return the directory with the credentials from the service manager, or None."""
    return os.environ.get("CREDENTIALS_DIRECTORY")


class DeviceKeySettings(msgspec.Struct, frozen=True):
    """How the device key is kept. Has the options of all providers, because it can be moved."""

    provider: ProviderName = "file"
    credential: str = "keystead-device-key"
    credentials_directory: str | None = msgspec.field(default_factory=_credentials_directory)
    tcti: str = "device:/dev/tpmrm0"
    pcrs: str = "sha256:7"
    """The PCRs, in the form of `PcrSelection`. The default is the state of Secure Boot, which
    updates of firmware, boot loader and kernel do not change."""
    revoke_older: bool = False
    """Whether the TPM opens only the device key that was sealed last. Then it serves this HSM
    alone."""
    image_key_pem: bytes | None = None
    image_policy: bytes | None = None
    """The builder's public key (PEM), and the policy that it has signed for the image that
    runs. None, both: every image opens the key."""


class AttestationSettings(msgspec.Struct, frozen=True):
    """How the machine is attested."""

    tpm: str
    """The device file of the TPM that signs."""
    pcrs: str
    """The registers, in the form of `PcrSelection`."""
    event_log: str
    """The file with the firmware's log."""
    is_optional: bool = False
    """Whether the server starts without a TPM that works."""


class PlatformSettings(msgspec.Struct, frozen=True):
    """The part of the operator's configuration that is for the platform."""

    syslog: SyslogReceiver | None = None
    device_key: DeviceKeySettings = msgspec.field(default_factory=DeviceKeySettings)
    head_file: str | None = None
    """The absolute path of the second place of the journal's head."""
    tpm_counter: str | None = None
    """The device file of the TPM whose counter the journal follows."""
    attestation: AttestationSettings | None = None
    core: CoreSettings = CoreSettings()
    """Settings that the platform passes on to the core."""
    has_installer: bool = False
    """Whether process 1 installs a committed update when the machine restarts."""
    running_image: RunningImage | None = None
    """Whether the image of the appliance is on trial. None stands for a server that is none."""

    @property
    def has_tpm(self) -> bool:
        """Whether the platform uses a TPM of this machine."""
        seals = self.device_key.provider == "tpm2"
        return seals or self.attestation is not None or self.tpm_counter is not None

    @classmethod
    def read(cls, descriptor: int) -> "PlatformSettings":
        """Return what is in the file of a `SettingsFile`."""
        return msgspec.msgpack.decode(os.pread(descriptor, _MAX_BYTES, 0), type=cls)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """Settings in an anonymous file that a child process inherits."""

    descriptor: int
    needs_tls: bool
    """Whether the platform speaks TLS, which it loads only then."""

    @classmethod
    def of(cls, settings: PlatformSettings) -> "SettingsFile":
        """Return a new file with these settings. It exists until this process ends."""
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        descriptor = os.memfd_create("platform settings", flags)
        os.write(descriptor, msgspec.msgpack.encode(settings))
        # Otherwise a child could write to it, and so control the next child.
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return cls(descriptor, needs_tls=settings.syslog is not None)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.descriptor
