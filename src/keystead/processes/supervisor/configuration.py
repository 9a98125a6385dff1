"""The configuration file: one TOML file for what the machine's operator decides.

Paths in it are relative to its own directory. The files that it names are read together with it. So
a mistake shows before anything is changed, and no other process needs the files.
"""

import os
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from keystead.errors import InvalidInput, StartRefused
from keystead.platform.device_key import ProviderName
from keystead.platform.event_log import KERNELS
from keystead.platform.image_policy import ImagePolicy
from keystead.platform.pcrs import PcrSelection
from keystead.processes.platform.settings import (
    AttestationSettings,
    DeviceKeySettings,
    PlatformSettings,
    SyslogReceiver,
)
from keystead.processes.supervisor.listening import Address
from keystead.wire.platform_messages import DEFAULT_KEY_CACHE, CoreSettings, FreshnessSettings

MAX_EDGES: Final = 256
"""Far more than there are CPU cores."""
MAX_PROXY_NETWORKS: Final = 64
MAX_KEY_CACHE: Final = 1_000_000
"""This many keys take some gigabytes."""
MAX_FILE_BYTES: Final = 1024 * 1024
"""The largest configuration file, and file that it names. All public CAs together have 250 KiB."""


DEFAULT_DATA: Final = Path("data")

_CREDENTIAL_NAME: Final = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$"
"""A file name without a path."""
_TCTI: Final = r"^[a-z0-9]+(:.+)?$"
"""The address of a TPM for the TSS: a module and its options."""


_DEVICE: Final = r"^/dev/[^\0]+$"


class _Syslog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tls: str
    ca: str | None = None


class _Proxy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    networks: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_PROXY_NETWORKS)]


class _Update(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    public_key: str


class _Compatibility(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pkcs1_padding_errors: bool = False
    open_shutdown: bool = False
    common_passphrases: bool = False


class _Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cache: Annotated[int, msgspec.Meta(ge=1, le=MAX_KEY_CACHE)] = DEFAULT_KEY_CACHE


class _Cluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    etcd: str
    freshness: Annotated[float, msgspec.Meta(ge=0.1, le=30)] = 1.0
    strict: bool = False
    minority: Literal["refuse", "serve"] = "refuse"
    minority_hours: Annotated[float, msgspec.Meta(gt=0, le=168)] | None = None


class _DeviceKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: ProviderName = "file"
    credential: Annotated[str, msgspec.Meta(pattern=_CREDENTIAL_NAME)] | None = None
    tcti: Annotated[str, msgspec.Meta(pattern=_TCTI)] | None = None
    pcrs: str | None = None
    revoke_older: bool = False
    image_key: str | None = None
    image_policy: str | None = None


class _Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    head_file: str | None = None
    tpm_counter: Annotated[str, msgspec.Meta(pattern=_DEVICE)] | None = None


class _Attestation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tpm: Annotated[str, msgspec.Meta(pattern=_DEVICE)]
    pcrs: str = "sha256:0,1,2,3,4,5,6,7"
    event_log: str = KERNELS
    is_optional: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    data: str | None = None
    listen: str | None = None
    edges: Annotated[int, msgspec.Meta(ge=1, le=MAX_EDGES)] | None = None
    syslog: _Syslog | None = None
    proxy: _Proxy | None = None
    update: _Update | None = None
    device_key: _DeviceKey = _DeviceKey()
    compatibility: _Compatibility = _Compatibility()
    keys: _Keys = _Keys()
    journal: _Journal = _Journal()
    attestation: _Attestation | None = None
    cluster: _Cluster | None = None


class Configuration(msgspec.Struct, frozen=True):
    """The content of the file. None stands for a missing key."""

    data: Path | None = None
    listen: Address | None = None
    edges: int | None = None
    platform: PlatformSettings = msgspec.field(default_factory=PlatformSettings)
    proxies: tuple[str, ...] = ()
    etcd: Path | None = None
    """The operator's etcd. None stands for an HSM that is in no cluster."""


def usual_edges() -> int:
    """Return how many edges there are unless an operator says so: one less than CPU cores."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def read_configuration(path: Path) -> Configuration:
    """Return the content of the file at `path`. Raises StartRefused if it has a mistake."""
    try:
        found = _parse(path)
        return Configuration(
            data=None if found.data is None else path.parent / found.data,
            listen=None if found.listen is None else Address.parse(found.listen),
            edges=found.edges,
            proxies=_proxies(found.proxy),
            etcd=None if found.cluster is None else path.parent / found.cluster.etcd,
            platform=PlatformSettings(
                syslog=_receiver(path.parent, found.syslog),
                device_key=_device_key(path.parent, found.device_key),
                head_file=_head_file(path.parent, found.journal.head_file),
                tpm_counter=found.journal.tpm_counter,
                attestation=_attestation(path.parent, found.attestation),
                core=CoreSettings(
                    update_key_pem=_update_key(path.parent, found.update),
                    pkcs1_padding_errors=found.compatibility.pkcs1_padding_errors,
                    open_shutdown=found.compatibility.open_shutdown,
                    common_passphrases=found.compatibility.common_passphrases,
                    key_cache=found.keys.cache,
                    freshness=_freshness(found.cluster),
                    can_join=found.cluster is not None,
                    keeps_head=found.journal.head_file is not None,
                    keeps_count=found.journal.tpm_counter is not None,
                ),
            ),
        )
    except (ValueError, InvalidInput) as error:
        raise StartRefused(f"The configuration file {path}: {_one_line(error)}") from None


def _freshness(wanted: _Cluster | None) -> FreshnessSettings | None:
    """Return the settings. Raises ValueError if those for a minority contradict each other."""
    if wanted is None:
        return None
    serves, hours = wanted.minority == "serve", wanted.minority_hours
    if serves is (hours is None):
        raise ValueError('minority = "serve" and minority_hours need each other')
    if serves and wanted.strict:
        raise ValueError('minority = "serve" contradicts strict, which never answers from memory')
    return FreshnessSettings(wanted.freshness, wanted.strict, (hours or 0) * 3600)


def _parse(path: Path) -> _File:
    try:
        content = tomllib.loads(_read(path).decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return msgspec.convert(content, _File)


def _proxies(wanted: _Proxy | None) -> tuple[str, ...]:
    networks = [] if wanted is None else [ip_network(one) for one in wanted.networks]
    return tuple(str(network) for network in networks)


def _receiver(directory: Path, wanted: _Syslog | None) -> SyslogReceiver | None:
    if wanted is None:
        return None
    address = Address.parse(wanted.tls)
    if not address.host or not address.port:
        raise ValueError(f"syslog.tls = {wanted.tls!r} lacks the host or the port")
    if wanted.ca is None:
        return SyslogReceiver(address.host, address.port, None)
    # Without a receiver, the supervisor needs no TLS, which takes 1 MiB of its memory.
    import ssl  # noqa: PLC0415 - see above

    from keystead.platform.tls_syslog import receiver_context  # noqa: PLC0415 - see above

    authorities = _read(directory / wanted.ca)
    try:
        receiver_context(authorities)
    except (ssl.SSLError, ValueError):
        raise ValueError(f"there are no CA certificates (PEM) in {wanted.ca}") from None
    return SyslogReceiver(address.host, address.port, authorities)


def _device_key(directory: Path, wanted: _DeviceKey) -> DeviceKeySettings:
    if (wanted.image_key is None) != (wanted.image_policy is None):
        raise ValueError("device_key.image_key and device_key.image_policy need each other")
    if wanted.pcrs is not None:
        PcrSelection.parse(wanted.pcrs)
    said = {
        name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not None
    }
    if wanted.image_policy is not None:
        said["image_key_pem"] = _read(directory / said.pop("image_key"))
        said["image_policy"] = _read(directory / wanted.image_policy)
        ImagePolicy.parse(said["image_policy"])
    return DeviceKeySettings(**said)


def _attestation(directory: Path, wanted: _Attestation | None) -> AttestationSettings | None:
    if wanted is None:
        return None
    pcrs = PcrSelection.parse(wanted.pcrs)
    if not pcrs.registers:
        raise ValueError("attestation.pcrs: there is nothing to attest without registers")
    log = str(directory / wanted.event_log)
    return AttestationSettings(wanted.tpm, str(pcrs), log, wanted.is_optional)


def _head_file(directory: Path, wanted: str | None) -> str | None:
    if wanted is None:
        return None
    path = (directory / wanted).absolute()
    if not path.parent.is_dir():
        raise ValueError(f"journal.head_file: there is no directory {path.parent}")
    return str(path)


def _update_key(directory: Path, wanted: _Update | None) -> bytes | None:
    if wanted is None:
        return None
    # Without an update key, the supervisor needs no cryptography, which takes 3 MiB of its memory.
    from keystead.sealing.update_image import UpdateKey  # noqa: PLC0415 - see above

    pem = _read(directory / wanted.public_key)
    try:
        UpdateKey(pem)
    except InvalidInput as error:
        raise ValueError(f"{wanted.public_key}: {error.message}") from None
    return pem


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StartRefused(f"Cannot read {path}: {error.strerror}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise StartRefused(f"The file {path} has more than {MAX_FILE_BYTES} bytes.")
    return content


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).removesuffix(".") + "."
