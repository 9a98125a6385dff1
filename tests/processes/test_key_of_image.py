"""The device key of an appliance: when it is sealed to the image that runs, and when not yet."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from keystead.errors import StartRefused
from keystead.journal.log import Log
from keystead.model.secret import Secret
from keystead.platform.device_key import DeviceKey
from keystead.processes.machine.slots import Start
from keystead.processes.platform import key_of_image
from keystead.processes.platform.device_key_provider import device_key_provider
from keystead.processes.platform.key_of_image import KeyOfImage, follow_image
from keystead.processes.platform.settings import DeviceKeySettings, RunningImage
from tests.support.disk_steps import die_at
from tests.support.image_policies import boot, pem_of, signed_policy
from tests.support.server import running_server, start_server
from tests.support.tpm import Swtpm, swtpm

__all__ = ["swtpm"]

KEY = Secret(bytes(range(32)))
DIED = 42
CONFIG = """\
[device_key]
provider = "tpm2"
tcti = "{tcti}"
revoke_older = true
image_key = "policy.pem"
image_policy = "policy"
"""


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def settings_of(tpm: Swtpm, image: bytes, security_version: int) -> DeviceKeySettings:
    """What the configuration in an image says."""
    return DeviceKeySettings(
        "tpm2",
        tcti=tpm.tcti,
        revoke_older=True,
        image_key_pem=pem_of(),
        image_policy=signed_policy(image, security_version),
    )


class Appliance:
    """A data directory and a TPM, in which one image after the other starts."""

    def __init__(self, directory: Path, tpm: Swtpm) -> None:
        self.directory = directory
        self.tpm = tpm
        self.log: list[str] = []
        self.is_provisioned = True

    def put_in_clear(self, key: Secret = KEY, name: str = "device.key") -> None:
        put(self.directory / name, key.reveal())

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.directory.glob("device.key*")}

    def boot(self, image: bytes, version: int, running: RunningImage | None) -> KeyOfImage:
        boot(self.tpm, image)
        return self.follow(settings_of(self.tpm, image, version), running)

    def begin(self, wanted: DeviceKeySettings, running: RunningImage | None) -> KeyOfImage:
        """What the platform does first, with the key of this image."""
        log = Log("platform", clock=lambda: 0, write=self.log.append)
        return follow_image(
            self.directory, wanted, running, log, is_provisioned=lambda: self.is_provisioned
        )

    def follow(self, wanted: DeviceKeySettings, running: RunningImage | None) -> KeyOfImage:
        """What the platform does at its start."""
        found = self.begin(wanted, running)
        kept = self.kept(found.settings)
        kept.fetch(store_exists=kept.is_there).settle(None)
        kept.revoke_older()
        return found

    def kept(self, settings: DeviceKeySettings) -> DeviceKey:
        return DeviceKey(self.directory, device_key_provider(settings))

    def key(self, settings: DeviceKeySettings) -> bytes:
        return self.kept(settings).fetch(store_exists=True).choose(None).reveal()


@pytest.fixture
def appliance(tmp_path: Path, swtpm: Swtpm) -> Appliance:
    (tmp_path / "data").mkdir()
    return Appliance(tmp_path / "data", swtpm)


def test_the_first_start_seals_the_key(appliance: Appliance) -> None:
    found = appliance.boot(b"one", 1, "confirmed")

    assert (found.settings.provider, found.waits) == ("tpm2", False)
    assert list(appliance.files()) == ["device.key.tpm2"]


def test_a_key_in_clear_is_sealed_as_soon_as_the_image_is_confirmed(appliance: Appliance) -> None:
    appliance.put_in_clear()

    on_trial = appliance.boot(b"one", 1, "trial")
    assert (on_trial.settings.provider, on_trial.waits) == ("file", True)
    assert appliance.files() == {"device.key": KEY.reveal()}

    confirmed = appliance.boot(b"one", 1, "confirmed")
    assert (confirmed.settings.provider, confirmed.waits) == ("tpm2", False)
    assert list(appliance.files()) == ["device.key.tpm2"]
    assert appliance.key(confirmed.settings) == KEY.reveal()
    assert "the device key is sealed to this image" in appliance.log[-1]


def test_an_image_that_was_replaced_opens_neither_the_key_nor_a_copy_of_it(
    appliance: Appliance,
) -> None:
    appliance.put_in_clear()
    old = appliance.boot(b"old", 1, "confirmed").settings
    copy = appliance.files()

    on_trial = appliance.boot(b"new", 2, "trial")
    assert on_trial.waits
    assert appliance.files() == copy
    boot(appliance.tpm, b"old")
    assert appliance.key(old) == KEY.reveal()  # The trial has failed.

    assert not appliance.boot(b"new", 2, "confirmed").waits
    boot(appliance.tpm, b"old")
    with pytest.raises(StartRefused, match="security version 1 and is too old"):
        appliance.key(old)
    with pytest.raises(StartRefused, match="it is an older copy"):
        device_key_provider(old).unseal(copy["device.key.tpm2"])


def test_an_update_of_the_same_security_version_seals_nothing_again(appliance: Appliance) -> None:
    appliance.boot(b"one", 1, "confirmed")
    before = appliance.files()

    for running in ("trial", "confirmed"):
        assert not appliance.boot(b"two", 1, running).waits

    assert appliance.files() == before


def test_a_key_that_was_sealed_for_any_image_is_sealed_again(appliance: Appliance) -> None:
    bare = DeviceKeySettings("tpm2", tcti=appliance.tpm.tcti, revoke_older=True)
    appliance.follow(bare, None)
    copy = appliance.files()["device.key.tpm2"]

    found = appliance.boot(b"one", 1, "confirmed")

    assert appliance.files()["device.key.tpm2"] != copy
    with pytest.raises(StartRefused, match="it is an older copy"):
        device_key_provider(found.settings).unseal(copy)


def test_the_key_of_a_server_that_is_no_appliance_stays_where_it_is(appliance: Appliance) -> None:
    appliance.put_in_clear()
    wanted = settings_of(appliance.tpm, b"one", 1)
    plain = DeviceKeySettings("file")

    assert appliance.begin(wanted, None).settings is wanted
    assert appliance.begin(plain, "confirmed").settings is plain
    assert appliance.files() == {"device.key": KEY.reveal()}


def test_a_tpm_that_fails_leaves_the_key_as_it_was_and_the_log_says_why(
    appliance: Appliance,
) -> None:
    appliance.put_in_clear()
    boot(appliance.tpm, b"another")

    found = appliance.follow(settings_of(appliance.tpm, b"one", 1), "confirmed")

    assert (found.settings.provider, found.waits) == ("file", False)
    assert appliance.files()["device.key"] == KEY.reveal()
    assert "the device key is not sealed to this image" in appliance.log[-1]
    assert "not the image that the policy was signed for" in appliance.log[-1]
    assert appliance.boot(b"one", 1, "confirmed").settings.provider == "tpm2"
    assert list(appliance.files()) == ["device.key.tpm2"]


@pytest.mark.parametrize("running", ["confirmed", "trial"])
@pytest.mark.parametrize("name", ["device.key", "device.key.next"])
def test_a_key_that_somebody_has_put_onto_a_new_disk_is_not_used(
    appliance: Appliance, running: RunningImage, name: str
) -> None:
    appliance.put_in_clear(name=name)
    appliance.is_provisioned = False

    with pytest.raises(StartRefused, match="whoever has written the disk may know the key"):
        appliance.boot(b"one", 1, running)

    assert appliance.files() == {name: KEY.reveal()}


def test_of_two_different_keys_none_is_destroyed(appliance: Appliance) -> None:
    other = Secret(b"o" * 32)
    appliance.put_in_clear()
    appliance.put_in_clear(other, "device.key.next")
    wanted = settings_of(appliance.tpm, b"one", 1)
    boot(appliance.tpm, b"one")

    found = appliance.begin(wanted, "confirmed")

    assert found.settings.provider == "file"
    assert appliance.files() == {"device.key": KEY.reveal(), "device.key.next": other.reveal()}
    assert "more than one device key" in appliance.log[-1]


def test_a_key_in_clear_that_cannot_be_destroyed_stays_in_force(
    appliance: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    appliance.put_in_clear()
    boot(appliance.tpm, b"one")

    def refuse(_directory: Path, _provider: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("keystead.processes.platform.key_of_image.destroy", refuse)
    found = appliance.follow(settings_of(appliance.tpm, b"one", 1), "confirmed")

    assert found.settings.provider == "file"
    assert appliance.files()["device.key"] == KEY.reveal()
    assert "the key in clear is still there: Read-only file system" in appliance.log[-1]


def dies(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that dies before this disk operation. Return whether it has died."""
    child = os.fork()
    if not child:
        die_at(step)
        work()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, DIED)
    return status == DIED


class SealedBy:
    """Stands in for a TPM in which an image of some security version runs."""

    name: Final = "tpm2"

    def __init__(self, version: int) -> None:
        self._version = version

    def seal(self, key: Secret) -> bytes:
        return bytes([self._version]) + key.reveal()

    def unseal(self, sealed: bytes) -> Secret:
        if not 1 <= sealed[0] <= self._version:
            raise StartRefused("it is damaged.")
        return Secret(sealed[1:])

    def is_for_older_images(self, sealed: bytes) -> bool:
        return sealed[0] < self._version

    def revoke_older(self, _sealed: bytes) -> None:
        """Do nothing."""

    def describe(self, _sealed: bytes) -> list[str]:
        return []

    def survey(self) -> list[str]:
        return []


def provisioned() -> bool:
    return True


@pytest.mark.parametrize("before", ["in clear", "sealed", "both"])
def test_after_a_power_cut_at_any_step_the_key_opens_and_ends_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    monkeypatch.setattr(key_of_image, "device_key_provider", lambda _: SealedBy(2))
    wanted, log = DeviceKeySettings("tpm2"), Log("platform", clock=lambda: 0, write=lambda _: None)
    kept = DeviceKey(tmp_path, SealedBy(2))

    def start() -> bytes:
        found = follow_image(tmp_path, wanted, "confirmed", log, is_provisioned=provisioned)
        assert found.settings.provider == "tpm2"
        return kept.fetch(store_exists=True).settle(None).reveal()

    deaths, has_died = 0, True
    while has_died:
        for path in tmp_path.iterdir():
            path.unlink()
        if before != "sealed":
            put(tmp_path / "device.key", KEY.reveal())
        if before != "in clear":
            put(tmp_path / "device.key.tpm2", SealedBy(1).seal(KEY))

        has_died = dies(deaths, start)
        deaths += has_died

        assert start() == KEY.reveal()
        assert start() == KEY.reveal()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
            "device.key.tpm2": SealedBy(2).seal(KEY)
        }
    assert deaths > 5


def test_only_a_confirmed_image_seals() -> None:
    assert {start for start in Start if start.is_of_confirmed} == {
        Start.CONFIRMED,
        Start.AFTER_FAILED_TRIAL,
    }


def test_a_server_seals_its_key_and_says_what_is_in_clear(tmp_path: Path, swtpm: Swtpm) -> None:
    boot(swtpm, b"one")
    (tmp_path / "policy.pem").write_bytes(pem_of())
    (tmp_path / "policy").write_bytes(signed_policy(b"one", 1))
    config = CONFIG.format(tcti=swtpm.tcti)
    with running_server(tmp_path) as server:
        server.provision()
    warning = "the device key is a file: no TPM keeps it from whoever has the disk"
    for image, files, warns in (
        ("trial", ["device.key"], True),
        ("confirmed", ["device.key.tpm2"], False),
    ):
        notices = Notices(tmp_path / f"notices-{image}")
        options = {"options": (f"--image={image}",), "environment": notices.environment}
        with notices, running_server(tmp_path, config=config, **options) as server:
            assert server.ready_state == "Locked"
            assert ("X_KEYSTEAD_DEVICE_KEY=waits" in notices.heard()) is warns
            unlock = {"passphrase": "unlockPassphrase"}
            assert server.request("POST", "/unlock", json=unlock).status == 204
            diagnosis = server.request("GET", "/health/diagnose?details=true", user="admin").json()
            assert (warning in diagnosis["warnings"]) is warns
            assert [path.name for path in server.data.glob("device.key*")] == files


@pytest.mark.parametrize("has_database", [False, True])
def test_a_server_refuses_a_key_in_clear_if_it_is_not_provisioned(
    tmp_path: Path, swtpm: Swtpm, *, has_database: bool
) -> None:
    boot(swtpm, b"one")
    (tmp_path / "policy.pem").write_bytes(pem_of())
    (tmp_path / "policy").write_bytes(signed_policy(b"one", 1))
    with running_server(tmp_path) as server:
        assert server.ready_state == "Unprovisioned"
    if not has_database:
        (server.data / "keystead.db").unlink()
    config = CONFIG.format(tcti=swtpm.tcti)

    server = start_server(tmp_path, config=config, options=("--image=confirmed",))

    assert server.process.wait() == 1
    assert "whoever has written the disk may know the key" in server.log()
    assert [path.name for path in server.data.glob("device.key*")] == ["device.key"]


class Notices:
    """Stands in for process 1: what a server says to it."""

    def __init__(self, path: Path) -> None:
        self.environment = {"NOTIFY_SOCKET": str(path)}
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.bind(str(path))

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        self._end.close()

    def heard(self) -> str:
        """Return what was said up to now."""
        said = []
        while True:
            try:
                said.append(self._end.recv(4096, socket.MSG_DONTWAIT).decode())
            except BlockingIOError:
                return "\n".join(said)
