"""Updates of the appliance, booted in QEMU. `make appliance-test` runs it; it takes many minutes.

`make appliance-power-cuts ROUNDS=n` cuts the power n times, somewhere in an update.
"""

import http.client
import os
import random
import re
import sys
import time
from contextlib import closing
from pathlib import Path

import nethsm
import pytest

from keystead import SECURITY_VERSION, __version__
from keystead.appliance.build import DISK, IMAGE, UPDATE, sign
from keystead.appliance.secure_boot import SigningKeys
from tests.appliance.machines import (
    PASSPHRASES,
    READY,
    RESTARTS,
    Vm,
    booted,
    copied,
    provision_and_sign,
)
from tests.support.server import basic, trusting_anyone

ROUNDS = int(os.environ.get("KEYSTEAD_POWER_CUTS", "0"))

needs_machine = pytest.mark.skipif(
    "KEYSTEAD_APPLIANCE" not in os.environ, reason="boots take minutes: make appliance-test"
)


def commit(vm: Vm, update: Path) -> None:
    """Upload an update image and commit it."""
    with closing(vm.client("admin")) as admin, update.open("rb") as image:
        assert admin.update(image) == f"Keystead {__version__}"
        admin.commit_update()


def require_data(vm: Vm) -> None:
    """Unlock the appliance, and find the key that it had before."""
    with closing(vm.client("admin")) as admin:
        assert admin.get_state() is nethsm.State.LOCKED
        admin.unlock(PASSPHRASES["unlock"])
        assert admin.list_keys() == ["first"]


def panicking(built: Path, keys: Path, folder: Path) -> Path:
    """Return an update whose image is signed, and in which process 1 ends at once."""
    content = (built / IMAGE).read_bytes()
    old, new = b"-m keystead.processes.machine", b"-m keystead.processes.nothing"
    assert content.count(old) == 1
    image = folder / "broken.efi"
    image.write_bytes(content.replace(old, new))
    return sign(image, SigningKeys.in_folder(keys), security_version=SECURITY_VERSION)


@needs_machine
def test_a_good_update_takes_over_and_a_bad_one_gives_way(
    built: Path, enrolled: Path, keys: Path, tmp_path: Path
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(enrolled, tmp_path)

    with booted(tmp_path, raw, variables, options=RESTARTS) as vm:
        vm.wait_for(READY)
        provision_and_sign(vm)
        commit(vm, built / UPDATE)
        vm.wait_for("slot B, on trial")
        vm.wait_for("slot B is confirmed")
        require_data(vm)

        commit(vm, panicking(built, keys, tmp_path))
        vm.wait_for("slot A starts next, on trial")
        vm.wait_for("slot B: the update in slot A was not confirmed")
        vm.wait_for(READY, times=3)
        require_data(vm)
        assert "slot A, on trial" not in vm.console


MOMENTS = (
    "installing the update",
    "starts next, on trial",
    "BdsDxe: starting Boot4B",
    "by DHCP",
    "is confirmed",
)
"""What the console says on the way of an update."""
LONGEST_DELAY_SECONDS = 15


def begin_upload(vm: Vm, update: Path) -> None:
    """Upload a part of an update image."""
    content = update.read_bytes()
    part = random.randrange(len(content))  # noqa: S311 - no secret
    connection = http.client.HTTPSConnection("127.0.0.1", vm.port, context=trusting_anyone())
    connection.putrequest("POST", "/api/v1/system/update")
    connection.putheader("Authorization", basic("admin", PASSPHRASES["admin"]))
    connection.putheader("Content-Length", str(len(content)))
    connection.endheaders(content[:part])
    connection.close()


def go_until(vm: Vm, update: Path, moment: str | None) -> None:
    """Begin an update, and go on until shortly after a moment; None is in the upload."""
    if moment is None:
        begin_upload(vm, update)
        return
    before = vm.console.count(moment)
    commit(vm, update)
    vm.wait_for(moment, times=before + 1)
    time.sleep(random.uniform(0, LONGEST_DELAY_SECONDS))  # noqa: S311 - no secret


@pytest.mark.skipif(not ROUNDS, reason="takes minutes for each round: make appliance-power-cuts")
def test_after_every_power_cut_the_machine_starts_with_its_data(
    built: Path, enrolled: Path, tmp_path: Path
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(enrolled, tmp_path)
    for number in range(ROUNDS):
        moment = random.choice([None, *MOMENTS])  # noqa: S311 - no secret
        with booted(tmp_path, raw, variables, options=RESTARTS) as vm:
            vm.wait_for(READY)
            if number == 0:
                provision_and_sign(vm)
            else:
                require_data(vm)
            go_until(vm, built / UPDATE, moment)
            slots = re.findall("appliance: (slot .*)", vm.console)
            where = moment or "a part of the upload"
            sys.stdout.write(f"cut {number}, after {where!r}: {slots}\n")

    with booted(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        require_data(vm)
