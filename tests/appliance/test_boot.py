"""The appliance, booted in QEMU. `make appliance-test` runs it; it takes minutes."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import nethsm
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keystead.__main__ import main
from keystead.appliance import disk, tools, uki
from keystead.appliance.build import CONTENTS, DISK, IMAGE

pytestmark = pytest.mark.skipif(
    "KEYSTEAD_APPLIANCE" not in os.environ, reason="boots take minutes: make appliance-test"
)

PASSPHRASES = {name: f"passphrase of {name}" for name in ("admin", "operator", "unlock")}
ROOT = Path(__file__).parents[2]
VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
PATIENCE_SECONDS = 600
"""A machine is emulated, and the one that emulates it may have other work."""
READY = "keystead: ready on"


class Vm:
    """A running virtual machine."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process
        self._folder = folder

    @property
    def console(self) -> str:
        """What is on the serial port so far."""
        return (self._folder / "console").read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        """Wait until `text` is on the console. Fail if the machine ends first."""
        end = time.monotonic() + PATIENCE_SECONDS
        while text not in self.console:
            assert self.process.poll() is None, self.console
            assert time.monotonic() < end, self.console
            time.sleep(0.5)

    def press_power_button(self) -> None:
        """Do what a hypervisor does to ask a machine for its end."""
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(self._folder / "control"))
            with end.makefile("rw") as lines:
                for command in ("qmp_capabilities", "system_powerdown"):
                    lines.write(json.dumps({"execute": command}) + "\n")
                    lines.flush()
                    while "return" not in (answer := json.loads(lines.readline())):
                        assert "error" not in answer

    def wait_for_end(self) -> None:
        """Wait until the machine is off."""
        assert self.process.wait(PATIENCE_SECONDS) == 0

    def client(self, user: str | None = None) -> nethsm.NetHSM:
        """Return the SDK as this user, or as nobody."""
        auth = nethsm.Authentication(user, PASSPHRASES[user]) if user else None
        return nethsm.NetHSM(f"127.0.0.1:{self.port}", auth, verify_tls=False)


@contextmanager
def booted(folder: Path, raw: Path, variables: Path, *, hardware: str = "virtio") -> Iterator[Vm]:
    """A virtual machine that starts from the disk `raw`. It is killed at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "control").unlink(missing_ok=True)
    with (folder / "console").open("wb") as console:
        process = subprocess.Popen(  # noqa: S603 - our own script
            [
                *(ROOT / "scripts/run-appliance", raw, variables, str(port)),
                *("-qmp", f"unix:{folder}/control,server=on,wait=off"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={**os.environ, "HARDWARE": hardware, "WITHOUT_KVM": "1"},
        )
    try:
        yield Vm(folder, port, process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def built(keys: Path) -> Path:
    """A folder with the signed image and its disk."""
    if shutil.which("qemu-system-x86_64") is None or not VARIABLES.exists():
        pytest.skip("QEMU or OVMF is not installed")
    out = keys.parent / "out"
    options = ["--keys", str(keys), *(f"--format={form}" for form in disk.FORMATS)]
    assert main(["image", "build", *options, str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def enrolled(keys: Path) -> Path:
    """Variables of a firmware that starts only what these keys have signed."""
    program = Path(sys.executable).parent / "virt-fw-vars"
    if not program.exists():
        pytest.skip("virt-firmware is not installed: make appliance-test adds it")
    out = keys.parent / "variables.fd"
    subprocess.run([ROOT / "scripts/enrol-keys", program, keys, out], check=True)  # noqa: S603 - ours
    return out


def copied(path: Path, folder: Path) -> Path:
    """Return a copy of a sparse file in `folder`."""
    copy = folder / path.name
    subprocess.run(["cp", "--sparse=always", path, copy], check=True)  # noqa: S603, S607 - the system's
    return copy


def changed(image: Path, folder: Path, old: bytes, new: bytes) -> Path:
    """Return a disk with a copy of the image in which `old` is replaced."""
    content = image.read_bytes()
    assert content.count(old) == 1
    other = folder / "other.efi"
    other.write_bytes(content.replace(old, new))
    raw = folder / "other.raw"
    disk.write_disk(other, raw)
    return raw


def provision_and_sign(vm: Vm) -> None:
    """Take a new appliance from nothing to a signature that others verify."""
    with closing(vm.client()) as nobody:
        assert nobody.get_state() is nethsm.State.UNPROVISIONED
        nobody.provision(PASSPHRASES["unlock"], PASSPHRASES["admin"])
    with closing(vm.client("admin")) as admin:
        admin.add_user("Operator", nethsm.Role.OPERATOR, PASSPHRASES["operator"], "operator")
        admin.generate_key(
            nethsm.KeyType.EC_P256, [nethsm.KeyMechanism.ECDSA_SIGNATURE], 256, "first"
        )
        public = load_pem_public_key(admin.get_key_public_key("first").encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    message = nethsm.Base64.encode(bytes(32))
    with closing(vm.client("operator")) as operator:
        signature = operator.sign("first", message, nethsm.SignMode.ECDSA)
    public.verify(signature.decode(), bytes(32), ec.ECDSA(Prehashed(SHA256())))


def test_a_signed_image_takes_its_user_from_nothing_to_a_signature_and_keeps_the_key(
    built: Path, enrolled: Path, tmp_path: Path
) -> None:
    raw, variables = copied(built / DISK, tmp_path), copied(enrolled, tmp_path)

    with booted(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        assert "UEFI Secure Boot is enabled" in vm.console
        assert "by DHCP" in vm.console
        provision_and_sign(vm)
        vm.press_power_button()
        vm.wait_for_end()
        assert "the power button was pressed" in vm.console

    with booted(tmp_path, raw, variables) as vm:
        vm.wait_for(READY)
        with closing(vm.client("admin")) as admin:
            assert admin.get_state() is nethsm.State.LOCKED
            admin.unlock(PASSPHRASES["unlock"])
            assert admin.list_keys() == ["first"]
            admin.shutdown()
        vm.wait_for_end()
        assert "powering off" in vm.console


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
