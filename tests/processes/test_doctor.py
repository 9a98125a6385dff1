"""`keystead doctor`: it tries what this machine allows, and reads what is in force."""

import os
import ssl
import subprocess
import sys

import pytest
from cryptography.hazmat.backends.openssl import backend

from keystead.platform.measurements import REGISTERS
from tests.processes.test_sandbox import without_seccomp
from tests.support.server import running_server
from tests.support.tpm import as_device, swtpm

__all__ = ["swtpm"]


def doctor(*options: str, wrapper: list[str] | None = None) -> tuple[int, list[str]]:
    command = [*(wrapper or []), sys.executable, "-m", "keystead", "doctor", *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.splitlines()


def test_it_says_what_each_process_would_have():
    status, lines = doctor()
    assert status == 0
    for role in ("core", "edge", "platform"):
        (line,) = [line for line in lines if line.startswith(f"{role} would have: ")]
        assert "seccomp" in line.partition("missing")[0]


def test_it_names_the_libraries_of_tls_and_of_keys_which_may_differ():
    versions = doctor()[1][0]
    assert f"TLS by {ssl.OPENSSL_VERSION}" in versions
    assert f"keys by {backend.openssl_version_text()}" in versions


def test_it_says_whether_there_is_a_tpm():
    said = any(line.startswith("no TPM") for line in doctor()[1])

    assert said is not REGISTERS.exists()


def test_it_says_how_many_passphrases_the_memory_is_enough_for():
    assert any(line.endswith(" MiB of memory: 4 passphrases at once") for line in doctor()[1])


def test_without_seccomp_it_fails_and_says_why():
    status, lines = doctor(wrapper=without_seccomp("ENOSYS"))
    assert status == 1
    assert any(line.startswith("FAULT: Cannot confine the processes") for line in lines)


def test_it_reads_what_is_in_force_in_a_running_server(server):
    status, lines = doctor(f"--data={server.data}")
    assert status == 0
    for pid, role in server.children().items():
        (line,) = [line for line in lines if line.startswith(f"{role} runs as process {pid}: ")]
        assert "Seccomp 2, NoNewPrivs 1" in line


def test_a_running_server_shows_an_administrator_the_warnings(provisioned_server):
    found = provisioned_server.request("GET", "/health/diagnose?details=true", user="admin").json()[
        "warnings"
    ]
    _, lines = doctor(f"--data={provisioned_server.data}")
    assert set(found) >= {
        line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")
    }
    assert "no second place: an older copy of the whole database is not noticed" in found


def test_a_server_without_its_sandbox_is_a_fault(tmp_path):
    with running_server(tmp_path, options=["--insecure-no-sandbox"]) as server:
        status, lines = doctor(f"--data={server.data}")
    assert status == 1
    assert sum(line.startswith("FAULT: ") for line in lines) == 3


@pytest.mark.parametrize(("version", "expected"), [("3.6.1", 0), ("3.4.23", 1)])
def test_it_says_whether_the_etcd_is_new_enough(tmp_path, version, expected):
    etcd, config = tmp_path / "etcd", tmp_path / "keystead.toml"
    etcd.write_text(f"#!/bin/sh\necho etcd Version: {version}\n")
    etcd.chmod(0o755)
    config.write_text(f'[cluster]\netcd = "{etcd}"\n')
    status, lines = doctor(f"--config={config}")
    assert status == expected
    (line,) = [line for line in lines if version in line]
    assert line == f"etcd 3.6.1: {etcd}" or "3.5.16 or newer is needed" in line


def test_a_device_key_that_others_can_read_is_a_fault(tmp_path):
    with running_server(tmp_path) as server:
        pass
    (server.data / "device.key").chmod(0o640)
    status, lines = doctor(f"--data={server.data}")
    assert status == 1
    assert any("device.key is open to other users: mode 0640" in line for line in lines)
    assert lines[-1] == f"no server runs on {server.data}"


def test_a_device_key_that_could_not_be_kept_as_configured_is_a_fault(tmp_path):
    config = tmp_path / "keystead.toml"
    config.write_text('[device_key]\nprovider = "tpm2"\ntcti = "device:/dev/null/no"\n')
    status, lines = doctor(f"--config={config}")
    assert status == 1
    assert any(line.startswith("FAULT: device key, provider tpm2: ") for line in lines)
    config.write_text("")
    _, lines = doctor(f"--config={config}")
    assert "device key, provider file" in lines


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_data_directory_of_another_user_than_its_files_is_told(tmp_path):
    (tmp_path / "keystead.lock").touch(0o600)
    os.chown(tmp_path / "keystead.lock", 1234, 1234)
    _, lines = doctor(f"--data={tmp_path}")
    told = f"warning: {tmp_path} belongs to user 0 and its files to user 1234"
    assert any(line.startswith(told) for line in lines)


def test_before_the_first_start_it_says_what_is_not_there_yet_and_finds_no_fault(tmp_path):
    data = tmp_path / "data"
    status, lines = doctor(f"--data={data}")
    assert status == 0
    assert f"there is no data directory {data} yet: the first start makes it" in lines
    data.mkdir(0o700)
    status, lines = doctor(f"--data={data}")
    assert status == 0
    assert f"there is no database in {data} yet: nothing is provisioned" in lines


def test_a_data_directory_that_is_none_is_a_fault(tmp_path):
    (tmp_path / "data").touch(0o600)
    status, lines = doctor(f"--data={tmp_path / 'data'}")
    assert status == 1
    assert f"FAULT: {tmp_path / 'data'} is no directory" in lines


@pytest.mark.parametrize("name", ["device.key.tpm2", "device.key.next", "keystead.db-wal"])
def test_whatever_is_secret_and_open_to_others_is_a_fault(tmp_path, name):
    tmp_path.chmod(0o700)
    (tmp_path / name).touch(0o600)
    (tmp_path / name).chmod(0o604)
    status, lines = doctor(f"--data={tmp_path}")
    assert status == 1
    assert f"FAULT: {tmp_path / name} is open to other users: mode 0604" in lines


def test_it_says_what_tells_an_older_database_from_the_present_one(tmp_path, swtpm):
    config = tmp_path / "keystead.toml"
    config.write_text("")
    _, lines = doctor(f"--config={config}")
    assert any(line.startswith("warning: no second place") for line in lines)
    with as_device(swtpm) as device:
        config.write_text(f'[journal]\nhead_file = "head"\ntpm_counter = "{device}"')
        _, lines = doctor(f"--config={config}")
    assert f"the counter of the TPM {device}: 1" in lines
    assert any("the journal's head in" in line and "not there yet" in line for line in lines)
    config.write_text('[journal]\ntpm_counter = "/dev/null/no"')
    status, lines = doctor(f"--config={config}")
    assert status == 1
    assert any(line.startswith("FAULT: journal.tpm_counter") for line in lines)


def test_it_says_whether_the_machine_can_be_attested(tmp_path, swtpm):
    config = tmp_path / "keystead.toml"
    with as_device(swtpm) as device:
        config.write_text(f'[attestation]\ntpm = "{device}"\nevent_log = "log"')
        _, lines = doctor(f"--config={config}")
    assert f"the TPM {device} attests the PCRs sha256:0,1,2,3,4,5,6,7" in lines
    assert f"warning: the event log {tmp_path / 'log'} cannot be read" in lines
    config.write_text('[attestation]\ntpm = "/dev/null/no"')
    status, lines = doctor(f"--config={config}")
    assert status == 1
    assert any(line.startswith("FAULT: attestation.tpm") for line in lines)
