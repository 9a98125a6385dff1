"""A server whose device key is under a credential or in a TPM, from first start to reset."""

import os
import subprocess
import sys

import pytest

from keystead.errors import StartRefused
from keystead.processes.platform.device_key_provider import device_key_provider
from keystead.processes.platform.settings import DeviceKeySettings
from tests.support.server import running_server, start_server, wait_until
from tests.support.tpm import swtpm

__all__ = ["swtpm"]

NAME = "keystead-device-key"
CREDENTIAL = '[device_key]\nprovider = "credential"'


def refused(directory, **options) -> str:
    """Start a server that does not start; return what it says last."""
    server = start_server(directory, **options)
    assert server.wait() == 1
    return server.log().splitlines()[-1]


def key_files(server) -> dict[str, bytes]:
    return {
        entry.name: entry.read_bytes()
        for entry in server.data.iterdir()
        if entry.name.startswith("device.key")
    }


def device_key(directory, *arguments, environment=None) -> None:
    subprocess.run(  # noqa: S603
        [
            *(sys.executable, "-m", "keystead", "device-key", *arguments),
            *(f"--data={directory / 'data'}", f"--config={directory / 'keystead.toml'}"),
        ],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        timeout=60,
        check=True,
    )


def turn_on_unattended_boot(server) -> None:
    answer = server.request("PUT", "/config/unattended-boot", user="admin", json={"status": "on"})
    assert answer.status == 204


def device_id(server) -> str:
    return server.request("GET", "/system/info", user="admin").json()["deviceId"]


def reset(server) -> None:
    assert server.request("POST", "/system/factory-reset", user="admin").status == 204
    server.wait_ready(times=2)
    assert server.ready_state == "Unprovisioned"


@pytest.fixture
def credentials(tmp_path):
    """What the service manager says, and the directory it says it of."""
    directory = tmp_path / "credentials"
    directory.mkdir(mode=0o700)
    (directory / NAME).write_bytes(os.urandom(32))
    (directory / NAME).chmod(0o400)
    return {"CREDENTIALS_DIRECTORY": str(directory)}


def test_a_server_lives_with_a_credential_and_a_reset_needs_no_new_one(tmp_path, credentials):
    options = {"config": CREDENTIAL, "environment": credentials}
    with running_server(tmp_path, **options) as server:
        server.provision()
        turn_on_unattended_boot(server)
        before = device_id(server)
    device_key(tmp_path, "rewrap", environment=credentials)
    with running_server(tmp_path, **options) as server:
        assert server.ready_state == "Operational"
        assert device_id(server) != before
        kept = key_files(server)
        assert list(kept) == ["device.key.credential"]
        reset(server)
        assert list(key_files(server)) == ["device.key.credential"]
        assert key_files(server) != kept


def test_a_wrong_or_missing_credential_is_refused_and_nothing_is_touched(tmp_path, credentials):
    credential = tmp_path / "credentials" / NAME
    options = {"config": CREDENTIAL, "environment": credentials}
    content = credential.read_bytes()
    credential.unlink()
    assert "systemd-creds encrypt" in refused(tmp_path, **options)
    assert not (tmp_path / "data" / "keystead.db").exists()
    credential.write_bytes(content)
    credential.chmod(0o400)
    with running_server(tmp_path, **options) as server:
        server.provision()
    kept = key_files(server)
    assert "CREDENTIALS_DIRECTORY is not set" in refused(tmp_path, config=CREDENTIAL)
    credential.chmod(0o600)
    credential.write_bytes(os.urandom(32))
    assert "is not the one it was sealed under" in refused(tmp_path, **options)
    assert key_files(server) == kept
    credential.write_bytes(content)
    with running_server(tmp_path, **options) as server:
        assert server.ready_state == "Locked"


@pytest.mark.parametrize("is_provisioned", [True, False])
def test_another_device_key_is_refused_with_one_line_and_kept(tmp_path, is_provisioned):
    with running_server(tmp_path) as server:
        if is_provisioned:
            server.provision()
    right = (server.data / "device.key").read_bytes()
    (server.data / "device.key").write_bytes(b"o" * 32)
    line = refused(tmp_path)
    assert line.startswith("keystead: The device key ")
    assert "is not the one that the store's records are sealed under" in line
    assert key_files(server) == {"device.key": b"o" * 32}
    (server.data / "device.key").write_bytes(right)
    with running_server(tmp_path) as server:
        assert server.ready_state == ("Locked" if is_provisioned else "Unprovisioned")


def test_a_server_lives_with_a_tpm(tmp_path, swtpm):
    config = f'[device_key]\nprovider = "tpm2"\ntcti = "{swtpm.tcti}"\nrevoke_older = true'
    with running_server(tmp_path) as server:
        server.provision()
        turn_on_unattended_boot(server)
    assert 'set `provider = "file"`, or move it' in refused(tmp_path, config=config)
    device_key(tmp_path, "move", "--to=tpm2")
    swtpm.restart()
    with running_server(tmp_path, config=config) as server:
        assert server.ready_state == "Operational"
        assert list(key_files(server)) == ["device.key.tpm2"]
    swtpm.extend(7)
    assert "7 is not what it was when the key was sealed" in refused(tmp_path, config=config)
    swtpm.restart()
    (server.data / "device.key").write_bytes(b"left behind")
    with running_server(tmp_path, config=config) as server:
        assert server.ready_state == "Operational"
        warning = "the data directory also holds a device key of another provider"
        wait_until(lambda: warning in server.log(), seconds=10)
        kept = key_files(server)["device.key.tpm2"]
        reset(server)
        assert list(key_files(server)) == ["device.key.tpm2"]
        assert key_files(server)["device.key.tpm2"] != kept
        with pytest.raises(StartRefused, match="it is an older copy"):
            device_key_provider(DeviceKeySettings("tpm2", tcti=swtpm.tcti)).unseal(kept)
        server.provision()
    swtpm.clear()
    assert "another storage root key" in refused(tmp_path, config=config)
    swtpm.stop()
    assert "cannot be reached" in refused(tmp_path, config=config)


def test_without_its_library_the_tpm_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tpm2_pytss", None)
    monkeypatch.delitem(sys.modules, "keystead.platform.tpm2", raising=False)
    monkeypatch.delitem(sys.modules, "keystead.platform.device_key_tpm2", raising=False)
    with pytest.raises(StartRefused, match=r"pip install 'keystead\[tpm2\]'"):
        device_key_provider(DeviceKeySettings("tpm2"))
