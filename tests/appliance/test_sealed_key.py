"""The device key of a machine with a TPM, booted in QEMU. `make appliance-test` runs it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import nethsm
import pytest

from keystead.appliance import tools, uki
from keystead.appliance.build import CONTENTS, DISK, IMAGE, sign
from keystead.appliance.secure_boot import SigningKeys
from keystead.appliance.sign_policy import sign_policy
from tests.appliance.machines import (
    PASSPHRASES,
    READY,
    RESTARTS,
    Vm,
    booted,
    copied,
    provision_and_sign,
    software_tpm,
)

pytestmark = [
    pytest.mark.skipif(
        "KEYSTEAD_APPLIANCE" not in os.environ, reason="boots take minutes: make appliance-test"
    ),
    pytest.mark.skipif(shutil.which("swtpm") is None, reason="no swtpm"),
]
SEALED = "the device key is sealed to this image"
OLD, NEW = 1, 2
"""Security versions."""
ADDRESS = 0x2800000
"""Behind all other parts of an image."""


def newer(built: Path, keys: Path, folder: Path) -> Path:
    """Return an update with the same image, as one of the next security version."""
    image, policy = copied(built / IMAGE, folder), folder / "policy"
    signed = sign_policy(
        (built / CONTENTS).read_bytes(), (keys / "policy.key").read_bytes(), security_version=NEW
    )
    policy.write_bytes(signed)
    tools.run("sbattach", "--remove", image)
    tools.run("objcopy", f"--remove-section={uki.POLICY}", image)
    place = f"--change-section-vma={uki.POLICY}={ADDRESS:#x}"
    tools.run("objcopy", f"--add-section={uki.POLICY}={policy}", place, image)
    return sign(image, SigningKeys.in_folder(keys), security_version=NEW)


@contextmanager
def with_tpm(folder: Path, raw: Path, variables: Path) -> Iterator[Vm]:
    """A machine with the TPM of `folder`."""
    with (
        software_tpm(folder) as tpm,
        booted(folder, raw, variables, tpm=tpm, options=RESTARTS) as vm,
    ):
        yield vm


def require_key(vm: Vm) -> None:
    """Unlock the appliance, and find the key that it had before."""
    with closing(vm.client("admin")) as admin:
        admin.unlock(PASSPHRASES["unlock"])
        assert admin.list_keys() == ["first"]


def test_the_device_key_follows_the_confirmed_image_into_the_tpm(
    built: Path, enrolled: Path, keys: Path, tmp_path: Path
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(enrolled, tmp_path)

    with booted(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        provision_and_sign(vm)  # With a key in clear: there is no TPM.
        vm.press_power_button()
        vm.wait_for_end()

    with with_tpm(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        assert vm.console.count(SEALED) == 1
        require_key(vm)
        with closing(vm.client("admin")) as admin, newer(built, keys, tmp_path).open("rb") as image:
            admin.update(image)
            admin.commit_update()
        vm.wait_for("slot B is confirmed")
        vm.wait_for("restarting once more, to seal the device key")
        vm.wait_for(SEALED, times=2)
        vm.wait_for(READY, times=3)
        require_key(vm)
        vm.press_power_button()
        vm.wait_for_end()

    # A firmware without its variables starts slot A, which has the older image.
    with with_tpm(tmp_path, raw, copied(enrolled, tmp_path)) as vm:
        vm.wait_for("security version 1 and is too old")
        assert READY not in vm.console


def test_after_a_factory_reset_no_copy_of_the_disk_opens(
    built: Path, enrolled: Path, tmp_path: Path
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(enrolled, tmp_path)
    (tmp_path / "before").mkdir()

    with with_tpm(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        provision_and_sign(vm)
        vm.press_power_button()
        vm.wait_for_end()
    before = copied(raw, tmp_path / "before")

    with with_tpm(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        with closing(vm.client("admin")) as admin:
            assert admin.get_state() is nethsm.State.LOCKED
            admin.unlock(PASSPHRASES["unlock"])
            admin.factory_reset()
        vm.wait_for("state=Unprovisioned")

    with with_tpm(tmp_path, before, variables) as vm:
        vm.wait_for("it is an older copy")
        assert READY not in vm.console
