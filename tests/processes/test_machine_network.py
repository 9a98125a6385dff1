"""The addresses of the appliance: kept ones, and those on trial."""

import asyncio
import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Self

import pytest

from keystead.processes.machine import boot, dhcp, kernel, network
from keystead.processes.machine.addresses import Addresses
from keystead.processes.machine.applied import AppliedSettings
from keystead.processes.machine.interface import Interface, loopback_up
from tests.support.server import wait_until

PATIENCE_SECONDS = 60
CARD = Interface("lo", bytes.fromhex("525400123456"))
COOKIE = b"\x63\x82\x53\x63"
OFFER = dhcp.MessageType.OFFER
FIRST = b'{"ipAddress":"192.0.2.7","netmask":"255.255.255.0","gateway":"192.0.2.1"}'
SECOND = b'{"ipAddress":"198.51.100.7","netmask":"255.255.0.0","gateway":"0.0.0.0"}'
DYNAMIC = b'{"ipAddress":"0.0.0.0","netmask":"0.0.0.0","gateway":"0.0.0.0"}'
WITH_IPV6 = (
    b'{"ipAddress":"192.0.2.7","netmask":"255.255.255.0","gateway":"0.0.0.0",'
    b'"ipv6":{"cidr":"2001:db8::7/64","gateway":"2001:db8::1"}}'
)


class RecordingCard:
    """A card that notes what it, and what its VLANs are given."""

    def __init__(
        self, name: str = "eth0", done: list[str] | None = None, *, refused: str = ""
    ) -> None:
        self.name = name
        self.done = [] if done is None else done
        self._refused = refused

    def _do(self, what: str) -> None:
        if self._refused and self._refused in what:
            raise OSError(101, "Network is unreachable")
        self.done.append(what if self.name == "eth0" else f"{self.name}: {what}")

    def bring_up(self) -> None:
        self._do("up")

    def add_vlan(self, number: int) -> Self:
        self._do(f"eth0.{number} is made")
        return type(self)(f"eth0.{number}", self.done)

    def remove_vlan(self) -> None:
        self.done.append(f"{self.name} is removed")

    def forget_addresses(self) -> None:
        self._do("none")

    def set_address(self, address: IPv4Interface) -> None:
        self._do(str(address))

    def set_router(self, router: IPv4Address) -> None:
        self._do(f"via {router}")

    def enable_ipv6(self, *, is_dynamic: bool) -> None:
        self._do("IPv6 advertised" if is_dynamic else "IPv6")

    def set_ipv6_address(self, address: IPv6Interface) -> None:
        self._do(str(address))

    def set_ipv6_router(self, router: IPv6Address) -> None:
        self._do(f"via {router}")


class Trying:
    """Addresses of a recording card, with trials that take no time."""

    def __init__(self, card: RecordingCard | None = None, *, trial_seconds: float = 0.0) -> None:
        self.card = card or RecordingCard()
        self.told: list[str] = []
        self.asking: list[asyncio.Task[None]] = []
        self.addresses = Addresses(
            self.card,
            self.told.append,
            dynamic=self._ask,
            apply_after_seconds=0.0,
            trial_seconds=trial_seconds,
        )

    def _ask(self, card: RecordingCard) -> asyncio.Task[None]:
        card.done.append(f"DHCP by {card.name}")
        self.asking.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))
        return self.asking[-1]

    def keep(self, settings: bytes) -> list[str]:
        """Have settings applied for good; return what that did."""
        self.card.done.clear()
        self.addresses.wanted(settings, is_trial=False)
        return self.card.done


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - the state of the code under test has no event
            await asyncio.sleep(0.001)


async def test_static_addresses_are_set() -> None:
    assert Trying().keep(FIRST) == ["none", "192.0.2.7/24", "via 192.0.2.1"]
    assert Trying().keep(SECOND) == ["none", "198.51.100.7/16"]


async def test_static_ipv6_addresses_are_set_without_advertised_ones() -> None:
    assert Trying().keep(WITH_IPV6) == [
        *("none", "IPv6", "2001:db8::7/64", "via 2001:db8::1", "192.0.2.7/24")
    ]


async def test_dynamic_addresses_are_asked_for_until_static_ones_come() -> None:
    trying = Trying()
    assert trying.keep(DYNAMIC) == ["none", "IPv6 advertised", "DHCP by eth0"]
    trying.keep(FIRST)
    await until(trying.asking[0].cancelled)


async def test_addresses_in_a_vlan_are_those_of_its_interface_until_it_is_left() -> None:
    trying = Trying()
    in_vlan = FIRST.replace(b"}", b',"vlan":42}')
    assert trying.keep(in_vlan) == [
        *("none", "eth0.42 is made", "eth0.42: none", "eth0.42: up"),
        *("eth0.42: 192.0.2.7/24", "eth0.42: via 192.0.2.1"),
    ]
    assert trying.told == ["address 192.0.2.7 in VLAN 42, as configured"]
    assert trying.keep(DYNAMIC.replace(b"}", b',"vlan":4094}')) == [
        *("none", "eth0.42 is removed", "eth0.4094 is made", "eth0.4094: none", "eth0.4094: up"),
        *("eth0.4094: IPv6 advertised", "DHCP by eth0.4094"),
    ]
    assert trying.keep(FIRST)[:2] == ["none", "eth0.4094 is removed"]
    assert trying.keep(SECOND)[:2] == ["none", "198.51.100.7/16"]


async def test_a_vlan_on_trial_is_left_without_a_confirmation() -> None:
    trying = Trying()
    trying.keep(SECOND)
    trying.addresses.wanted(SECOND.replace(b"}", b',"vlan":42}'), is_trial=True)
    await until(lambda: "eth0.42 is removed" in trying.card.done)
    assert trying.card.done[-1] == "198.51.100.7/16"


async def test_settings_that_are_in_use_are_not_applied_again() -> None:
    trying = Trying()
    trying.keep(FIRST)
    assert trying.keep(FIRST) == []


async def test_without_a_confirmation_the_old_settings_come_back() -> None:
    trying = Trying()
    trying.keep(FIRST)
    trying.addresses.wanted(SECOND, is_trial=True)
    await until(lambda: trying.card.done[-1] == "via 192.0.2.1" and len(trying.card.done) > 3)
    assert trying.card.done[3:] == [
        "none",
        "198.51.100.7/16",
        "none",
        "192.0.2.7/24",
        "via 192.0.2.1",
    ]
    assert "no Administrator has confirmed the new network settings" in trying.told


async def test_settings_that_are_confirmed_stay() -> None:
    trying = Trying(trial_seconds=3600)
    trying.keep(FIRST)
    trying.addresses.wanted(SECOND, is_trial=True)
    await until(lambda: trying.card.done[-1] == "198.51.100.7/16")
    assert trying.keep(SECOND) == []
    trying.addresses.close()


async def test_a_restarted_server_ends_a_trial_that_it_does_not_know() -> None:
    trying = Trying(trial_seconds=3600)
    trying.keep(FIRST)
    trying.addresses.wanted(SECOND, is_trial=True)
    await until(lambda: trying.card.done[-1] == "198.51.100.7/16")
    assert trying.keep(FIRST) == ["none", "192.0.2.7/24", "via 192.0.2.1"]


async def test_what_the_kernel_refuses_is_told() -> None:
    trying = Trying(RecordingCard(refused="via"))
    assert trying.keep(FIRST) == ["none", "192.0.2.7/24"]
    assert "Network is unreachable" in trying.told[-1]


async def test_an_address_is_kept_if_its_router_is_of_no_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card, told = RecordingCard(refused="via"), list[str]()
    kind, server = dhcp.MessageType.ACK, IPv4Address("192.0.2.1")
    given = dhcp.Lease(kind, IPv4Interface("192.0.2.7/32"), server, server, 3600)
    monkeypatch.setattr(network, "_ask", partial(answered, given))

    keeping = asyncio.get_running_loop().create_task(network.keep_address(card, told.append))
    await until(lambda: told != [])
    keeping.cancel()

    assert card.done == ["192.0.2.7/32"]
    says = "without its router 192.0.2.1, which that address does not reach"
    assert told == [f"address 192.0.2.7, by DHCP, {says}"]


async def answered(lease: dhcp.Lease, _: object) -> dhcp.Lease:
    return lease


@pytest.mark.parametrize(
    "settings",
    [
        *(b"", b"{}", b"\xff", FIRST.replace(b"192.0.2.7", b"192.0.2.7; reboot"), FIRST + b"x"),
        *(FIRST.replace(b"}", b',"vlan":%d}' % number) for number in (-1, 0, 4095)),
    ],
)
async def test_settings_that_are_not_understood_change_nothing(settings: bytes) -> None:
    trying = Trying()
    trying.keep(FIRST)
    assert trying.keep(settings) == []
    assert "not understood" in trying.told[-1]


def in_own_network(act: Callable[[], object]) -> None:
    """Run `act` in a thread with network interfaces of its own: a loopback one, which is down."""

    def run() -> None:
        if ctypes.CDLL(None).unshare(0x40000000):  # CLONE_NEWNET
            pytest.skip("this machine gives no network namespace")
        act()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


def bound(family: socket.AddressFamily, address: str) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as end:
        try:
            end.bind((address, 0))
        except OSError:
            return False
    return True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces")
def test_the_kernel_takes_and_forgets_addresses_and_routes() -> None:
    card = Interface("lo", b"")

    def act() -> None:
        loopback_up()
        card.set_address(IPv4Interface("192.0.2.7/24"))
        card.set_router(IPv4Address("192.0.2.1"))
        assert bound(socket.AF_INET, "192.0.2.7")
        assert "00000000\t010200C0" in Path("/proc/thread-self/net/route").read_text()
        card.forget_addresses()
        assert not bound(socket.AF_INET, "192.0.2.7")
        card.enable_ipv6(is_dynamic=False)
        card.set_ipv6_address(IPv6Interface("2001:db8::7/64"))
        # The kernel lets a worker of its own complete the address.
        wait_until(lambda: bound(socket.AF_INET6, "2001:db8::7"), seconds=PATIENCE_SECONDS)
        with pytest.raises(OSError, match="No route to host"):  # It takes none on a loopback.
            card.set_ipv6_router(IPv6Address("2001:db8::1"))
        card.forget_addresses()
        assert not bound(socket.AF_INET6, "2001:db8::7")

    in_own_network(act)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces")
def test_of_an_address_that_comes_again_only_the_last_router_is_used() -> None:
    def act() -> None:
        loopback_up()
        for router in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
            CARD.set_address(IPv4Interface("192.0.2.7/24"))
            CARD.set_router(IPv4Address(router))
        routes = Path("/proc/thread-self/net/route").read_text().splitlines()[1:]
        assert [fields[2] for route in routes if (fields := route.split())[2] != "00000000"] == [
            "010200C0"
        ]

    in_own_network(act)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces")
def test_no_neighbour_says_where_packets_go() -> None:
    def act() -> None:
        kernel.set_parameters(line for line in boot._HARDENING if line[0].startswith("net/"))  # noqa: SLF001 - `prepare` needs a machine
        CARD.bring_up()
        for family in ("ipv4", "ipv6"):
            parameter = Path(f"/proc/sys/net/{family}/conf/{CARD.name}/accept_redirects")
            assert parameter.read_text() == "0\n", family

    in_own_network(act)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces")
def test_what_the_server_says_is_applied_to_the_first_card() -> None:
    told: list[str] = []

    async def run() -> None:
        applied = AppliedSettings(
            [Interface("lo", b"")], told.append, lambda name, line: told.append(f"{name}: {line}")
        )
        applied.hear(b"STATUS=ready")
        applied.hear(b"X_KEYSTEAD_NETWORK=" + SECOND)
        assert bound(socket.AF_INET, "198.51.100.7")
        for server in (b"127.0.0.1", b"127.0.0.1", b"192.0.2.300", b""):
            applied.hear(b"X_KEYSTEAD_TIME_SERVER=" + server)
        applied.close()

    in_own_network(lambda: asyncio.run(run()))
    assert told == ["lo: address 198.51.100.7, as configured"]


def server_messages(transaction: bytes, kind: dhcp.MessageType, *servers: str) -> Iterator[bytes]:
    """Yield an answer by each of these DHCP servers, which offer different addresses."""
    for server in map(IPv4Address, servers):
        head = struct.pack("!BBBB4sHH", 2, 1, 6, 0, transaction, 0, 0)
        addresses = bytes(4) + (server + 10).packed + bytes(8)
        options = bytes([53, 1, kind, 54, 4]) + server.packed + b"\xff"
        yield head + addresses + CARD.hardware.ljust(16, b"\0") + bytes(192) + COOKIE + options


async def serve_dhcp(end: socket.socket) -> None:
    """Be two DHCP servers. Both offer an address, and the one that is asked gives its own."""
    loop = asyncio.get_running_loop()
    while True:
        asked, _ = await loop.sock_recvfrom(end, 1500)
        is_request = b"\x35\x01\x03" in asked
        kind = dhcp.MessageType.ACK if is_request else OFFER
        servers = ("192.0.2.1",) if is_request else ("192.0.2.1", "192.0.2.2")
        for message in server_messages(asked[4:8], kind, *servers):
            await loop.sock_sendto(end, message, ("255.255.255.255", dhcp.CLIENT_PORT))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces")
def test_an_address_is_taken_where_two_dhcp_servers_offer_one() -> None:
    told: list[str] = []

    async def run() -> None:
        with socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
            end.bind(("", dhcp.SERVER_PORT))
            loop = asyncio.get_running_loop()
            serving = loop.create_task(serve_dhcp(end))
            keeping = loop.create_task(network.keep_address(CARD, told.append))
            await until(lambda: told != [])
            for task in (keeping, serving):
                task.cancel()
            await asyncio.wait((keeping, serving))

    in_own_network(lambda: (loopback_up(), asyncio.run(run())))
    assert told == ["address 192.0.2.11, by DHCP"]


async def test_messages_of_strangers_keep_process_1_from_nothing() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end,
        socket.socket(type=socket.SOCK_DGRAM) as stranger,
    ):
        end.bind(("127.0.0.1", 0))
        stranger.connect(end.getsockname())
        for message in (b"", b"nothing", *server_messages(b"1234", OFFER, "192.0.2.1")):
            stranger.send(message)
        turns: list[None] = []
        asyncio.get_running_loop().call_soon(turns.append, None)

        lease = await network._answer(end, OFFER, b"1234", CARD)  # noqa: SLF001 - a socket of ours

    assert lease.server == IPv4Address("192.0.2.1")
    assert turns == [None]
