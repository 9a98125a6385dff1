"""The first hour of docs/console.md, by its page alone: from a new HSM to shares that unlock it."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Browser, Locator, expect

from tests.console.conftest import IS_WALK, PASSPHRASE, Console, console_at
from tests.support.authority import Authority
from tests.support.server import Server, running_server

BACKUP = "backupPassphrase"
USERS = {"olga": "Operator", "paul": "Operator", "nightly": "Backup", "audit": "Auditor"}


@pytest.mark.skipif(not IS_WALK, reason="one person's walk through everything takes a minute")
def test_the_first_hour(browser: Browser, tmp_path: Path) -> None:
    document = tmp_path / "contract.txt"
    document.write_bytes(b"I agree.")
    with running_server(tmp_path) as server:
        for console in console_at(browser, server):
            console.expected_errors += ["403", "404"]
            shares = provision_with_shares(console)
            become(console, "admin")
            make_users_and_a_key(console)
            certify(console, tmp_path)
            require_approval(console)
            set_up_the_rest(console)
            become(console, "olga")
            sign_when_approved(console, document)
            become(console, "nightly")
            backup = make_backup(console, tmp_path)
            become(console, "audit")
            console.open("journal")
            console.press("Verify", "Verify the journal here")
            console.says("lines are whole, and signed up to number")
            become(console, "admin")
            lock_and_unlock(console, shares)
            become(console, "admin")
            restore(console, backup)
        server.passphrases["admin"] = PASSPHRASE
        restart_unlocks_by_itself(server)


def become(console: Console, user: str) -> None:
    sign_out = console.page.get_by_role("button", name="Sign out")
    if sign_out.is_visible():
        sign_out.click()
    console.heading("Sign in")
    console.sign_in(user, PASSPHRASE)
    expect(console.page.locator("header .who")).to_contain_text(user)


def provision_with_shares(console: Console) -> list[str]:
    console.page.get_by_label("Split it among several people").check()
    console.fill("Provision", admin=PASSPHRASE, adminAgain=PASSPHRASE)
    console.press("Provision", "Provision")
    console.says("These shares are shown once.")
    shares = console.page.locator("ol code").all_inner_texts()
    console.page.get_by_role("button", name="The shares are kept").click()
    return shares


def remaining(console: Console, text: str) -> Locator:
    console.open("")
    return console.page.locator(".todo li", has_text=text).get_by_role("link")


def make_users_and_a_key(console: Console) -> None:
    remaining(console, "An operator").click()
    for number, (user, role) in enumerate(USERS.items()):
        console.unfold("New user")
        console.fill("New user", id=user, realName=user, passphrase=PASSPHRASE, again=PASSPHRASE)
        form = console.page.get_by_role("form", name="New user")
        form.locator("[name=role]").select_option(role)
        console.press("New user", "Add")
        console.says(f"{number + 2} users")
    console.page.get_by_role("link", name="Keys").click()
    console.page.get_by_role("button", name="New key").click()
    console.fill("Generate a key", id="signer")
    console.press("Generate a key", "Generate")
    console.heading("Key signer")


def certify(console: Console, directory: Path) -> None:
    console.unfold("Certificate signing request")
    console.fill("Certificate signing request", commonName="signer")
    console.press("Certificate signing request", "Make the request")
    shown = console.page.get_by_role("form", name="Certificate signing request").locator("pre")
    request = x509.load_pem_x509_csr(shown.inner_text().encode())
    issued = Authority("ours").certify(request.public_key(), request.subject)
    file = directory / "signer.pem"
    file.write_bytes(issued.public_bytes(Encoding.PEM))
    console.unfold("Certificate")
    form = console.page.get_by_role("form", name="Store a certificate")
    form.locator("[name=file]").set_input_files(file)
    console.press("Store a certificate", "Store")
    console.says("CN=ours")


def require_approval(console: Console) -> None:
    console.unfold("Policy")
    form = console.page.get_by_role("form", name="Set the policy")
    form.get_by_role("button", name="Add: approvals").click()
    text = form.locator("textarea")
    text.fill(text.input_value().replace("USER", "paul"))
    console.press("Set the policy", "Set the policy")
    console.says("The policy is set.")


def set_up_the_rest(console: Console) -> None:
    remaining(console, "A backup passphrase").click()
    console.fill("Backup passphrase", newPassphrase=BACKUP, again=BACKUP)
    console.press("Backup passphrase", "Change")
    console.says("The passphrase is changed.")
    remaining(console, "A decision about unattended boot").click()
    form = console.page.get_by_role("form", name="Unattended boot")
    form.locator("[name=status]").select_option("on")
    console.press("Unattended boot", "Set")
    console.says("Unattended boot is on.")


def sign(console: Console, document: Path, said: str) -> None:
    console.page.get_by_role("link", name="Keys").click()
    console.page.get_by_role("link", name="signer").click()
    form = console.page.get_by_role("form", name="Sign a file")
    form.locator("[name=file]").set_input_files(document)
    console.press("Sign a file", "Sign")
    expect(form).to_contain_text(said)


def sign_when_approved(console: Console, document: Path) -> None:
    sign(console, document, "approval")
    console.page.get_by_role("link", name="Approvals").click()
    console.fill("Ask for an approval", key="signer", reason="the contract")
    console.press("Ask for an approval", "Ask")
    console.says("pending")
    become(console, "paul")
    console.page.get_by_role("link", name="Approvals").click()
    console.page.get_by_role("button", name="Approve the request of olga").click()
    console.says("granted")
    become(console, "olga")
    sign(console, document, "Signed (SHA-256).")


def make_backup(console: Console, directory: Path) -> Path:
    console.page.get_by_role("link", name="Make a backup").click()
    with console.page.expect_download() as download:
        console.press("Make a backup", "Make and save a backup")
    file = directory / "first.backup"
    download.value.save_as(file)
    return file


def lock_and_unlock(console: Console, shares: list[str]) -> None:
    console.page.get_by_role("link", name="System").click()
    console.press("Lock", "Lock")
    console.page.get_by_role("dialog").get_by_role("button", name="Lock").click()
    console.heading("Locked")
    for share, said in zip(shares[:2], ("1 of 2 shares are here.", "Sign in"), strict=True):
        console.fill("Unlock with shares", share=share)
        console.press("Unlock with shares", "Give this share")
        console.says(said)


def restore(console: Console, backup: Path) -> None:
    console.page.get_by_role("link", name="Backup").click()
    console.page.get_by_role("form", name="Restore").locator("[name=file]").set_input_files(backup)
    console.fill("Restore", passphrase=BACKUP)
    console.press("Restore", "Restore")
    console.says("The backup is restored.")


def restart_unlocks_by_itself(server: Server) -> None:
    assert server.request("POST", "/system/reboot", user="admin").status == 204
    server.wait_ready(times=2)
    assert server.ready_state == "Operational"
