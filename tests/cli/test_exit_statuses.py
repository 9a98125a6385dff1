"""The exit statuses that docs/client.md promises, and what to do next."""

import io
import sys

import pytest

from keystead.cli.exit_status import ExitStatus
from tests.cli.conftest import trusted
from tests.support.server import running_server


def test_a_refusal_is_1(keystead):
    ran = keystead("keys", "generate", "bad id!", "--type", "EC_P256")
    assert ran.status == ExitStatus.REFUSED
    assert "ID may only contain" in ran.err


class TypedAnswers(io.StringIO):
    """What a person types."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    "line",
    [
        "lock",
        "keys remove first",
        "users remove signer",
        "namespaces remove tenant",
        "config unattended-boot on",
        "tls generate --type EC_P256",
        "journal delete 1",
        "system commit-update",
        "system reboot",
        "system shutdown",
        "system factory-reset",
    ],
)
def test_no_to_a_question_is_1(keystead, monkeypatch, line):
    monkeypatch.setattr(sys, "stdin", TypedAnswers("n\n"))
    ran = keystead(*line.split())
    assert ran.status == ExitStatus.REFUSED
    assert "Nothing was done." in ran.err


def test_a_user_of_another_role_hears_which_roles_there_are(keystead):
    ran = keystead("backup", "-o", "nightly.backup", "--user", "admin")
    assert ran.status == ExitStatus.REFUSED
    assert "Your role does not allow this." in ran.err
    assert "Operators use keys, Administrators manage keys" in ran.err
    assert "metrics and the journal have roles" in ran.err


def test_who_gives_a_name_that_the_hsm_does_not_know_hears_where_they_are(keystead):
    for line in ("users add x --role operator", "config logging --log-level verbose"):
        ran = keystead(*line.split(), KEYSTEAD_NEW_PASSPHRASE="a new passphrase")
        assert (ran.status, "--help of the command" in ran.err) == (1, True)


def test_a_type_that_the_client_does_not_know_needs_a_mechanism(keystead):
    ran = keystead("keys", "generate", "first", "--type", "P256")
    assert ran.status == ExitStatus.USAGE
    assert "the type P256" in ran.err
    assert "EC_P256" in ran.err


def test_a_usage_error_is_2(command):
    assert command("no-such-command").status == ExitStatus.USAGE
    assert command("keys", "generate").status == ExitStatus.USAGE


def test_no_connection_is_3_and_says_where_to_look(command):
    ran = command("status", "--host", "127.0.0.1:1", "--insecure")
    assert ran.status == ExitStatus.CANNOT_CONNECT
    assert "127.0.0.1:1 cannot be reached: Connection refused." in ran.err
    assert "keystead serve" in ran.err


def test_a_wrong_passphrase_is_4(hsm, command):
    options = (*trusted(hsm), "--user", "nobody")
    ran = command("users", "list", *options, KEYSTEAD_PASSPHRASE="wrong passphrase")
    assert ran.status == ExitStatus.NOT_AUTHENTICATED
    assert "--user" in ran.err


@pytest.fixture
def new_hsm(tmp_path):
    with running_server(tmp_path) as server:
        yield server


def test_the_wrong_state_is_5_and_names_the_command_that_helps(new_hsm, command):
    options = (*trusted(new_hsm), "--user", "admin")
    passphrase = {"KEYSTEAD_PASSPHRASE": "admin passphrase"}
    new = {
        "KEYSTEAD_UNLOCK_PASSPHRASE": "unlock passphrase",
        "KEYSTEAD_ADMIN_PASSPHRASE": "admin passphrase",
    }
    ran = command("keys", "list", *options, **passphrase)
    assert ran.status == ExitStatus.WRONG_STATE
    assert "keystead provision" in ran.err
    assert command("provision", *options, **new).status == ExitStatus.DONE
    assert command("provision", *options).status == ExitStatus.WRONG_STATE
    assert command("lock", "--yes", *options, **passphrase).status == ExitStatus.DONE
    ran = command("keys", "list", *options, **passphrase)
    assert ran.status == ExitStatus.WRONG_STATE
    assert "The HSM is Locked: run 'keystead unlock'." in ran.err
    assert command("unlock", *options, **new).status == ExitStatus.DONE
    assert command("keys", "list", *options, **passphrase).status == ExitStatus.DONE


def test_what_is_not_there_is_6(keystead):
    assert keystead("keys", "show", "no-such-key").status == ExitStatus.NOT_FOUND


def test_a_dangerous_command_is_refused_when_nobody_can_be_asked(keystead):
    keystead("keys", "generate", "precious", "--type", "EC_P256")
    ran = keystead("keys", "remove", "precious")
    assert ran.status == ExitStatus.USAGE
    assert "--yes" in ran.err
    assert keystead("keys", "show", "precious").status == ExitStatus.DONE
    assert keystead("keys", "remove", "precious", "--yes").status == ExitStatus.DONE
    assert keystead("keys", "show", "precious").status == ExitStatus.NOT_FOUND
