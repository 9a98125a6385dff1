"""Where a command goes, as whom, and whom it trusts."""

import os
import stat
import sys
import tomllib

import pytest

from keystead.__main__ import COMMANDS, parser_of
from tests.cli.conftest import trusted
from tests.support.authority import Authority


def test_a_profile_says_where_to_and_whom_to_trust(hsm, command, at_home):
    assert command("profile", "add", "test", *trusted(hsm), "--user", "admin").status == 0
    file = at_home / "config/keystead/config.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    profile = tomllib.loads(file.read_text())["profiles"]["test"]
    assert profile["pin"] == f"sha256:{hsm.fingerprint}"
    assert command("status", "--json").json()["state"] == "Operational"
    ran = command("users", "list", "--json", KEYSTEAD_PASSPHRASE=hsm.passphrases["admin"])
    assert {"user": "admin"} in ran.json()


def test_of_profiles_the_named_one_is_used_and_else_the_default(hsm, command):
    command("profile", "add", "nowhere", "--host", "127.0.0.1:1", "--insecure")
    command("profile", "add", "here", *trusted(hsm))
    assert command("status").status == 3
    assert command("status", "--profile", "here").status == 0
    assert command("status", KEYSTEAD_PROFILE="here").status == 0
    ran = command("profile", "default", "here")
    assert (ran.status, "The profile here is used" in ran.err) == (0, True)
    assert command("status").status == 0
    assert [one["name"] for one in command("profile", "list", "--json").json()] == [
        "nowhere",
        "here",
    ]


def test_the_host_on_the_command_line_goes_before_the_environment_and_the_profile(hsm, command):
    command("profile", "add", "nowhere", "--host", "127.0.0.1:1", "--insecure")
    assert command("status", *trusted(hsm), KEYSTEAD_HOST="127.0.0.1:1").status == 0


def test_a_removed_profile_is_gone(hsm, command):
    command("profile", "add", "test", *trusted(hsm))
    ran = command("profile", "remove", "test")
    assert (ran.status, "The profile test is removed." in ran.err) == (0, True)
    ran = command("status", "--profile", "test")
    assert ran.status == 2
    assert "There is no profile test" in ran.err


def test_another_certificate_than_the_pinned_one_is_refused(hsm, command):
    ran = command("status", "--host", f"{hsm.host}:{hsm.port}", "--pin", f"sha256:{'0' * 64}")
    assert ran.status == 3
    assert "is not the pinned one" in ran.err
    assert "profile forget" in ran.err
    assert "profile add" in ran.err


def test_forgetting_says_how_the_pin_of_a_profile_is_replaced(command):
    ran = command("profile", "forget", "127.0.0.1:1")
    assert (ran.status, "keystead profile add" in ran.err) == (2, True)


def test_an_unknown_certificate_is_not_trusted_when_nobody_can_be_asked(hsm, command, at_home):
    ran = command("status", "--host", f"{hsm.host}:{hsm.port}")
    assert ran.status == 2
    assert "--pin" in ran.err
    assert not (at_home / "config").exists()


def test_a_certificate_is_trusted_by_its_authority(hsm, command, tmp_path):
    own = tmp_path / "own.pem"
    own.write_bytes(hsm.request("GET", "/config/tls/cert.pem", user="admin").body)
    address = f"{hsm.host}:{hsm.port}"
    assert command("status", "--host", address, "--ca", own).status == 0
    other = tmp_path / "other.pem"
    other.write_bytes(Authority("another").pem)
    ran = command("status", "--host", address, "--ca", other)
    assert ran.status == 3
    assert "is not trusted" in ran.err


def test_a_file_that_is_no_authority_is_a_usage_error(hsm, command, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for file in (empty, tmp_path / "missing.pem"):
        ran = command("status", "--host", f"{hsm.host}:{hsm.port}", "--ca", file)
        assert ran.status == 2
        assert "has no certificates" in ran.err


def test_insecure_is_said_at_each_call(hsm, command):
    ran = command("status", "--host", f"{hsm.host}:{hsm.port}", "--insecure")
    assert ran.status == 0
    assert "INSECURE" in ran.err


def test_a_passphrase_comes_from_a_file_or_a_descriptor(hsm, command, tmp_path):
    file = tmp_path / "passphrase"
    file.write_text(f"{hsm.passphrases['admin']}\nsecond line\n")
    options = ("users", "list", *trusted(hsm), "--user", "admin")
    assert command(*options, "--passphrase-file", file).status == 0
    with file.open() as stream:
        descriptor = os.dup(stream.fileno())
        assert command(*options, "--passphrase-fd", descriptor).status == 0
    assert command(*options, "--passphrase-file", tmp_path / "missing").status == 2


def test_a_passphrase_that_nobody_gives_is_a_usage_error(hsm, command):
    ran = command("users", "list", *trusted(hsm), "--user", "admin")
    assert ran.status == 2
    assert "KEYSTEAD_PASSPHRASE" in ran.err


def test_without_a_user_nothing_is_sent(hsm, command):
    ran = command("users", "list", *trusted(hsm), KEYSTEAD_PASSPHRASE="x")
    assert ran.status == 2
    assert "--user" in ran.err


@pytest.mark.parametrize("text", ["", "host:port", "a/b", "user@host", "host:1/x", "host:99999"])
def test_what_is_no_address_is_refused(command, text):
    assert command("profile", "add", "test", "--host", text).status in {1, 2}


@pytest.mark.parametrize("content", ["profiles = 3", "[profiles.a]\nhost = 1", "x", "other = 1"])
def test_a_file_of_settings_that_is_wrong_is_named(command, at_home, content):
    file = at_home / "config/keystead/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    ran = command("profile", "list")
    assert ran.status == 2
    assert "config.toml" in ran.err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon", "inf"])
def test_a_timeout_that_is_none_is_a_usage_error(command, seconds):
    assert command("status", "--timeout", seconds).status == 2


def test_a_profile_keeps_where_the_authoritys_file_is(command, at_home):
    command("profile", "add", "test", "--host", "hsm", "--ca", "ca.pem")
    file = at_home / "config/keystead/config.toml"
    assert tomllib.loads(file.read_text())["profiles"]["test"]["ca"] == str(at_home / "ca.pem")


def test_a_passphrase_comes_from_the_keyring(hsm, command, at_home, monkeypatch):
    file = pytest.importorskip("keyrings.alt.file", reason="make installs it")
    backend = file.PlaintextKeyring()
    backend.file_path = str(at_home / "keyring")
    backend.set_password("keystead", f"admin@{hsm.host}:{hsm.port}", hsm.passphrases["admin"])
    monkeypatch.setattr("keyring.core._keyring_backend", backend)
    list_users = ("users", "list", *trusted(hsm), "--keyring", "--user")
    assert command(*list_users, "admin").status == 0
    assert command(*list_users, "another").status == 2
    backend.set_password("keystead", f"admin@{hsm.host}:{hsm.port}", "another passphrase")
    assert command(*list_users, "admin").status == 4


def test_without_the_package_keyring_its_option_says_how_to_get_it(hsm, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    ran = command("users", "list", *trusted(hsm), "--user", "admin", "--keyring")
    assert ran.status == 2
    assert "pip install keyring" in ran.err


def options_of(parser):
    """Every option of a parser and of the commands below it."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way
        yield from action.option_strings
        if isinstance(action.choices, dict):
            for below in action.choices.values():
                yield from options_of(below)


def test_no_option_takes_a_passphrase():
    names = {name for name in options_of(parser_of(COMMANDS)) if "passphrase" in name}
    assert len(names) > 10
    assert [name for name in names if not name.endswith(("-file", "-fd"))] == []
