"""The encodings of a device's network and logging settings: NetHSM's JSON, and raw bytes.

Containers of version 0 have raw bytes. Network settings are 12 bytes: gateway, address and netmask.
Logging settings are 4 bytes of address, 2 bytes of port, and the name of a level.
"""

from ipaddress import IPv4Address, IPv4Interface
from typing import Final, Literal

import msgspec

from keystead.model.device_settings import (
    DEFAULT_NETWORK,
    Ipv6Settings,
    LoggingSettings,
    NetworkSettings,
    Vlan,
)
from keystead.storage.stored_json import StoredJson

_NOWHERE: Final = "0.0.0.0"  # noqa: S104 - not a bind
_RAW_NETWORK_BYTES: Final = 12
_RAW_LOGGING_HEAD_BYTES: Final = 6


class _Ipv4Json(StoredJson):
    cidr: str
    gateway: str | None = None


class _NetworkJson(StoredJson):
    ipv4: _Ipv4Json
    ipv6: Ipv6Settings | None = None
    vlan: Vlan | msgspec.UnsetType = msgspec.UNSET


class _LoggingJson(StoredJson, rename="camel"):
    port: int
    log_level: Literal["debug", "info", "warning", "error"]
    ip_address: str | None = None


def encode_network(settings: NetworkSettings) -> bytes:
    """Return the record of network settings."""
    interface = IPv4Interface(f"{settings.ip_address}/{settings.netmask}")
    gateway = None if settings.gateway == DEFAULT_NETWORK.gateway else settings.gateway
    ipv6 = None if settings.ipv6 is msgspec.UNSET else settings.ipv6
    ipv4 = _Ipv4Json(interface.with_prefixlen, gateway)
    return msgspec.json.encode(_NetworkJson(ipv4, ipv6, settings.vlan))


def decode_network(stored: bytes) -> NetworkSettings:
    """Return the network settings in a record. Raises ValueError if it has none."""
    record = msgspec.json.decode(stored, type=_NetworkJson)
    interface = IPv4Interface(record.ipv4.cidr)
    return NetworkSettings(
        str(interface.ip),
        str(interface.netmask),
        record.ipv4.gateway or DEFAULT_NETWORK.gateway,
        record.ipv6 or msgspec.UNSET,
        record.vlan,
    )


def decode_raw_network(stored: bytes) -> NetworkSettings:
    """Return the network settings in a record of version 0. Raises ValueError if it has none."""
    if len(stored) != _RAW_NETWORK_BYTES:
        raise ValueError("not network settings")
    gateway, address, netmask = (str(IPv4Address(stored[at : at + 4])) for at in (0, 4, 8))
    return NetworkSettings(address, netmask, gateway)


def encode_logging(settings: LoggingSettings) -> bytes:
    """Return the record of logging settings."""
    return msgspec.json.encode(settings)


def decode_logging(stored: bytes) -> LoggingSettings:
    """Return the logging settings in a record. Raises ValueError if it has none."""
    record = msgspec.json.decode(stored, type=_LoggingJson)
    return LoggingSettings(record.ip_address or _NOWHERE, record.port, record.log_level)


def decode_raw_logging(stored: bytes) -> LoggingSettings:
    """Return the logging settings in a record of version 0. Raises ValueError if it has none."""
    head, level = stored[:_RAW_LOGGING_HEAD_BYTES], stored[_RAW_LOGGING_HEAD_BYTES:]
    fields = {
        "ipAddress": str(IPv4Address(head[:4])),
        "port": int.from_bytes(head[4:]),
        "logLevel": level.decode(),
    }
    return msgspec.convert(fields, LoggingSettings)
