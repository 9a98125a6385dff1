"""The configuration file: what it may say, and how it is refused."""

import mmap
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystead.errors import StartRefused
from keystead.processes.platform.settings import (
    AttestationSettings,
    DeviceKeySettings,
    PlatformSettings,
    SettingsFile,
    SyslogReceiver,
)
from keystead.processes.supervisor.configuration import (
    MAX_FILE_BYTES,
    Configuration,
    read_configuration,
)
from keystead.processes.supervisor.listening import Address
from keystead.wire.platform_messages import CoreSettings
from tests.support.authority import Authority
from tests.support.server import running_server, wait_until
from tests.support.syslog_receiver import SyslogReceiver as Collector
from tests.support.syslog_receiver import server_context


def public_pem(curve: ec.EllipticCurve) -> bytes:
    key = ec.generate_private_key(curve).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


POLICY = b'{"pcrs": "sha256:11", "signatures": {"0": "%s"}}' % b64encode(bytes(64))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with files that a configuration may name."""
    (tmp_path / "ca.pem").write_bytes(Authority("logs").pem)
    (tmp_path / "update.pem").write_bytes(public_pem(ec.SECP384R1()))
    (tmp_path / "p256.pem").write_bytes(public_pem(ec.SECP256R1()))
    (tmp_path / "policy.json").write_bytes(POLICY)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "long").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    return tmp_path


def read(directory: Path, text: str) -> Configuration:
    file = directory / "keystead.toml"
    file.write_text(text)
    return read_configuration(file)


def test_everything_is_read_and_paths_are_relative_to_the_file(directory):
    text = """
        data = "records"
        listen = "[::1]:9443"
        edges = 3
        [syslog]
        tls = "logs.example:6514"
        ca = "ca.pem"
        [update]
        public_key = "update.pem"
        [compatibility]
        pkcs1_padding_errors = true
        open_shutdown = true
        common_passphrases = true
        [keys]
        cache = 500
        [journal]
        head_file = "other.head"
        tpm_counter = "/dev/tpmrm0"
        [attestation]
        tpm = "/dev/tpm0"
        pcrs = "sha384:7,0"
        event_log = "log"
        [device_key]
        provider = "tpm2"
        credential = "other-name"
        tcti = "device:/dev/tpm0"
        pcrs = "sha384:0,7"
        revoke_older = true
        image_key = "update.pem"
        image_policy = "policy.json"
    """
    settings = PlatformSettings(
        SyslogReceiver("logs.example", 6514, (directory / "ca.pem").read_bytes()),
        DeviceKeySettings(
            "tpm2",
            "other-name",
            None,
            "device:/dev/tpm0",
            "sha384:0,7",
            True,
            (directory / "update.pem").read_bytes(),
            (directory / "policy.json").read_bytes(),
        ),
        str(directory / "other.head"),
        "/dev/tpmrm0",
        AttestationSettings("/dev/tpm0", "sha384:0,7", str(directory / "log")),
        CoreSettings(
            (directory / "update.pem").read_bytes(),
            pkcs1_padding_errors=True,
            open_shutdown=True,
            common_passphrases=True,
            key_cache=500,
            keeps_head=True,
            keeps_count=True,
        ),
    )
    expected = Configuration(directory / "records", Address("::1", 9443), 3, settings)
    assert read(directory, text) == expected
    assert PlatformSettings.read(SettingsFile.of(settings).fileno()) == settings


def test_no_process_can_change_what_the_next_one_is_told():
    file = SettingsFile.of(PlatformSettings())
    for change in (
        lambda: os.pwrite(file.descriptor, b"x", 0),
        lambda: os.ftruncate(file.descriptor, 0),
        lambda: os.ftruncate(file.descriptor, 10_000),
        lambda: mmap.mmap(file.descriptor, 1),
    ):
        with pytest.raises(PermissionError):
            change()
    assert PlatformSettings.read(file.descriptor) == PlatformSettings()


def test_the_credentials_directory_is_as_the_service_manager_says(directory, monkeypatch):
    assert read(directory, "").platform.device_key.credentials_directory is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/keystead.service")
    for found in (read(directory, ""), read(directory, "[device_key]\nprovider = 'credential'")):
        assert (
            found.platform.device_key.credentials_directory == "/run/credentials/keystead.service"
        )


def test_an_empty_file_leaves_everything_open(directory):
    assert read(directory, "") == Configuration()


def test_a_minority_is_served_for_so_many_hours(directory):
    served = "[cluster]\netcd = '/e'\nminority = 'serve'\nminority_hours = 1.5"
    assert read(directory, served).platform.core.freshness.minority_seconds == 5400
    refused = "[cluster]\netcd = '/e'"
    assert read(directory, refused).platform.core.freshness.minority_seconds == 0


def test_without_ca_the_machines_are_trusted(directory):
    found = read(directory, '[syslog]\ntls = "logs.example:6514"')
    assert found.platform.syslog == SyslogReceiver("logs.example", 6514, None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("data = ", "Invalid value"),
        ("dta = 'x'", "unknown field `dta`"),
        ("[syslog]\ntls = 'h:1'\ncert = 'x'", "unknown field `cert` - at `$.syslog`"),
        ("[syslog]\nca = 'ca.pem'", "missing required field `tls`"),
        ("edges = '3'", "Expected `int | null`, got `str` - at `$.edges`"),
        ("edges = 0", "Expected `int` >= 1"),
        ("edges = 257", "Expected `int` <= 256"),
        ("[keys]\ncache = 0", "Expected `int` >= 1"),
        ("[keys]\ncache = 1000001", "Expected `int` <= 1000000"),
        ("[attestation]\ntpm = '/dev/tpm0'\npcrs = 'none'", "nothing to attest"),
        ("[device_key]\nimage_key = 'p256.pem'", "need each other"),
        (
            "[device_key]\nimage_key = 'p256.pem'\nimage_policy = 'empty'",
            "This is not a policy of an image",
        ),
        ("[cluster]\netcd = '/e'\nminority = 'serve'", "need each other"),
        ("[cluster]\netcd = '/e'\nminority_hours = 1", "need each other"),
        ("[cluster]\netcd = '/e'\nminority = 'serve'\nminority_hours = 0", "> 0.0"),
        (
            "[cluster]\netcd = '/e'\nminority = 'serve'\nminority_hours = 1\nstrict = true",
            "contradicts strict",
        ),
        ("[journal]\nhead_file = 'missing/x'", "journal.head_file: there is no directory"),
        ("data = 5", "Expected `str | null`, got `int` - at `$.data`"),
        ("listen = 'localhost'", "'localhost' is not HOST:PORT"),
        ("[syslog]\ntls = ':6514'", "lacks the host or the port"),
        ("[syslog]\ntls = 'logs.example:0'", "lacks the host or the port"),
        ("[syslog]\ntls = 'h:1'\nca = 'missing.pem'", "No such file"),
        ("[syslog]\ntls = 'h:1'\nca = 'empty'", "no CA certificates (PEM) in empty"),
        ("[syslog]\ntls = 'h:1'\nca = 'update.pem'", "no CA certificates (PEM) in update.pem"),
        ("[syslog]\ntls = 'h:1'\nca = 'long'", "has more than 1048576 bytes"),
        ("[update]\npublic_key = 'missing.pem'", "No such file"),
        ("[update]\npublic_key = 'empty'", "There is no public key in the PEM"),
        ("[update]\npublic_key = 'p256.pem'", "not one on the curve P-384"),
        ("[device_key]\nprovider = 'yubikey'", "Invalid enum value 'yubikey'"),
        ("[device_key]\ncredential = '../x'", "at `$.device_key.credential`"),
        ("[device_key]\ntcti = '/lib/x.so'", "at `$.device_key.tcti`"),
        ("[device_key]\npcrs = 'sha1:7'", "'sha1:7' is not a selection of PCRs"),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(directory, text, complaint):
    with pytest.raises(StartRefused) as refused:
        read(directory, text)
    assert complaint in refused.value.message
    assert "\n" not in refused.value.message


def test_what_is_no_text_is_refused(directory):
    (directory / "keystead.toml").write_bytes(b"\xff")
    with pytest.raises(StartRefused, match="can't decode"):
        read_configuration(directory / "keystead.toml")


def test_a_bad_file_ends_the_server_before_anything_is_touched(directory):
    (directory / "keystead.toml").write_text("data = 'records'\nport = 1\n")
    command = [sys.executable, "-m", "keystead", "serve", "--config", "keystead.toml"]
    ended = subprocess.run(  # noqa: S603
        command, cwd=directory, capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("keystead: The configuration file keystead.toml:")
    assert ended.stderr.count("\n") == 1
    assert not (directory / "records").exists()


def test_the_command_line_goes_before_the_file_and_the_log_goes_to_syslog_over_tls(tmp_path):
    authority = Authority("logs")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    context = server_context(tmp_path, authority, "localhost")
    collector = Collector(context)
    config = f"""
        data = "not this one"
        listen = "not.an.address.of.ours.invalid:1"
        [syslog]
        tls = "localhost:{collector.port}"
        ca = "ca.pem"
    """
    with running_server(tmp_path, config=config) as server:
        assert not (tmp_path / "not this one").exists()
        assert '"event": "core started"' in collector.next()
        server.provision()
        while '"cause": "provision"' not in collector.next():
            pass

        collector.close()
        wait_until(lambda: "syslog over TLS does not work" in server.log(), seconds=10)
        server.add_user("operator", "Operator")
        collector = Collector(context, collector.port)
        while '"user": "operator"' not in collector.next(seconds=20):
            pass
        assert server.log().count("syslog over TLS does not work") == 1
    collector.close()


@pytest.mark.parametrize(
    "networks", ["[]", '["192.0.2.1/24"]', '["proxy.example"]', '"192.0.2.1"', "[1]"]
)
def test_what_is_no_list_of_networks_is_refused(directory, networks):
    with pytest.raises(StartRefused):
        read(directory, f"[proxy]\nnetworks = {networks}\n")


def test_networks_of_proxies_are_read(directory):
    text = '[proxy]\nnetworks = ["192.0.2.0/24", "2001:db8::7"]\n'
    assert read(directory, text).proxies == ("192.0.2.0/24", "2001:db8::7/128")


def test_connections_from_a_named_proxy_begin_with_a_header(tmp_path):
    config = '[proxy]\nnetworks = ["127.0.0.0/8"]\n'
    with running_server(tmp_path, config=config) as server:
        url = f"https://127.0.0.1:{server.port}/api/v1/health/state"
        command = ["/usr/bin/curl", "-ks", "-m", "10", url]
        behind, direct = (
            subprocess.run([*command, *more], capture_output=True, check=False)  # noqa: S603
            for more in (["--haproxy-protocol"], [])
        )
    assert (behind.returncode, behind.stdout) == (0, b'{"state":"Unprovisioned"}')
    assert direct.returncode != 0
