"""Virtual machines that run the appliance, and what its user does with them."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import nethsm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keystead.appliance import disk

PASSPHRASES = {name: f"passphrase of {name}" for name in ("admin", "backup", "operator", "unlock")}
ROOT = Path(__file__).parents[2]
VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
PATIENCE_SECONDS = 600
"""A machine is emulated, and the one that emulates it may have other work."""
READY = "keystead: ready on"
RESTARTS = ("-action", "reboot=reset")
"""For a machine that goes on when it restarts. Without this option, it is off then."""


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

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Wait until `text` is on the console so often. Fail if the machine ends first."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.console.count(text) < times:
            assert self.process.poll() is None, self.console
            assert time.monotonic() < end, self.console
            time.sleep(0.5)

    def press_power_button(self) -> None:
        """Do what a hypervisor does to ask a machine for its end."""
        self._command("system_powerdown")

    def forward_to(self, address: str) -> None:
        """Let the port of this machine's loopback lead to this address of the virtual machine."""
        for line in (
            f"hostfwd_remove tcp:127.0.0.1:{self.port}",
            f"hostfwd_add tcp:127.0.0.1:{self.port}-{address}:8443",
        ):
            self._command("human-monitor-command", {"command-line": line})

    def _command(self, name: str, arguments: Mapping[str, str] | None = None) -> None:
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(self._folder / "control"))
            with end.makefile("rw") as lines:
                for command in ({"execute": "qmp_capabilities"}, _question(name, arguments)):
                    lines.write(json.dumps(command) + "\n")
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


def _question(name: str, arguments: Mapping[str, str] | None) -> dict[str, object]:
    return {"execute": name, "arguments": arguments or {}}


@contextmanager
def booted(
    folder: Path,
    raw: Path,
    variables: Path,
    *,
    hardware: str = "virtio",
    options: Sequence[str] = (),
    tpm: Path | None = None,
) -> Iterator[Vm]:
    """A virtual machine that starts from the disk `raw`. It is killed at the end.

    `tpm` is the control channel of a TPM.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "control").unlink(missing_ok=True)
    with (folder / "console").open("wb") as console:
        process = subprocess.Popen(  # noqa: S603 - our own script
            [
                *(ROOT / "scripts/run-appliance", raw, variables, str(port)),
                *("-qmp", f"unix:{folder}/control,server=on,wait=off"),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={
                **os.environ,
                "HARDWARE": hardware,
                "WITHOUT_KVM": "1",
                "TPM": "" if tpm is None else str(tpm),
            },
        )
    try:
        yield Vm(folder, port, process)
    finally:
        process.kill()
        process.wait()


@contextmanager
def software_tpm(folder: Path) -> Iterator[Path]:
    """The control channel of the TPM whose state is in `folder`; a new one the first time."""
    (folder / "tpm").mkdir(exist_ok=True)
    channel = folder / "tpm/control"
    channel.unlink(missing_ok=True)
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder / 'tpm'}"]
    running = subprocess.Popen([*command, "--ctrl", f"type=unixio,path={channel}"])  # noqa: S603 - the system's
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while not channel.exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        yield channel
    finally:
        running.kill()
        running.wait()


def copied(path: Path, folder: Path) -> Path:
    """Return a copy of a sparse file in `folder`."""
    copy = folder / path.name
    subprocess.run(["cp", "--sparse=always", path, copy], check=True)  # noqa: S603, S607 - the system's
    return copy


def change_data(raw: Path, *requests: str) -> None:
    """Change the file system of the data partition of a disk, with requests of debugfs(8)."""
    for request in requests:
        command = ["debugfs", "-w", "-R", request, f"{raw}?offset={disk.DATA_START}"]
        subprocess.run(command, env={"PATH": "/usr/sbin:/sbin"}, check=True)  # noqa: S603 - the system's


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
