"""Process 1 of the appliance: what it understands of network, disks and buttons."""

import asyncio
import os
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import StartRefused
from keystead.processes.machine import (
    boot,
    dhcp,
    interface,
    kernel,
    network,
    power_button,
    process,
)
from keystead.processes.machine.slots import Start
from keystead.processes.machine.watch import Watch
from keystead.processes.supervisor.notify import ServiceManager

TRANSACTION = b"\x01\x02\x03\x04"
HARDWARE = bytes.fromhex("525400123456")
OPTIONS = bytes.fromhex(
    "350102"  # an offer
    "0104ffffff00"
    "0304c0a80101"
    "3304000000f0"
    "3604c0a801fe"
    "ff"
)


def with_lease(seconds: bytes) -> bytes:
    """Return the options with another length of the lease."""
    return OPTIONS.replace(b"\x33\x04\0\0\0\xf0", bytes([51, len(seconds)]) + seconds)


def reply(
    options: bytes = OPTIONS, *, address: str = "192.168.1.77", hardware: bytes = HARDWARE
) -> bytes:
    head = struct.pack("!BBBB4sHH", 2, 1, 6, 0, TRANSACTION, 0, 0)
    addresses = bytes(4) + IPv4Address(address).packed + bytes(8)
    return head + addresses + hardware.ljust(16, b"\0") + bytes(192) + b"\x63\x82\x53\x63" + options


def test_an_offer_is_understood() -> None:
    lease = dhcp.parse(reply(), TRANSACTION, HARDWARE)

    assert lease == dhcp.Lease(
        dhcp.MessageType.OFFER,
        IPv4Interface("192.168.1.77/24"),
        IPv4Address("192.168.1.1"),
        IPv4Address("192.168.1.254"),
        240,
    )


def test_the_request_names_the_address_and_the_server_of_the_offer() -> None:
    offer = dhcp.parse(reply(), TRANSACTION, HARDWARE)
    assert offer is not None

    message = dhcp.request(TRANSACTION, HARDWARE, offer)

    assert message[:8] == b"\x01\x01\x06\x00" + TRANSACTION
    assert message[236:] == bytes.fromhex(
        "63825363 350103 3204c0a8014d 3604c0a801fe 3703010333 ff".replace(" ", "")
    )


def test_the_first_message_asks_for_nothing_but_an_offer() -> None:
    message = dhcp.discover(TRANSACTION, HARDWARE)

    assert message[28:34] == HARDWARE
    assert message[236:] == bytes.fromhex("63825363 350101 3703010333 ff".replace(" ", ""))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="empty"),
        pytest.param(reply()[:200], id="cut short"),
        pytest.param(reply(hardware=b"\0" * 6), id="to another machine"),
        pytest.param(reply(OPTIONS[:-1]), id="options without an end"),
        pytest.param(reply(b"\x35\x01\x02\x36\xff\xff"), id="an option longer than the message"),
        pytest.param(reply(b"\x35\x01\x02\xff"), id="no server"),
        pytest.param(reply(b"\x35\x01\x09" + OPTIONS[3:]), id="an unknown type"),
        pytest.param(reply(address=str(IPv4Address(0))), id="no address"),
        pytest.param(reply(address="224.0.0.1"), id="a multicast address"),
        pytest.param(reply(address="127.0.0.1"), id="a loopback address"),
        pytest.param(reply(address="255.255.255.255"), id="the address of everyone"),
        pytest.param(reply(with_lease(b"\xff" * 200)), id="a lease without end"),
        pytest.param(reply(with_lease(b"\x00\x0e\x10")), id="a lease of three bytes"),
        pytest.param(reply(b"\x03\x02\xc0\xa8" + OPTIONS[:9] + OPTIONS[15:]), id="half a router"),
        pytest.param(reply(OPTIONS.replace(b"\xff\xff\xff\x00", b"\xff\x00\xff\x00")), id="mask"),
    ],
)
def test_a_message_that_is_no_answer_is_ignored(message: bytes) -> None:
    assert dhcp.parse(message, TRANSACTION, HARDWARE) is None


def test_an_answer_to_an_earlier_question_is_ignored() -> None:
    assert dhcp.parse(reply(), b"\x09\x09\x09\x09", HARDWARE) is None


@given(st.binary(max_size=64))
def test_no_options_do_harm(options: bytes) -> None:
    dhcp.parse(reply(options), TRANSACTION, HARDWARE)


@given(st.binary(min_size=6, max_size=6))
def test_link_local_addresses_are_in_their_range(hardware: bytes) -> None:
    address = network.link_local_address(hardware)

    assert IPv4Address("169.254.1.0") <= address.ip <= IPv4Address("169.254.254.255")
    assert address == network.link_local_address(hardware)


def leased(router: str = "192.168.1.1") -> dhcp.Lease:
    return dhcp.Lease(
        dhcp.MessageType.ACK,
        IPv4Interface("192.168.1.77/24"),
        IPv4Address(router),
        IPv4Address("192.168.1.254"),
        100,
    )


def test_an_address_that_is_renewed_is_not_set_again() -> None:
    holding = network.Holding()

    assert holding.answered(leased(), now=0)
    assert not holding.answered(leased(), now=50)
    assert holding.answered(leased(router="192.168.1.2"), now=100)


def test_without_a_server_the_link_local_address_is_taken_once() -> None:
    holding = network.Holding()

    silences = [holding.unanswered(now=second) for second in range(9)]

    assert silences == [False, False, False, False, True, False, False, False, False]


def test_a_lease_is_kept_until_its_end_when_its_server_is_gone() -> None:
    holding = network.Holding()
    holding.answered(leased(), now=0)

    assert not [second for second in range(50, 100) if holding.unanswered(now=second)]
    assert holding.unanswered(now=100)
    assert holding.lease is None


def test_the_longest_lease_is_longer_than_the_machine_runs() -> None:
    lease = dhcp.parse(reply(with_lease(b"\xff" * 4)), TRANSACTION, HARDWARE)
    assert lease is not None
    holding = network.Holding()

    holding.answered(lease, now=0)

    assert lease.seconds == 2**32 - 1
    assert not [second for second in range(0, 10**9, 10**8) if holding.unanswered(now=second)]


def test_a_server_that_comes_back_is_used() -> None:
    holding = network.Holding()
    for second in range(9):
        holding.unanswered(now=second)

    assert holding.answered(leased(), now=10)


def test_ethernet_interfaces_are_found_and_others_are_not(tmp_path: Path) -> None:
    for name, kind, address in (("lo", "772", "00:00"), ("eth0", "1", "52:54:00:12:34:56")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
        (tmp_path / name / "address").write_text(f"{address}\n")

    assert list(interface.ethernet_interfaces(tmp_path)) == [interface.Interface("eth0", HARDWARE)]


def test_partitions_are_found_by_name(tmp_path: Path) -> None:
    for name, lines in (("vda1", "PARTNAME=keystead-boot-a"), ("vda2", "PARTNAME=keystead-data")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "uevent").write_text(f"DEVTYPE=partition\n{lines}\n")
    (tmp_path / "gone").mkdir()

    assert boot.partitions("keystead-data", tmp_path) == ["vda2"]


def test_a_data_partition_that_cannot_be_mounted_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="restore a backup into a new disk"):
        boot.mount_data(str(tmp_path / "none"), str(tmp_path / "data"))


def test_drivers_without_their_pci_device_are_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "order").write_text(
        "core.ko pci:v00001AF4d*sv*sd*bc*sc*i* pci:v*d*sv*sd*bc01sc06i01*\n"
        "ahci.ko pci:v*d*sv*sd*bc01sc06i01*\n"
        "e1000.ko pci:v00008086d0000100Esv*sd*bc*sc*i*\n"
        "ext4.ko\n"
    )
    device = tmp_path / "devices/0000:00:1f.2"
    device.mkdir(parents=True)
    (device / "modalias").write_text("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01\n")

    assert list(boot.drivers(tmp_path, tmp_path / "devices")) == ["core.ko", "ahci.ko", "ext4.ko"]
    assert list(boot.drivers(tmp_path, tmp_path / "none")) == ["ext4.ko"]


def test_files_of_drivers_are_removed(tmp_path: Path) -> None:
    for name in ("order", "ext4.ko"):
        (tmp_path / name).write_bytes(b"")

    boot.remove_drivers(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_kernel_parameters_are_set_as_sysctl_sets_them(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()

    kernel.set_parameters([("kernel/sysrq", "0")], tmp_path)

    assert (tmp_path / "kernel/sysrq").read_text() == "0"


PATIENCE_SECONDS = 60


def ignored(_: bytes) -> None:
    """What a server says that is no sign of life."""


def watched(
    path: Path, limit: float, act: Callable[[ServiceManager], None], *, patience: float = 0.5
) -> bool:
    """Watch a server that does what `act` does; return whether it was found silent."""

    async def run() -> bool:
        silent = asyncio.Event()
        watch = Watch(path, silent.set, ignored, limit_seconds=limit)
        act(ServiceManager.of_environment(watch.environment))
        try:
            await asyncio.wait_for(silent.wait(), patience)
        except TimeoutError:
            return False
        finally:
            watch.close()
        return True

    return asyncio.run(run())


def test_a_server_that_falls_silent_is_noticed(tmp_path: Path) -> None:
    def act(manager: ServiceManager) -> None:
        manager.tell(READY="1")

    assert watched(tmp_path / "notices", 0.01, act, patience=PATIENCE_SECONDS)


def test_a_server_that_has_not_started_yet_is_given_time(tmp_path: Path) -> None:
    assert not watched(tmp_path / "notices", 0.01, lambda manager: manager.tell(STATUS="starts"))


def test_the_server_is_told_how_often_it_has_to_give_a_sign(tmp_path: Path) -> None:
    told: list[float | None] = []

    watched(tmp_path / "notices", 120, lambda manager: told.append(manager.watchdog_seconds))

    assert told == [120]


def test_only_root_can_speak_for_the_server(tmp_path: Path) -> None:
    modes: list[int] = []

    def look(manager: ServiceManager) -> None:
        modes.append(stat.S_IMODE(Path(manager.address).stat().st_mode))

    watched(tmp_path / "notices", 120, look)

    assert modes == [0o600]


@pytest.fixture
def button() -> Iterator[tuple[int, int]]:
    """Both ends of what stands in for an input device."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize(
    ("key", "value", "pressed"),
    [(116, 1, True), (116, 0, False), (28, 1, False)],
    ids=["power", "let go", "enter"],
)
def test_only_the_power_button_is_heard(
    button: tuple[int, int], key: int, value: int, *, pressed: bool
) -> None:
    os.write(button[1], struct.pack("16xHHi", 1, key, value))

    assert power_button.is_pressed(button[0]) is pressed


@pytest.mark.parametrize(
    ("program", "ended_by"),
    [
        pytest.param("echo started; exec sleep 600", signal.SIGTERM, id="not ready yet"),
        pytest.param(
            "trap '' TERM; echo started; exec sleep 600", signal.SIGKILL, id="does not hear"
        ),
    ],
)
def test_the_power_button_ends_every_server_and_the_machine(
    monkeypatch: pytest.MonkeyPatch, button: tuple[int, int], program: str, ended_by: signal.Signals
) -> None:
    monkeypatch.setattr(process, "LIMIT_SECONDS", 0.1)
    os.write(button[1], struct.pack("16xHHi", 1, 116, 1))
    command = ["/bin/sh", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:  # noqa: S603 - ours

        async def press() -> int:
            machine = process.Machine(None, Start.CONFIRMED)
            machine._server = server  # noqa: SLF001 - as `run` does, with one of the appliance
            machine._input(button[0])  # noqa: SLF001 - what `run` has the event loop call
            status = await asyncio.to_thread(server.wait, PATIENCE_SECONDS)
            assert status == -ended_by
            return machine._what_now(status)  # noqa: SLF001 - what `run` returns

        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"started\n"
            assert asyncio.run(press()) == kernel.POWER_OFF
        finally:
            server.kill()


def test_only_the_kernel_can_start_process_1() -> None:
    ended = subprocess.run(
        [sys.executable, "-I", "-m", "keystead.processes.machine"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert "process 1" in ended.stderr
