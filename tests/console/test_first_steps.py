"""What helps someone who is here for the first time: the page says the next step, leads there."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.console.conftest import Console, console_at, make_key
from tests.support.server import UNLOCK, Server


def test_the_list_of_what_remains_leads_to_each_setting(signed_in: Console) -> None:
    remaining = signed_in.page.locator(".todo").first.locator("li")
    decision = remaining.filter(has_text="A decision about unattended boot, which is off")
    expect(decision).to_contain_text("open")
    expect(remaining.filter(has_text="An auditor")).to_contain_text("open")
    decision.get_by_role("link").click()
    signed_in.heading("Settings")
    signed_in.press("Unattended boot", "Set")
    signed_in.says("Unattended boot is off.")
    signed_in.open("")
    expect(decision).to_contain_text("done")
    remaining.filter(has_text="A backup passphrase").get_by_role("link").click()
    expect(signed_in.page.get_by_role("form", name="Backup passphrase")).to_be_visible()


def test_an_administrator_is_told_how_a_backup_is_made(signed_in: Console) -> None:
    signed_in.open("backup")
    signed_in.page.get_by_role("link", name="set the backup passphrase").click()
    expect(signed_in.page.get_by_role("form", name="Backup passphrase")).to_be_visible()
    signed_in.open("backup")
    signed_in.page.get_by_role("link", name="Add one").click()
    signed_in.heading("Users")


@pytest.mark.parametrize(
    ("user", "step", "heading"),
    [("operator", "Choose a key", "Keys"), ("backup", "Make a backup", "Backup")],
)
def test_the_overview_leads_to_what_a_role_does(
    console: Console, server: Server, user: str, step: str, heading: str
) -> None:
    console.expected_errors += ["403"]
    console.sign_in(user, server.passphrases[user])
    console.page.get_by_role("link", name=step).click()
    console.heading(heading)


def test_a_policy_is_made_of_examples(signed_in: Console, server: Server) -> None:
    signed_in.expected_errors += ["404"]  # There is none at first.
    make_key(server, "exemplary", by="admin")
    signed_in.open("key/exemplary")
    signed_in.unfold("Policy")
    form = signed_in.page.get_by_role("form", name="Set the policy")
    text = form.locator("textarea")
    expect(text).to_be_visible()
    for button in form.get_by_role("button").filter(has_text="Add: ").all():
        button.click()
    policy = json.loads(text.input_value())
    assert len(policy) == 8
    policy["approvals"]["approvers"] = ["admin"]
    text.fill(json.dumps(policy))
    signed_in.press("Set the policy", "Set the policy")
    signed_in.says("The policy is set.")
    text.fill("not JSON")
    form.get_by_role("button", name="Add: approvals").click()
    expect(form.get_by_role("alert")).to_contain_text("Not JSON")
    stored = server.request("GET", "/keys/exemplary/policy", user="admin").json()
    assert {name: stored[name] for name in policy} == policy


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
@pytest.mark.parametrize(
    ("kind", "mechanism"),
    [
        ("EC_P256", "ECDSA_Signature"),
        ("EC_P521", "ECDSA_Signature"),
        ("RSA", "RSA_Signature_PKCS1"),
    ],
)
def test_openssl_verifies_a_signature_as_the_page_says(
    browser: Browser, server: Server, tmp_path: Path, kind: str, mechanism: str
) -> None:
    key = {"id": f"open-{kind}", "type": kind, "mechanisms": [mechanism]}
    if kind == "RSA":
        key["length"] = 2048
    assert server.request("POST", "/keys/generate", user="admin", json=key).status == 201
    document = tmp_path / "it's a $(false) contract.txt"
    document.write_bytes(b"I agree.")
    for console in console_at(browser, server):
        console.sign_in("operator", server.passphrases["operator"])
        console.says("Choose a key")
        console.open(f"key/open-{kind}")
        form = console.page.get_by_role("form", name="Sign a file")
        form.locator("[name=file]").set_input_files(document)
        console.press("Sign a file", "Sign")
        with console.page.expect_download() as download:
            form.get_by_role("button", name="Save the signature").click()
        download.value.save_as(tmp_path / f"{document.name}.sig")
        with console.page.expect_download() as download:
            console.page.get_by_role("button", name="Save public.pem").click()
        download.value.save_as(tmp_path / "public.pem")
        command = shlex.split(form.locator("code").inner_text())
    ran = subprocess.run(  # noqa: S603 - this is what the page says
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.stdout == "Verified OK\n", ran.stderr


def test_what_the_hsm_has_not_looked_at_need_not_be_typed_again(console: Console) -> None:
    console.expected_errors += ["400", "403", "429", "503"]
    statuses = [429, 503, 403]

    def refuse(route: Route) -> None:
        route.fulfill(status=statuses.pop(0), json={"message": "Refused by a test."})

    console.page.route("**/unlock", refuse)
    console.page.route("**/health/state", lambda route: route.fulfill(json={"state": "Locked"}))
    console.heading("Locked")
    form = console.page.get_by_role("form", name="Unlock with shares")
    share = form.locator("[name=share]")
    share.fill(UNLOCK)
    for kept in (UNLOCK, UNLOCK, ""):
        console.press("Unlock with shares", "Give this share")
        expect(form.get_by_role("alert")).to_be_visible()
        expect(form.locator("button")).to_be_enabled()
        expect(share).to_have_value(kept)
    assert statuses == []


def test_one_of_many_users_is_found(signed_in: Console) -> None:
    users = [{"user": f"user{number:05}"} for number in range(20_000)]
    signed_in.page.route("**/api/v1/users", lambda route: route.fulfill(json=users))
    signed_in.open("users")
    signed_in.says("20000 users")
    signed_in.says("100 of 20000 users are shown.")
    signed_in.page.get_by_label("Find a user").fill("1999")
    signed_in.says("12 of 12 users are shown.")
    expect(signed_in.page.locator("summary", has_text="user19990")).to_be_visible()
    signed_in.page.get_by_label("Find a user").fill("nobody")
    signed_in.says("0 of 0 users are shown.")
