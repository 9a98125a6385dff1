"""The console offers nothing that the HSM would refuse this user, for this key, for certain."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from keystead import algorithms
from tests.console.conftest import Console, console_at
from tests.support.server import Server

KEYS = [(row.name, one.name) for row in algorithms.ALL for one in row.mechanisms]
LENGTHS = {"RSA": 1024, "Generic": 256}
NAMED = {"required": 1, "approvers": ["approver"], "validSeconds": 600, "uses": 1}


def signed_in_as(browser: Browser, server: Server, user: str) -> Iterator[Console]:
    for console in console_at(browser, server):
        console.expected_errors += ["403", "404"]
        console.sign_in(user, server.passphrases[user])
        expect(console.page.locator("header .who")).to_contain_text(user)
        yield console


def make_key(server: Server, key_id: str, kind: str, mechanism: str) -> None:
    key = {"id": key_id, "type": kind, "mechanisms": [mechanism]}
    if kind in LENGTHS:
        key["length"] = LENGTHS[kind]
    answer = server.request("POST", "/keys/generate", user="admin", json=key)
    assert answer.status == 201, answer


def test_a_certificate_request_is_offered_for_each_key_that_signs_one(
    console: Console, server: Server
) -> None:
    offered = console.page.evaluate(
        """async (keys) => {
          const { signsRequests } = await import("/console/mechanisms.js");
          return keys.map(([type, mechanism]) => [true, false].map((isAdmin) =>
            signsRequests({ type, mechanisms: [mechanism] }, isAdmin)));
        }""",
        KEYS,
    )
    for number, (kind, mechanism) in enumerate(KEYS):
        key_id = f"request{number}"
        make_key(server, key_id, kind, mechanism)
        body = {"commonName": "a.example"}
        answers = [
            server.request("POST", f"/keys/{key_id}/csr.pem", user=user, json=body).status
            for user in ("admin", "operator")
        ]
        assert offered[number] == [status == 200 for status in answers], (kind, mechanism)


def test_the_page_of_a_key_follows_its_type(browser: Browser, server: Server) -> None:
    make_key(server, "offer-bip32", "BIP32", "ECDSA_Signature")
    make_key(server, "offer-p256", "EC_P256", "ECDSA_Signature")
    for console in signed_in_as(browser, server, "operator"):
        console.open("key/offer-p256")
        request = console.page.get_by_text("Certificate signing request")
        expect(request).to_be_visible()
        console.open("key/offer-bip32")
        expect(console.page.get_by_role("form", name="Sign a file")).to_be_visible()
        expect(request).to_have_count(0)


def test_a_key_with_tags_is_used_by_operators_who_have_one(
    browser: Browser, server: Server
) -> None:
    make_key(server, "offer-tagged", "EC_P256", "ECDSA_Signature")
    server.add_user("tagged", "Operator")
    tag = "/keys/offer-tagged/restrictions/tags/legal"
    assert server.request("PUT", tag, user="admin").status == 204
    for console in signed_in_as(browser, server, "tagged"):
        console.open("key/offer-tagged")
        console.says("for operators with one of these tags, which you do not have: legal.")
        expect(console.page.get_by_role("form")).to_have_count(0)
        assert server.request("PUT", "/users/tagged/tags/legal", user="admin").status == 204
        console.open("keys")
        console.open("key/offer-tagged")
        expect(console.page.get_by_role("form", name="Sign a file")).to_be_visible()


def test_users_of_a_namespace_are_changed_by_its_own_administrators(
    browser: Browser, filled: Server
) -> None:
    for user, forms in (("admin", 0), ("tenant~boss", 3)):
        for console in signed_in_as(browser, filled, user):
            console.open("users")
            console.unfold("tenant~olga")
            console.says("Real name")
            expect(console.page.locator("section details form")).to_have_count(forms)


@pytest.mark.parametrize(("approver", "buttons"), [("approver", 0), ("admin", 2)])
def test_an_administrator_decides_only_what_the_policy_says(
    browser: Browser, server: Server, approver: str, buttons: int
) -> None:
    key_id = f"asked-{approver}"
    make_key(server, key_id, "EC_P256", "ECDSA_Signature")
    policy = {"approvals": {**NAMED, "approvers": [approver]}}
    answer = server.request("PUT", f"/keys/{key_id}/policy", user="admin", json=policy)
    assert answer.status == 204, answer
    reason = {"reason": "the release"}
    path = f"/keys/{key_id}/approvals"
    assert server.request("POST", path, user="operator", json=reason).status == 201
    for console in signed_in_as(browser, server, "admin"):
        console.open("approvals")
        row = console.page.locator("tr", has_text=key_id)
        expect(row).to_contain_text("pending")
        expect(row.get_by_role("button")).to_have_count(buttons)
