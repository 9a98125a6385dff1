"""Every call of the SDK about users and namespaces."""

import time

import nethsm
import pytest
from nethsm import Role

# The certificate is self-signed, for no address.
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

PASSPHRASE = "a long passphrase"


def error(match: str):
    return pytest.raises(nethsm.NetHSMError, match=match)


def test_users_are_added_listed_shown_and_deleted(hsm) -> None:
    for role in Role:
        name = f"a-{role.value}"
        assert hsm.admin.add_user("Jane ✓", role, PASSPHRASE, name) == name
        assert hsm.admin.get_user(name) == nethsm.User(name, "Jane ✓", role)
        assert name in hsm.admin.list_users()
        hsm.admin.delete_user(name)
        assert name not in hsm.admin.list_users()
        with error(f"User {name} not found"):
            hsm.admin.get_user(name)


def test_a_user_s_id_is_made_up(hsm) -> None:
    made = hsm.admin.add_user("Jane", Role.OPERATOR, PASSPHRASE)
    assert made in hsm.admin.list_users()


def test_what_is_wrong_with_a_user_is_said(hsm) -> None:
    hsm.admin.add_user("Jane", Role.OPERATOR, PASSPHRASE, "jane")
    with error("Conflict -- a user with the ID jane already exists"):
        hsm.admin.add_user("Jane", Role.OPERATOR, PASSPHRASE, "jane")
    with error("User nobody not found"):
        hsm.admin.delete_user("nobody")
    with error("themselves"):
        hsm.admin.delete_user("admin")


def test_a_passphrase_is_changed(hsm) -> None:
    user = hsm.add_user("changing", Role.OPERATOR)
    user.set_passphrase("changing", "the new passphrase")
    with error("Unauthorized -- invalid username or password"):
        user.list_keys()
    time.sleep(1.1)  # this user has just failed
    assert hsm.client("changing", "the new passphrase").list_keys() == []
    with error("User nobody not found"):
        hsm.admin.set_passphrase("nobody", PASSPHRASE)


def test_an_operator_s_tags_are_added_listed_and_removed(hsm, operator) -> None:
    hsm.admin.add_operator_tag("operator", "berlin")
    hsm.admin.add_operator_tag("operator", "munich")
    assert operator.list_operator_tags("operator") == ["berlin", "munich"]
    hsm.admin.add_operator_tag("operator", "berlin")  # 304 is no error to the SDK
    hsm.admin.delete_operator_tag("operator", "berlin")
    assert hsm.admin.list_operator_tags("operator") == ["munich"]
    with error("User operator or tag berlin not found"):
        hsm.admin.delete_operator_tag("operator", "berlin")
    with error("Invalid tag format or user is not an operator"):
        hsm.admin.add_operator_tag("admin", "berlin")
    with error("User admin not found"):
        hsm.admin.list_operator_tags("admin")


def test_a_role_that_does_not_do_is_told_which_would(hsm, operator) -> None:
    with error("Access denied -- this operation requires the role Administrator"):
        operator.list_users()
    with error("Access denied -- this operation requires the role Metrics"):
        hsm.admin.get_metrics()


def test_metrics_are_read_by_metrics_users(hsm) -> None:
    metrics = hsm.add_user("meter", Role.METRICS).get_metrics()
    assert int(metrics["uptime"]) >= 0
    assert int(metrics["http response 200"]) > 0


def test_a_namespace_is_prepared_created_used_and_deleted(hsm) -> None:
    administrator = hsm.add_user("branch~admin", Role.ADMINISTRATOR)
    # The SDK refuses its own `branch~`, so that the root cannot have an ID made up there.
    named = hsm.admin.add_user("Jane", Role.OPERATOR, PASSPHRASE, "jane", namespace="branch")
    assert named == "branch~jane"
    with error("Access denied"):
        administrator.list_users()

    hsm.admin.add_namespace("branch")
    assert hsm.admin.list_namespaces() == ["branch"]
    assert administrator.list_users() == ["branch~admin", "branch~jane"]
    with error("already exists"):
        hsm.admin.add_namespace("branch")
    with error("Access denied"):
        hsm.admin.add_user("Jane", Role.OPERATOR, PASSPHRASE, "joe", namespace="branch")
    assert administrator.add_user("Jane", Role.OPERATOR, PASSPHRASE).startswith("branch~")

    mechanisms = [nethsm.KeyMechanism.ECDSA_SIGNATURE]
    administrator.generate_key(nethsm.KeyType.EC_P256, mechanisms, 256, "key")
    assert administrator.list_keys() == ["key"]
    assert hsm.admin.list_keys() == []
    signature = hsm.client("branch~jane", PASSPHRASE).sign(
        "key", nethsm.Base64.encode(bytes(32)), nethsm.SignMode.ECDSA
    )
    assert signature.decode()
    with error("Access denied"):
        administrator.list_namespaces()

    hsm.admin.delete_namespace("branch")
    assert hsm.admin.list_namespaces() == []
    with error("Access denied"):
        administrator.list_keys()
    with error("404"):
        hsm.admin.delete_namespace("branch")
