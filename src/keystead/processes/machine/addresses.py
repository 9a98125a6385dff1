"""Gives the first network card the addresses that an Administrator wants, at first on trial."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Final, Generic, Protocol, Self, TypeVar

import msgspec

from keystead.model.device_settings import Ipv6Settings, NetworkSettings

Tell = Callable[[str], None]

APPLY_AFTER_SECONDS: Final = 2.0
"""Until then, the answer to the request is with its client."""
TRIAL_SECONDS: Final = 125.0
"""A little longer than the core counts: a confirmation in the last moment has its effect."""


class Card(Protocol):
    """What has addresses: an `interface.Interface`."""

    def bring_up(self) -> None:
        """Let it carry packets. Raises OSError if the kernel refuses it."""

    def add_vlan(self, number: int) -> Self:
        """Return a new interface, for packets of this one with the tag of a VLAN.

        Raises OSError if the kernel refuses it.
        """
        ...

    def remove_vlan(self) -> None:
        """Remove this interface, which `add_vlan` has made."""

    def forget_addresses(self) -> None:
        """Take away all addresses, with their routes. Raises OSError if the kernel refuses it."""

    def set_address(self, address: IPv4Interface) -> None:
        """Give it an IPv4 address. Raises OSError if the kernel refuses it."""

    def set_router(self, router: IPv4Address) -> None:
        """Send through `router` what is for other networks.

        Raises OSError if no address of the card reaches it.
        """

    def enable_ipv6(self, *, is_dynamic: bool) -> None:
        """Let it have IPv6 addresses; if dynamic, those of router advertisements."""

    def set_ipv6_address(self, address: IPv6Interface) -> None:
        """Give it an IPv6 address. Raises OSError if the kernel refuses it."""

    def set_ipv6_router(self, router: IPv6Address) -> None:
        """Send through `router` what is for other IPv6 networks.

        Raises OSError if no address of the card reaches it.
        """


CardT = TypeVar("CardT", bound=Card)


class Addresses(Generic[CardT]):
    """The addresses of a card: those that are kept, and for a while those on trial."""

    def __init__(
        self,
        card: CardT,
        tell: Tell,
        *,
        dynamic: Callable[[CardT], asyncio.Task[None]],
        apply_after_seconds: float = APPLY_AFTER_SECONDS,
        trial_seconds: float = TRIAL_SECONDS,
    ) -> None:
        """`dynamic` starts what gets an IPv4 address by DHCP, until it is cancelled."""
        self._card = card
        self._vlan: CardT | None = None
        self._tell = tell
        self._dynamic = dynamic
        self._apply_after_seconds = apply_after_seconds
        self._trial_seconds = trial_seconds
        self._kept: NetworkSettings | None = None
        self._in_use: NetworkSettings | None = None
        self._asking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def wanted(self, settings: bytes, *, is_trial: bool) -> None:
        """Use settings (JSON) from now on, or try them. What is not understood changes nothing."""
        try:
            network = msgspec.json.decode(settings, type=NetworkSettings)
        except (msgspec.DecodeError, ValueError) as error:
            self._tell(f"network settings are not understood: {error}")
            return
        self._end_trial()
        loop = asyncio.get_running_loop()
        if is_trial:
            self._timer = loop.call_later(self._apply_after_seconds, self._try, network)
            return
        self._kept = network
        self._use(network)

    def close(self) -> None:
        """Leave the addresses as they are from now on."""
        self._end_trial()
        self._stop_asking()

    def _try(self, network: NetworkSettings) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._trial_seconds, self._fall_back)
        self._tell("new network settings are on trial")
        self._use(network)

    def _fall_back(self) -> None:
        self._timer = None
        self._tell("no Administrator has confirmed the new network settings")
        if self._kept is not None:
            self._use(self._kept)

    def _end_trial(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _use(self, network: NetworkSettings) -> None:
        if network == self._in_use:
            return
        self._in_use = network
        self._stop_asking()
        try:
            self._forget_addresses()
            card = self._in_vlan(network)
            self._use_ipv6(card, network)
            self._use_ipv4(card, network)
        except OSError as error:
            self._tell(f"the kernel refuses the network settings: {error}")

    def _forget_addresses(self) -> None:
        self._card.forget_addresses()
        if self._vlan is not None:
            self._vlan.remove_vlan()
            self._vlan = None

    def _in_vlan(self, network: NetworkSettings) -> CardT:
        """Return what gets the addresses: the card, or a new interface for the wanted VLAN."""
        if network.vlan is msgspec.UNSET:
            return self._card
        self._vlan = self._card.add_vlan(network.vlan)
        self._vlan.forget_addresses()
        self._vlan.bring_up()
        return self._vlan

    def _use_ipv4(self, card: CardT, network: NetworkSettings) -> None:
        if network.is_dynamic:
            self._asking = self._dynamic(card)
            return
        address = IPv4Interface(f"{network.ip_address}/{network.netmask}")
        router = IPv4Address(network.gateway)
        card.set_address(address)
        if not router.is_unspecified:
            card.set_router(router)
        self._tell(f"address {address.ip}{_vlan_of(network)}, as configured")

    def _use_ipv6(self, card: CardT, network: NetworkSettings) -> None:
        ipv6 = network.ipv6
        if not isinstance(ipv6, Ipv6Settings):
            if network.is_dynamic:
                card.enable_ipv6(is_dynamic=True)
            return
        address = IPv6Interface(ipv6.cidr)
        card.enable_ipv6(is_dynamic=False)
        card.set_ipv6_address(address)
        if ipv6.gateway is not None:
            card.set_ipv6_router(IPv6Address(ipv6.gateway))
        self._tell(f"address {address.ip}{_vlan_of(network)}, as configured")


def _vlan_of(network: NetworkSettings) -> str:
    return "" if network.vlan is msgspec.UNSET else f" in VLAN {network.vlan}"
