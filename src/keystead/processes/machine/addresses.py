"""Gives the first network card the addresses that an Administrator wants, at first on trial."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Final, Protocol

import msgspec

from keystead.model.device_settings import Ipv6Settings, NetworkSettings

Tell = Callable[[str], None]

APPLY_AFTER_SECONDS: Final = 2.0
"""Until then, the answer to the request is with its client."""
TRIAL_SECONDS: Final = 125.0
"""A little longer than the core counts: a confirmation in the last moment has its effect."""


class Card(Protocol):
    """What has addresses: an `interface.Interface`."""

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


class Addresses:
    """The addresses of a card: those that are kept, and for a while those on trial."""

    def __init__(
        self,
        card: Card,
        tell: Tell,
        *,
        dynamic: Callable[[], asyncio.Task[None]],
        apply_after_seconds: float = APPLY_AFTER_SECONDS,
        trial_seconds: float = TRIAL_SECONDS,
    ) -> None:
        """`dynamic` starts what gets an IPv4 address by DHCP, until it is cancelled."""
        self._card = card
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
            self._card.forget_addresses()
            self._use_ipv6(network)
            self._use_ipv4(network)
        except OSError as error:
            self._tell(f"the kernel refuses the network settings: {error}")

    def _use_ipv4(self, network: NetworkSettings) -> None:
        if network.is_dynamic:
            self._asking = self._dynamic()
            return
        address = IPv4Interface(f"{network.ip_address}/{network.netmask}")
        router = IPv4Address(network.gateway)
        self._card.set_address(address)
        if not router.is_unspecified:
            self._card.set_router(router)
        self._tell(f"address {address.ip}, as configured")

    def _use_ipv6(self, network: NetworkSettings) -> None:
        ipv6 = network.ipv6
        if not isinstance(ipv6, Ipv6Settings):
            if network.is_dynamic:
                self._card.enable_ipv6(is_dynamic=True)
            return
        address = IPv6Interface(ipv6.cidr)
        self._card.enable_ipv6(is_dynamic=False)
        self._card.set_ipv6_address(address)
        if ipv6.gateway is not None:
            self._card.set_ipv6_router(IPv6Address(ipv6.gateway))
        self._tell(f"address {address.ip}, as configured")
