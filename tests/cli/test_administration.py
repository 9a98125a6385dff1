"""Users, namespaces, settings, the TLS certificate, and what the HSM says of itself."""

import base64
import re

import pytest

from tests.cli.conftest import trusted
from tests.support.server import UNLOCK, running_server
from tests.support.update_images import key_pair, signed

NEW = {"KEYSTEAD_NEW_PASSPHRASE": "a new passphrase"}


def test_a_user_is_added_shown_tagged_and_removed(keystead):
    add = ("users", "add", "somebody", "--role", "Operator", "--real-name", "Some Body")
    assert keystead(*add, **NEW).status == 0
    assert keystead("users", "tag", "somebody", "berlin").status == 0
    user = keystead("users", "show", "somebody", "--json").json()
    assert user == {
        "user": "somebody",
        "realName": "Some Body",
        "role": "Operator",
        "tags": ["berlin"],
    }
    assert keystead("users", "untag", "somebody", "berlin").status == 0
    assert keystead("users", "show", "somebody", "--json").json()["tags"] == []
    assert "somebody" in keystead("users", "list").out.split()
    assert keystead("users", "remove", "somebody", "--yes").status == 0
    assert keystead("users", "show", "somebody").status == 6


def test_a_user_without_a_name_gets_one(keystead):
    ran = keystead("users", "add", "--role", "Metrics", "--json", **NEW)
    assert re.fullmatch(r"\w+", ran.json()["id"])


def test_a_new_passphrase_works_at_once(hsm, keystead):
    keystead("users", "add", "changing", "--role", "Operator", **NEW)
    changed = keystead("users", "passphrase", "changing", KEYSTEAD_NEW_PASSPHRASE="the second one")
    assert changed.status == 0
    hsm.passphrases["changing"] = "the second one"
    assert keystead("keys", "list", user="changing").status == 0


def test_a_namespace_is_made_limited_and_removed(hsm, keystead):
    keystead("users", "add", "tenant~admin", "--role", "Administrator", **NEW)
    added = keystead("namespaces", "add", "tenant")
    assert (added.status, added.err) == (0, "The namespace tenant is added.\n")
    hsm.passphrases["tenant~admin"] = NEW["KEYSTEAD_NEW_PASSPHRASE"]
    limited = keystead("namespaces", "quota", "tenant", "--keys", 1, "--json")
    assert limited.json() == {"keys": 1}
    more = keystead("namespaces", "quota", "tenant", "--users", 5, "--json")
    assert more.json() == {"keys": 1, "users": 5}
    generate = ("keys", "generate", "--type", "EC_P256")
    assert keystead(*generate, user="tenant~admin").status == 0
    assert keystead(*generate, user="tenant~admin").status == 1
    free = keystead("namespaces", "quota", "tenant", "--no-limits", "--json")
    assert free.json() == {}
    assert keystead("namespaces", "list", "--json").json() == [{"id": "tenant"}]
    assert keystead("namespaces", "remove", "tenant", "--yes").status == 0
    assert keystead("namespaces", "list", "--json").json() == []


def test_a_namespace_that_nobody_can_manage_is_told_of(keystead):
    added = keystead("namespaces", "add", "nobodys")
    assert (added.status, "add nobodys~NAME with the role Administrator" in added.err) == (0, True)
    assert keystead("namespaces", "remove", "nobodys", "--yes").status == 0


def test_settings_are_changed_field_by_field(keystead):
    logging = ("config", "logging", "--json")
    assert keystead(*logging, "--log-level", "debug").json()["logLevel"] == "debug"
    assert keystead(*logging, "--port", 1514).json()["logLevel"] == "debug"
    network = keystead("config", "network", "--gateway", "192.168.1.254", "--json").json()
    assert (network["ipAddress"], network["gateway"]) == ("192.168.1.1", "192.168.1.254")
    more = ("--vlan", "42", "--ipv6", "2001:db8::42/64", "--ipv6-gateway", "2001:db8::1")
    ipv6 = {"cidr": "2001:db8::42/64", "gateway": "2001:db8::1"}
    shown = keystead("config", "network", *more, "--json").json()
    assert shown == network | {"ipv6": ipv6, "vlan": 42}
    shown = keystead("config", "network", "--vlan", "none", "--json").json()
    assert shown == network | {"ipv6": ipv6}
    assert keystead("config", "network", "--ipv6", "none", "--json").json() == network
    for wrong in (("--vlan", "some"), ("--ipv6-gateway", "2001:db8::1")):
        assert keystead("config", "network", *wrong).status == 2
    assert keystead("config", "ntp", "--ntp-ip", "192.0.2.1", "--json").json() == {
        "ntpIP": "192.0.2.1"
    }
    assert keystead("config", "unattended-boot", "on", "--yes").status == 0
    assert keystead("config", "time", "2026-01-01T00:00:00Z").status == 0
    shown = keystead("config", "show", "--json").json()
    assert shown["unattendedBoot"] == "on"
    assert shown["time"].startswith("2026-01-01T00:00:0")
    assert shown["logging"]["port"] == 1514
    assert keystead("config", "unattended-boot", "off").status == 0
    assert keystead("config", "time").status == 0


def test_the_unlock_passphrase_is_changed(keystead):
    change = ("config", "unlock-passphrase")
    present, new = "unlockPassphrase", "another unlock passphrase"
    right = {"KEYSTEAD_CURRENT_PASSPHRASE": present, "KEYSTEAD_NEW_PASSPHRASE": new}
    assert keystead(*change, **right).status == 0
    assert keystead("lock", "--yes").status == 0
    assert keystead("unlock", KEYSTEAD_UNLOCK_PASSPHRASE=new).status == 0


def test_the_hsm_says_what_it_is_and_counts(keystead):
    assert "softwareVersion" in keystead("system", "info", "--json").json()
    assert keystead("system", "diagnose", "--json").status == 0
    assert "uptime" in keystead("metrics", "--json", user="metrics").json()
    text = keystead("metrics", "--prometheus", user="metrics").out
    assert "# TYPE keystead_http_responses" in text


def test_who_failed_to_log_in_is_shown(hsm, keystead):
    hsm.request("GET", "/users", user="backup", passphrase="not its passphrase")
    (failed,) = keystead("lockouts", "--json").json()
    assert (failed["user"], failed["address"]) == ("backup", "127.0.0.1")


def test_random_bytes_come_as_base64_or_as_a_file(keystead, tmp_path):
    assert len(base64.b64decode(keystead("random", 40, user="signer").out)) == 40
    assert keystead("random", 40, "-o", tmp_path / "random", user="signer").status == 0
    assert (tmp_path / "random").stat().st_size == 40
    assert keystead("random", 0, user="signer").status == 1


@pytest.fixture
def own_hsm(tmp_path):
    with running_server(tmp_path) as server:
        server.provision()
        yield server


def test_the_tls_certificate_is_replaced_and_the_pin_with_it(own_hsm, command, tmp_path):
    where = (*trusted(own_hsm), "--user", "admin")
    passphrase = {"KEYSTEAD_PASSPHRASE": own_hsm.passphrases["admin"]}
    assert "BEGIN CERTIFICATE" in command("tls", "show", *where, **passphrase).out
    request = command("tls", "csr", "--common-name", "hsm.example", *where, **passphrase)
    assert "BEGIN CERTIFICATE REQUEST" in request.out
    own = tmp_path / "own.pem"
    command("tls", "show", "-o", own, *where, **passphrase)
    installed = command("tls", "install", own, "--yes", *where, **passphrase)
    assert (installed.status, where[-3] in installed.err) == (0, True)
    generated = command("tls", "generate", "--yes", *where, **passphrase)
    assert generated.status == 0
    ran = command("status", *where)
    assert ran.status == 3
    assert "not the pinned one" in ran.err
    (pin,) = re.findall("sha256:[0-9a-f]{64}", generated.err)
    assert command("status", *where[:3], pin).status == 0


def test_a_factory_reset_asks_and_erases(own_hsm, command):
    where = (*trusted(own_hsm), "--user", "admin")
    passphrase = {"KEYSTEAD_PASSPHRASE": own_hsm.passphrases["admin"]}
    assert command("system", "factory-reset", *where, **passphrase).status == 2
    assert command("system", "factory-reset", "--yes", *where, **passphrase).status == 0
    own_hsm.wait_ready(times=2)
    assert own_hsm.ready_state == "Unprovisioned"


def test_the_hsm_restarts_and_stops(own_hsm, command):
    where = (*trusted(own_hsm), "--user", "admin")
    passphrase = {"KEYSTEAD_PASSPHRASE": own_hsm.passphrases["admin"]}
    assert command("system", "reboot", "--yes", *where, **passphrase).status == 0
    own_hsm.wait_ready(times=2)
    assert own_hsm.ready_state == "Locked"
    # A Locked one is stopped with the unlock passphrase.
    where = (*trusted(own_hsm), "--user", "unlock")
    ran = command("system", "shutdown", "--yes", *where, KEYSTEAD_PASSPHRASE=UNLOCK)
    assert ran.status == 0, ran
    assert own_hsm.wait() == 0


def test_an_update_image_is_staged_and_removed_again(command, tmp_path):
    (tmp_path / "update.pem").write_bytes(key_pair(0)[1])
    image = tmp_path / "keystead.image"
    image.write_bytes(signed())
    with running_server(tmp_path, config='[update]\npublic_key = "update.pem"\n') as server:
        server.provision()
        where = (*trusted(server), "--user", "admin")
        passphrase = {"KEYSTEAD_PASSPHRASE": server.passphrases["admin"]}
        ran = command("update", image, "--yes", *where, **passphrase)
        assert "Better." in ran.err
        # An installation from a package is updated by its package manager.
        assert ran.status == 5
        assert "package manager" in ran.err
        assert command("system", "cancel-update", *where, **passphrase).status == 0
        assert command("system", "cancel-update", *where, **passphrase).status == 5
