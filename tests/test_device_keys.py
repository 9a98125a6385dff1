"""`keystead device-key` as an operator uses it, and killed at every step of it."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from keystead.__main__ import main
from keystead.errors import StartRefused
from keystead.model.secret import Secret
from keystead.platform.data_directory import DataDirectory
from keystead.platform.device_key import DeviceKey, InClear
from keystead.platform.device_key_credential import UnderCredential
from keystead.sealing.device import device_id
from keystead.sealing.domain_key import lock
from keystead.storage import settings
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.local import LocalStore
from keystead.storage.paths import devices
from tests.support.disk_steps import die_at
from tests.support.tpm import swtpm

__all__ = ["swtpm"]

DOMAIN_KEY = Secret(b"d" * 32)
UNLOCK_KEY = Secret(b"u" * 32)
NAME = "keystead-device-key"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a provisioned store, its device key in a file."""
    directory = DataDirectory.open(tmp_path / "data")
    key = directory.device_key(InClear()).fetch(store_exists=False).settle(None)
    asyncio.run(fill(directory.database, key))
    directory.close()
    return directory.path


async def fill(database: Path, key: Secret) -> None:
    store = SqliteStore(database)
    local = LocalStore(store, key)
    await store.commit(
        [
            local.initial(),
            local.put_locked_domain_key(lock(DOMAIN_KEY, UNLOCK_KEY)),
            local.put_unattended(b"locked"),
            local.settings.put(settings.TIME_OFFSET, 7),
        ]
    )
    await store.close()


@pytest.fixture(autouse=True)
def credential(tmp_path: Path, monkeypatch) -> Path:
    """A credential, as the service manager hands it over."""
    (tmp_path / "credentials").mkdir()
    path = tmp_path / "credentials" / NAME
    path.write_bytes(os.urandom(32))
    path.chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    return path


def under_credential() -> UnderCredential:
    return UnderCredential(Path(os.environ["CREDENTIALS_DIRECTORY"]), NAME)


def device_key(command: str, data: Path, *more: str, config: str | None = None) -> int:
    if config is not None:
        file = data.with_name("keystead.toml")
        file.write_text(config)
        more = (*more, f"--config={file}")
    return main(["device-key", command, f"--data={data}", *more])


def start(data: Path, provider) -> Secret:
    """Do what the platform and the core do at a start; return the device key."""
    directory = DataDirectory.open(data)

    async def open_store() -> Secret:
        fetched = DeviceKey(data, provider).fetch(store_exists=True)
        store = SqliteStore(directory.database)
        try:
            key = fetched.settle(await devices(store))
            local = LocalStore(store, key)
            assert await local.is_provisioned()
            assert await local.unattended() == b"locked"
            assert await local.settings.get(settings.TIME_OFFSET) == 7
            assert await devices(store) == {device_id(key)}
        finally:
            await store.close()
        return key

    try:
        return asyncio.run(open_store())
    finally:
        directory.close()


def key_files(data: Path) -> set[str]:
    return {entry.name for entry in data.iterdir() if entry.name.startswith("device.key")}


def contents(data: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in data.iterdir() if entry.is_file()}


# --- show --------------------------------------------------------------------------------------


def test_show_tells_where_it_is_and_never_what(data, capsys):
    key = start(data, InClear())
    before = contents(data)
    assert device_key("show", data) == 0
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "provider: file",
        f"file: {data}/device.key",
        "opens: yes",
        f"device: {device_id(key)}",
        "unattended key: no",
    ]
    assert key.reveal().hex() not in said
    assert contents(data) | {"keystead.lock": b""} == before | {"keystead.lock": b""}


def test_show_tells_what_is_wrong(data, credential, capsys):
    config = '[device_key]\nprovider = "credential"'
    assert device_key("show", data, config=config) == 1
    said = capsys.readouterr()
    assert "provider: file" in said.out
    assert "With the provider credential, the server does not start." in said.err
    assert device_key("move", data, "--to=credential") == 0
    credential.unlink()
    assert device_key("show", data, config=config) == 1
    said = capsys.readouterr()
    assert "opens: no" in said.out
    assert "is missing" in said.err


def test_show_tells_that_a_key_is_another_devices(data, capsys):
    (data / "device.key").write_bytes(b"o" * 32)
    before = contents(data)
    assert device_key("show", data) == 1
    assert "not the one that the store's records are sealed under" in capsys.readouterr().err
    assert contents(data) | {"keystead.lock": b""} == before | {"keystead.lock": b""}


def test_show_without_the_tpms_library_tells_that_as_well(data, capsys, monkeypatch):
    for module in ("tpm2_pytss", "keystead.platform.tpm2", "keystead.platform.device_key_tpm2"):
        monkeypatch.setitem(sys.modules, module, None)
    (data / "device.key.tpm2").write_bytes(b"sealed")
    assert device_key("show", data) == 0
    assert "opens: yes" in capsys.readouterr().out
    assert device_key("show", data, config='[device_key]\nprovider = "tpm2"') == 1
    assert "pip install 'keystead[tpm2]'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["show", "rewrap"])
def test_where_there_is_no_data_or_no_key_it_says_so(tmp_path, command, capsys):
    assert device_key(command, tmp_path / "none") == 1
    assert "There is no data directory" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    (tmp_path / "empty").mkdir()
    assert device_key(command, tmp_path / "empty") == 1
    assert "There is no device key in" in capsys.readouterr().err


def test_a_running_server_is_not_disturbed(data, capsys):
    held = DataDirectory.open(data)
    before = contents(data)
    for command in (["show"], ["rewrap"], ["move", "--to=credential"]):
        assert device_key(command[0], data, *command[1:]) == 1
        assert "is in use by another keystead" in capsys.readouterr().err
    assert contents(data) == before
    held.close()


# --- move --------------------------------------------------------------------------------------


def test_the_same_key_goes_to_another_provider_and_back(data, capsys):
    key = start(data, InClear())
    assert device_key("move", data, "--to=credential") == 0
    said = capsys.readouterr().out
    assert 'Now set in the configuration file: [device_key] provider = "credential"' in said
    assert key_files(data) == {"device.key.credential"}
    assert start(data, under_credential()).reveal() == key.reveal()
    assert device_key("move", data, "--to=file") == 0
    assert key_files(data) == {"device.key"}
    assert start(data, InClear()).reveal() == key.reveal()


def test_without_the_credential_nothing_moves(data, credential, capsys):
    credential.unlink()
    before = contents(data)
    assert device_key("move", data, "--to=credential") == 1
    assert "systemd-creds encrypt" in capsys.readouterr().err
    assert contents(data) | {"keystead.lock": b""} == before | {"keystead.lock": b""}


def test_a_wrong_key_moves_nowhere_and_a_right_one_beside_it_does(data, capsys):
    key = start(data, InClear())
    (data / "device.key.credential").write_bytes(under_credential().seal(Secret(b"o" * 32)))
    (data / "device.key.credential").chmod(0o600)
    config = '[device_key]\nprovider = "credential"'
    assert device_key("move", data, "--to=credential", config=config) == 0
    assert start(data, under_credential()).reveal() == key.reveal()
    (data / "device.key.credential").write_bytes(under_credential().seal(Secret(b"o" * 32)))
    capsys.readouterr()
    assert device_key("move", data, "--to=file") == 1
    assert "not the one" in capsys.readouterr().err
    assert key_files(data) == {"device.key.credential"}


def test_pcrs_are_for_a_tpm(data, capsys):
    assert device_key("move", data, "--to=file", "--pcrs=sha256:7") == 1
    assert "--pcrs is for --to tpm2" in capsys.readouterr().err


def test_before_a_firmware_update_the_key_is_freed_of_the_pcrs_and_bound_to_them_after_it(
    data, swtpm, capsys
):
    key = start(data, InClear())
    config = f'[device_key]\nprovider = "tpm2"\ntcti = "{swtpm.tcti}"\npcrs = "sha256:4,7"'
    assert device_key("move", data, "--to=tpm2", config=config) == 0
    assert key_files(data) == {"device.key.tpm2"}
    assert "Now set" not in capsys.readouterr().out
    swtpm.extend(4)  # An update that nobody planned.
    assert device_key("show", data, config=config) == 1
    said = capsys.readouterr()
    assert ["pcr 4: CHANGED", "pcr 7: as sealed"] == [
        line for line in said.out.splitlines() if line.startswith("pcr ")
    ]
    assert device_key("move", data, "--to=tpm2", "--pcrs=none", config=config) == 1
    assert "4 is not what it was" in capsys.readouterr().err
    swtpm.restart()  # Back to what was booted before.
    assert device_key("move", data, "--to=tpm2", "--pcrs=none", config=config) == 0
    swtpm.extend(4)
    assert device_key("show", data, config=config) == 0
    assert "pcrs: none" in capsys.readouterr().out
    assert device_key("move", data, "--to=tpm2", config=config) == 0
    assert device_key("show", data, config=config) == 0
    said = capsys.readouterr().out
    assert "pcr 4: as sealed" in said
    assert f"device: {device_id(key)}" in said
    assert device_key("rewrap", data, config=config) == 0
    assert device_key("move", data, "--to=file", config=config) == 0
    assert key_files(data) == {"device.key"}
    assert start(data, InClear()).reveal() != key.reveal()


@pytest.mark.parametrize("command", [("move", "--to=tpm2"), ("rewrap",)])
def test_a_command_that_seals_the_key_again_revokes_copies_of_its_file(
    data, swtpm, capsys, command
):
    config = f'[device_key]\nprovider = "tpm2"\ntcti = "{swtpm.tcti}"\nrevoke_older = true'
    assert device_key("move", data, "--to=tpm2", config=config) == 0
    file = data / "device.key.tpm2"
    copy = file.read_bytes()
    assert device_key(command[0], data, *command[1:], config=config) == 0
    latest = file.read_bytes()
    file.write_bytes(copy)
    assert device_key("show", data, config=config) == 1
    assert "it is an older copy" in capsys.readouterr().err
    file.write_bytes(latest)
    assert device_key("show", data, config=config) == 0
    assert "older copies: revoked" in capsys.readouterr().out


# --- rewrap ------------------------------------------------------------------------------------


def test_rewrap_makes_a_new_key_that_opens_everything_and_destroys_the_old(data, capsys):
    old = start(data, InClear())
    os.link(data / "device.key", data.with_name("old"))
    assert device_key("rewrap", data) == 0
    assert f"before: {device_id(old)}" in capsys.readouterr().out
    assert data.with_name("old").read_bytes() == bytes(32)
    assert start(data, InClear()).reveal() != old.reveal()
    assert key_files(data) == {"device.key"}


def test_a_database_from_before_a_rewrap_ends_the_start(data):
    old = {path: path.read_bytes() for path in data.glob("keystead.db*")}
    assert device_key("rewrap", data) == 0
    for path in data.glob("keystead.db*"):
        path.unlink()
    for path, content in old.items():
        path.write_bytes(content)
    with pytest.raises(StartRefused, match="not the one that the store's records are sealed"):
        start(data, InClear())


def test_rewrap_before_anything_is_stored_is_a_new_key(data):
    old = start(data, InClear())
    for file in data.glob("keystead.db*"):
        file.unlink()
    assert device_key("rewrap", data) == 0
    assert (data / "device.key").read_bytes() != old.reveal()


# --- killed at every step ----------------------------------------------------------------------


def killed_at(step: int, data: Path, command: str, *more: str) -> bool:
    """Run a command in a process that dies before its disk operation `step`; whether it did."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        die_at(step)
        os._exit(device_key(command, data, *more))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, 42}
    return code == 42


def opens(data: Path, provider) -> bool:
    """Whether a server with this provider starts."""
    try:
        start(data, provider)
    except StartRefused:
        return False
    return True


def copies(data: Path):
    """Yield a fresh copy of the data directory for each step."""
    for step in range(200):
        copy = data.with_name(f"at-{step}")
        shutil.copytree(data, copy)
        yield step, copy
        shutil.rmtree(copy)


@pytest.mark.parametrize("provider", [InClear(), "credential"])
def test_rewrap_killed_anywhere_leaves_a_store_that_opens(data, provider):
    if provider == "credential":
        provider = under_credential()
        device_key("move", data, "--to=credential")
    old = start(data, provider).reveal()
    found = []
    for step, copy in copies(data):
        died = killed_at(step, copy, "rewrap")
        found.append(start(copy, provider).reveal() == old)
        assert key_files(copy) == {DeviceKey(data, provider).path.name}
        if not died:
            break
    assert not found[-1]
    assert found == sorted(found, reverse=True)  # The old one up to a step, the new one from there.
    assert found.count(True) > 10
    assert found.count(False) > 5


def test_a_rewrap_that_was_killed_can_be_repeated_or_followed_by_a_move(data):
    for step, copy in copies(data):
        died = killed_at(step, copy, "rewrap")
        if step % 2:
            assert device_key("rewrap", copy) == 0
            start(copy, InClear())
        else:
            assert device_key("move", copy, "--to=credential") == 0
            start(copy, under_credential())
            assert key_files(copy) == {"device.key.credential"}
        if not died:
            break


def test_a_move_killed_anywhere_leaves_one_that_opens_and_can_be_repeated(data):
    key = start(data, InClear()).reveal()
    for step, copy in copies(data):
        died = killed_at(step, copy, "move", "--to=credential")
        opened = [provider for provider in (InClear(), under_credential()) if opens(copy, provider)]
        assert opened
        assert {start(copy, provider).reveal() for provider in opened} == {key}
        assert device_key("move", copy, "--to=credential") == 0
        assert key_files(copy) == {"device.key.credential"}
        assert start(copy, under_credential()).reveal() == key
        if not died:
            break
