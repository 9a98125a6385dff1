"""The network of the appliance, configured through its API. `make appliance-test` runs it."""

import os
import time
from contextlib import closing
from pathlib import Path

import nethsm
import pytest

from keystead.appliance.build import DISK
from tests.appliance.machines import PASSPHRASES, READY, VARIABLES, Vm, booted, copied
from tests.appliance.neighbour import Neighbour, addresses

pytestmark = pytest.mark.skipif(
    "KEYSTEAD_APPLIANCE" not in os.environ, reason="boots take minutes: make appliance-test"
)

BY_DHCP = "10.0.2.15"
STATIC = "10.0.2.77"
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
