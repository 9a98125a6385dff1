"""Applies the settings that the server keeps to the machine: its network, its time server."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from keystead.processes.machine import clock, network, ntp
from keystead.processes.machine.addresses import Addresses
from keystead.processes.machine.interface import Interface

_PREFIX: Final = b"X_KEYSTEAD_"


class AppliedSettings:
    """The settings of the machine in force."""

    def __init__(
        self,
        cards: Iterable[Interface],
        tell: Callable[[str], None],
        tell_address: Callable[[str, str], None],
    ) -> None:
        """Have all network cards but the first ask for addresses.

        The first has none until the server says which. `tell_address` gets a card's name too.
        """
        self._tell = tell
        self._tell_address = tell_address
        self._time_server = ""
        self._keeping_time: asyncio.Task[None] | None = None
        self._addresses: Addresses[Interface] | None = None
        self._asking: list[asyncio.Task[None]] = []
        for card in cards:
            if self._addresses is None:
                self._addresses = self._configured(card)
            else:
                card.bring_up()
                self._asking.append(self._start_asking(card))

    def hear(self, notice: bytes) -> None:
        """Apply what a line of the server says: NAME=value. Others are ignored."""
        name, _, value = notice.partition(b"=")
        match name.removeprefix(_PREFIX):
            case b"NETWORK" | b"NETWORK_TRIAL" as wanted if self._addresses is not None:
                self._addresses.wanted(value, is_trial=wanted == b"NETWORK_TRIAL")
            case b"TIME_SERVER":
                self._ask_time(value.decode("ascii", "replace"))
            case _:
                pass

    def close(self) -> None:
        """Leave everything as it is from now on."""
        if self._addresses is not None:
            self._addresses.close()
        for task in (*self._asking, self._keeping_time):
            if task is not None:
                task.cancel()

    def _configured(self, card: Interface) -> Addresses[Interface]:
        card.forget_addresses()
        card.bring_up()
        say = partial(self._tell_address, card.name)
        return Addresses(card, say, dynamic=self._start_asking)

    def _start_asking(self, card: Interface) -> asyncio.Task[None]:
        say = partial(self._tell_address, card.name)
        return asyncio.get_running_loop().create_task(network.keep_address(card, say))

    def _ask_time(self, server: str) -> None:
        if server == self._time_server:
            return
        self._time_server = server
        if self._keeping_time is not None:
            self._keeping_time.cancel()
            self._keeping_time = None
        try:
            address = str(IPv4Address(server)) if server else ""
        except AddressValueError:
            return
        if address:
            keeping = clock.keep_time(partial(ntp.ask, address), self._tell)
            self._keeping_time = asyncio.get_running_loop().create_task(keeping)
