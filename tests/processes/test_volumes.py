"""Volumes as Kubernetes, OpenShift and Docker give them: of another owner, opened at each mount.

The user is one that no passwd file knows and that has no home; the root file system is read-only.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.server import running_server, start_server

USER = 1000660000
GROUP = 2000
SIGN = {"mode": "ECDSA", "message": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
AS_POD = [
    *("setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups"),
    *("--bounding-set=-all", "--no-new-privs", "env", "-u", "HOME"),
]
READ_ONLY = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount --bind / /mnt
mount --bind "$1" "/mnt$1"
mount --bind /dev /mnt/dev
mount -t proc proc /mnt/proc
mount -o remount,bind,ro /mnt
shift
exec chroot /mnt "$@"
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def volume() -> Iterator[Path]:
    """A directory whose `data` is a volume with fsGroup 2000."""
    with tempfile.TemporaryDirectory(prefix="keystead-") as name:
        Path(name).chmod(0o755)
        (Path(name) / "data").mkdir()
        mount(Path(name) / "data")
        yield Path(name)


def mount(data: Path) -> None:
    """Do what the kubelet does with a volume at each mount."""
    os.chown(data, 0, GROUP)
    data.chmod(0o2775)
    for path in data.rglob("*"):
        os.chown(path, -1, GROUP)
        path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))


def refusal(directory: Path, wrapper: Sequence[str] = AS_POD) -> str:
    server = start_server(directory, wrapper=wrapper)
    assert server.wait() == 1
    return server.log().splitlines()[-1]


def test_it_starts_and_starts_again_after_the_next_mount(volume: Path) -> None:
    with running_server(volume, wrapper=AS_POD) as server:
        server.provision()
        operator = server.add_user("op", "Operator")
        passphrase = server.passphrases[operator]
        wanted = {"id": "k", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
        assert server.request("POST", "/keys/generate", user="admin", json=wanted).status == 201
        assert "the data directory belongs to another user" in server.log()
    (volume / "data" / "update").mkdir()
    os.chown(volume / "data" / "update", USER, GROUP)
    for _ in range(2):
        mount(volume / "data")
        with running_server(volume, wrapper=AS_POD) as server:
            server.passphrases[operator] = passphrase
            server.unlock()
            assert server.request("POST", "/keys/k/sign", user=operator, json=SIGN).status == 200
            assert "are private again" in server.log()
            for path in (volume / "data").iterdir():
                assert path.stat().st_mode & 0o077 == 0, path
        assert (volume / "data").stat().st_mode & 0o7777 == 0o2775


def test_a_key_that_everyone_could_read_is_refused_and_left(volume: Path) -> None:
    with running_server(volume, wrapper=AS_POD) as server:
        server.provision()
    key = volume / "data" / "device.key"
    key.chmod(0o644)
    assert "device.key is open to other users: mode 0644" in refusal(volume)
    assert key.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("wrapper", [AS_POD, []])
def test_a_key_of_another_user_is_refused(volume: Path, wrapper: Sequence[str]) -> None:
    with running_server(volume, wrapper=AS_POD) as server:
        server.provision()
    key = volume / "data" / "device.key"
    os.chown(key, 1234, GROUP)
    key.chmod(0o660)
    assert "device.key belongs to another user: 1234" in refusal(volume, wrapper)
    assert key.stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o2775])
def test_root_says_whose_a_directory_is_that_its_platform_cannot_write_to(
    volume: Path, mode: int
) -> None:
    data = volume / "data"
    os.chown(data, 1234, 0)
    data.chmod(mode)
    assert f"The data directory {data} belongs to user 1234" in refusal(volume, [])
    os.chown(data, 0, 0)
    with running_server(volume) as server:
        server.provision()


def test_a_read_only_root_is_enough(volume: Path) -> None:
    data = volume / "data"
    trial = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(data)]
    done = subprocess.run([*trial, "touch", "/etc/written"], capture_output=True, check=False)  # noqa: S603 - a fixed command
    if b"Read-only file system" not in done.stderr:
        pytest.skip("no read-only root can be made here")
    with running_server(volume, wrapper=[*trial, *AS_POD]) as server:
        server.provision()
        assert server.state() == "Operational"


def test_root_of_a_user_namespace_with_no_other_user_is_enough(volume: Path) -> None:
    alone = ["unshare", "--map-root-user"]
    if subprocess.run([*alone, "true"], check=False).returncode:  # noqa: S603
        pytest.skip("user namespaces are off")
    with running_server(volume, wrapper=alone) as server:
        server.provision()
        assert "a user of its own" in server.log()
