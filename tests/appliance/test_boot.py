"""The appliance, booted in QEMU. `make appliance-test` runs it; it takes minutes."""

import base64
import datetime as dt
import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import nethsm
import pytest

from keystead.__main__ import main
from keystead.appliance import disk, tools, uki
from keystead.appliance.build import CONTENTS, DISK, IMAGE
from keystead.client.quotes import pem_of, verify_quote
from tests.appliance.machines import (
    PASSPHRASES,
    READY,
    VARIABLES,
    Vm,
    booted,
    change_data,
    changed,
    copied,
    provision_and_sign,
    software_tpm,
)
from tests.support.core import b64
from tests.support.server import basic, trusting_anyone

NONCE = bytes(range(32))
WITH_ERRORS = 0x2
"""What the kernel writes into the state of a file system when it has found an error."""
SHORT = "the memory is not enough to check a passphrase"
AT_ONCE = 12
"""More passphrases than are checked at once."""

pytestmark = pytest.mark.skipif(
    "KEYSTEAD_APPLIANCE" not in os.environ, reason="boots take minutes: make appliance-test"
)


def test_a_signed_image_takes_its_user_from_nothing_to_a_signature_and_keeps_the_key(
    built: Path, enrolled: Path, tmp_path: Path
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(enrolled, tmp_path)

    with booted(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        assert "UEFI Secure Boot is enabled" in vm.console
        vm.wait_for("by DHCP")
        provision_and_sign(vm)
        vm.press_power_button()
        vm.wait_for_end()
        assert "the power button was pressed" in vm.console

    change_data(raw, "ssv free_blocks_count 7", f"ssv state {WITH_ERRORS}")
    with booted(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        assert "the data partition was repaired" in vm.console
        with closing(vm.client("admin")) as admin:
            assert admin.get_state() is nethsm.State.LOCKED
            admin.unlock(PASSPHRASES["unlock"])
            assert admin.list_keys() == ["first"]
            admin.shutdown()
        vm.wait_for_end()
        assert "powering off" in vm.console


def test_a_damaged_data_partition_ends_the_start_with_what_to_do(
    built: Path, tmp_path: Path
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(VARIABLES, tmp_path)
    # No root directory, and what the kernel writes when it finds such an error.
    change_data(raw, "clri <2>", f"ssv state {WITH_ERRORS}")

    with booted(tmp_path, raw, variables) as vm:
        vm.wait_for("restore a backup into a new disk")
        vm.wait_for_end()
        assert READY not in vm.console


@pytest.fixture(params=["no TPM", "a TPM"])
def tpm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | None]:
    """The control channel of a TPM, or None for a machine without one."""
    if request.param == "no TPM":
        yield None
        return
    if shutil.which("swtpm") is None:
        pytest.skip("no swtpm")
    with software_tpm(tmp_path) as channel:
        yield channel


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # The SDK's file.
def test_the_memory_is_enough_for_a_backup_a_restore_and_a_flood_of_passphrases(
    built: Path, tmp_path: Path, tpm: Path | None
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(VARIABLES, tmp_path)

    with booted(tmp_path, raw, variables, tpm=tpm) as vm:
        vm.wait_for(READY)
        assert SHORT not in vm.console
        vm.wait_for("by DHCP")
        provision_and_sign(vm)
        with closing(vm.client("admin")) as admin:
            admin.add_user("Backup", nethsm.Role.BACKUP, PASSPHRASES["backup"], "backup")
            admin.set_backup_passphrase(PASSPHRASES["backup"])
        with closing(vm.client("backup")) as backup:
            file = backup.backup()
        with ThreadPoolExecutor(AT_ONCE) as clients:
            states = list(clients.map(lambda number: refused(vm, number), range(AT_ONCE)))
        assert set(states) <= {401, 429, 503}
        with closing(vm.client("admin")) as admin:
            admin.restore(file, PASSPHRASES["backup"], dt.datetime.now(dt.UTC))
            admin.lock()
            admin.unlock(PASSPHRASES["unlock"])
            assert admin.list_keys() == ["first"]
        assert "Out of memory" not in vm.console
        assert vm.console.count(READY) == 1


def refused(vm: Vm, number: int) -> int:
    """Try a passphrase of nobody, which takes as much memory. Return the status of the answer."""
    connection = http.client.HTTPSConnection("127.0.0.1", vm.port, context=trusting_anyone())
    with closing(connection):
        headers = {"Authorization": basic(f"nobody{number}", "not a passphrase")}
        connection.request("GET", "/api/v1/users", headers=headers)
        return connection.getresponse().status


@pytest.mark.skipif(shutil.which("swtpm") is None, reason="no swtpm")
def test_the_tpm_measures_what_the_builder_predicts_and_signs_that(
    built: Path, enrolled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(enrolled, tmp_path)
    predicted = json.loads((built / CONTENTS).read_text())["measurements"]["pcr11"]

    with software_tpm(tmp_path) as tpm, booted(tmp_path, raw, variables, tpm=tpm) as vm:
        vm.wait_for(READY)
        with closing(vm.client()) as nobody:
            nobody.provision(PASSPHRASES["unlock"], PASSPHRASES["admin"])
        info = system_info(vm)
        registers = info["pcr"]
        monkeypatch.setenv("KEYSTEAD_PASSPHRASE", PASSPHRASES["admin"])
        quote = tmp_path / "quote.json"
        asking = ["attestation", "quote", "--nonce", b64(NONCE), "-o", str(quote)]
        assert main([*asking, "--host", f"127.0.0.1:{vm.port}", "--insecure", "--user=admin"]) == 0

    key = pem_of(base64.b64decode(info["akPub"]["P256"]))
    contents = (built / CONTENTS).read_bytes()
    told = verify_quote(quote.read_bytes(), key_pem=key, nonce=NONCE, measurements=contents)
    assert told["events"] > len(registers)
    assert {n: value for n, value in registers.items() if n in told["pcr"]} == told["pcr"]
    assert registers["11"] == predicted
    assert {"4", "7"} <= {number for number, value in registers.items() if int(value, 16)}


def system_info(vm: Vm) -> dict[str, Any]:
    """Return all that an administrator is told: the SDK does not ask for it."""
    connection = http.client.HTTPSConnection("127.0.0.1", vm.port, context=trusting_anyone())
    with closing(connection):
        headers = {"Authorization": basic("admin", PASSPHRASES["admin"])}
        connection.request("GET", "/api/v1/system/info?details=true", headers=headers)
        return json.loads(connection.getresponse().read())


def test_it_boots_with_the_disk_and_network_of_virtualbox(built: Path, tmp_path: Path) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(VARIABLES, tmp_path)

    with booted(tmp_path, raw, variables, hardware="emulated") as vm:
        vm.wait_for(READY)
        with closing(vm.client()) as nobody:
            assert nobody.get_state() is nethsm.State.UNPROVISIONED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"lockdown=integrity", b"lockdown=none     ", id="command line"),
        pytest.param(b"ID=keystead\n", b"ID=keysteaD\n", id="name"),
    ],
)
def test_secure_boot_refuses_an_image_that_was_changed(
    built: Path, enrolled: Path, tmp_path: Path, old: bytes, new: bytes
) -> None:
    raw = changed(built / IMAGE, tmp_path, old, new)

    with booted(tmp_path, raw, copied(enrolled, tmp_path)) as vm:
        vm.wait_for("Access Denied")
        assert "keystead appliance" not in vm.console


def test_secure_boot_refuses_an_image_that_others_have_signed(
    built: Path, enrolled: Path, tmp_path: Path
) -> None:
    others = tmp_path / "others"
    assert main(["image", "keys", str(others)]) == 0
    image, raw = copied(built / IMAGE, tmp_path), tmp_path / "other.raw"
    unsigned = tmp_path / "unsigned.efi"
    command = ["sbattach", "--remove", image]
    subprocess.run(command, check=True)  # noqa: S603 - the system's
    image.rename(unsigned)
    uki.sign(unsigned, key=others / "db.key", certificate=others / "db.pem")
    disk.write_disk(unsigned, raw)

    with booted(tmp_path, raw, copied(enrolled, tmp_path)) as vm:
        vm.wait_for("Access Denied")
        assert "keystead appliance" not in vm.console


def test_the_list_of_contents_names_every_package_and_file(built: Path) -> None:
    described = json.loads((built / CONTENTS).read_text())

    origins = {file["origin"] for file in described["files"]} - {"made by the builder"}
    packages = {origin for origin in origins if origin.startswith("pkg:deb/")}
    assert packages <= set(described["packages"])
    assert {origin.split("@")[0] for origin in origins - packages} >= {"pkg:pypi/keystead"}


def test_the_disk_is_the_same_in_every_format(built: Path) -> None:
    for form in disk.FORMATS:
        tools.run("qemu-img", "compare", built / DISK, (built / DISK).with_suffix(f".{form}"))
