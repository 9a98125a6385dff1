"""The network of the appliance, configured through its API. `make appliance-test` runs it."""

import os
import time
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import nethsm
import pytest

from keystead.__main__ import main
from keystead.appliance.build import DISK
from tests.appliance.machines import PASSPHRASES, READY, VARIABLES, Vm, booted, copied
from tests.appliance.neighbour import Neighbour, addresses

pytestmark = pytest.mark.skipif(
    "KEYSTEAD_APPLIANCE" not in os.environ, reason="boots take minutes: make appliance-test"
)

BY_DHCP = "10.0.2.15"
STATIC = "10.0.2.77"
IN_VLAN = IPv4Address("169.254.0.200")
SETTLING_SECONDS = 11
"""Before that, a request is no confirmation."""


def configure(vm: Vm) -> None:
    """Ask for the static address, and reach the machine there."""
    with closing(vm.client("admin")) as admin:
        admin.set_network_config(STATIC, "255.255.255.0", "10.0.2.2")


def state(vm: Vm) -> nethsm.State:
    with closing(vm.client()) as nobody:
        return nobody.get_state()


def test_an_address_is_kept_if_an_administrator_reads_it_there_and_only_then(
    built: Path, tmp_path: Path
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(VARIABLES, tmp_path)

    with booted(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        vm.wait_for(f"address {BY_DHCP}, by DHCP")
        with closing(vm.client()) as nobody:
            nobody.provision(PASSPHRASES["unlock"], PASSPHRASES["admin"])
        configure(vm)
        vm.wait_for(f"address {STATIC}, as configured")
        vm.forward_to(STATIC)
        assert state(vm) is nethsm.State.OPERATIONAL
        vm.wait_for("no Administrator has confirmed the new network settings")
        vm.wait_for(f"address {BY_DHCP}, by DHCP", times=2)
        vm.forward_to(BY_DHCP)

        configure(vm)
        vm.wait_for(f"address {STATIC}, as configured", times=2)
        vm.forward_to(STATIC)
        time.sleep(SETTLING_SECONDS)
        with closing(vm.client("admin")) as admin:
            assert admin.get_config_network().ip_address == STATIC
            admin.shutdown()
        vm.wait_for_end()

    with booted(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        vm.wait_for(f"address {STATIC}, as configured")
        vm.forward_to(STATIC)
        assert state(vm) is nethsm.State.LOCKED
        assert "DHCP" not in vm.console


def test_in_a_vlan_it_answers_to_packets_with_its_tag_and_to_no_others(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(VARIABLES, tmp_path)
    monkeypatch.setenv("KEYSTEAD_PASSPHRASE", PASSPHRASES["admin"])
    wanted = ("--ip-address", str(IN_VLAN), "--netmask", "255.255.0.0", "--vlan", "42")
    with (
        closing(Neighbour(is_at_first_card=True)) as neighbour,
        booted(tmp_path, raw, variables, options=neighbour.options) as vm,
    ):
        vm.wait_for(READY)
        vm.wait_for(f"eth1: address {BY_DHCP}, by DHCP")
        with closing(vm.client()) as nobody:
            nobody.provision(PASSPHRASES["unlock"], PASSPHRASES["admin"])
        assert neighbour.is_open(addresses()[0], 8443)
        there = ("--host", f"127.0.0.1:{vm.port}", "--insecure", "--user", "admin")
        assert main(["config", "network", *there, *wanted]) == 0
        vm.wait_for(f"eth0: address {IN_VLAN} in VLAN 42, as configured")
        assert not neighbour.is_open(IN_VLAN, 8443)
        neighbour.vlan = 42
        assert neighbour.is_open(IN_VLAN, 8443)
        vm.wait_for("no Administrator has confirmed the new network settings")
        vm.wait_for("eth0: address 169.254.", times=2)
        assert not neighbour.is_open(IN_VLAN, 8443)
        neighbour.vlan = 0
        assert neighbour.is_open(addresses()[0], 8443)


def test_only_the_port_of_https_answers(built: Path, tmp_path: Path) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(VARIABLES, tmp_path)
    with (
        closing(Neighbour()) as neighbour,
        booted(tmp_path, raw, variables, options=neighbour.options) as vm,
    ):
        vm.wait_for(READY)
        vm.wait_for("eth1: address 169.254.")
        for address in addresses():
            assert neighbour.open_ports(address) == {8443}
            assert neighbour.silent_udp_ports(address) == set()
