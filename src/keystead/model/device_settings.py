"""Settings of one device, valid once they exist; the JSON names are NetHSM's."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, ip_address
from typing import Annotated, Literal

import msgspec

MAX_PORT = 65535
MAX_HOST_NAME = 253

Vlan = Annotated[int, msgspec.Meta(ge=1, le=4094)]
"""The number of a virtual LAN (IEEE 802.1Q, 9.6: 0 and 4095 stand for none)."""


class Ipv6Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An IPv6 address with its prefix length, and the router, if there is one."""

    cidr: str
    gateway: str | None

    def __post_init__(self) -> None:
        IPv6Interface(self.cidr)
        if "/" not in self.cidr:
            raise ValueError("cidr needs a prefix length, as in 2001:db8::42/64")
        if self.gateway is not None:
            IPv6Address(self.gateway)


class Ipv4Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """An IPv4 address with its netmask, and the router; a gateway of 0.0.0.0 means none."""

    ip_address: str
    netmask: str
    gateway: str = "0.0.0.0"  # noqa: S104 - not a bind

    def __post_init__(self) -> None:
        IPv4Address(self.ip_address)
        IPv4Address(self.gateway)
        mask = int(IPv4Address(self.netmask))
        if mask & (~mask >> 1 & 0x7FFFFFFF):
            raise ValueError("the ones of a netmask come first")
        IPv4Network(f"{self.ip_address}/{mask.bit_count()}", strict=False)


class NetworkSettings(Ipv4Settings, frozen=True):
    """The addresses for an appliance, and the virtual LAN that they are in, if they are in one."""

    ipv6: Ipv6Settings | msgspec.UnsetType = msgspec.UNSET
    vlan: Vlan | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_dynamic(self) -> bool:
        """Whether the addresses come from the network, as 0.0.0.0 says."""
        return IPv4Address(self.ip_address).is_unspecified


class WantedNetwork(Ipv4Settings, frozen=True):
    """Network settings as in a request. A null for IPv6 or VLAN means the same as no field."""

    ipv6: Ipv6Settings | msgspec.UnsetType | None = msgspec.UNSET
    vlan: Vlan | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        # A zone is a text of any kind and length, which the machine has no use for.
        if isinstance(self.ipv6, Ipv6Settings) and "%" in f"{self.ipv6.cidr}{self.ipv6.gateway}":
            raise ValueError("an IPv6 address has no zone here")

    @property
    def settings(self) -> NetworkSettings:
        """Network settings as they are kept."""
        ipv6 = msgspec.UNSET if self.ipv6 is None else self.ipv6
        vlan = msgspec.UNSET if self.vlan is None else self.vlan
        return NetworkSettings(self.ip_address, self.netmask, self.gateway, ipv6, vlan)


class LoggingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Where syslog messages go (UDP), and from which severity on; 0.0.0.0 or :: means nowhere."""

    ip_address: str
    port: int
    log_level: Literal["debug", "info", "warning", "error"]

    @property
    def is_off(self) -> bool:
        """Whether syslog is off."""
        return ip_address(self.ip_address).is_unspecified

    def __post_init__(self) -> None:
        if "%" in self.ip_address:
            raise ValueError("an address with a zone means something on one machine only")
        ip_address(self.ip_address)
        # NetHSM's clients turn it off with any port.
        if not (0 if self.is_off else 1) <= self.port <= MAX_PORT:
            raise ValueError(f"port must be between 1 and {MAX_PORT}")


class NtpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the time comes from: an NTP server's address, an NTS server's name."""

    ntp_ip: str | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="ntpIP")
    nts_name: str | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="ntsName")

    def __post_init__(self) -> None:
        if isinstance(self.ntp_ip, str):
            IPv4Address(self.ntp_ip)
        if isinstance(self.nts_name, str) and not 0 < len(self.nts_name) <= MAX_HOST_NAME:
            raise ValueError(f"ntsName must have 1 to {MAX_HOST_NAME} characters")


DEFAULT_NETWORK = NetworkSettings("192.168.1.1", "255.255.255.0")
DYNAMIC_NETWORK = NetworkSettings("0.0.0.0", "0.0.0.0")  # noqa: S104 - not a bind
"""The addresses come from the network: DHCP, and router advertisements for IPv6."""
DEFAULT_LOGGING = LoggingSettings("0.0.0.0", 514, "info")  # noqa: S104 - not a bind
DEFAULT_NTP = NtpSettings()
