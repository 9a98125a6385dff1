"""What a person does in the console, from a new HSM to signatures, backups and what goes wrong."""

import base64
import os
import signal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import APIResponse, Browser, Page, Route, expect

from tests.console.conftest import PASSPHRASE, Console, console_at
from tests.support.server import UNLOCK, Server, running_server


def test_from_a_new_hsm_to_a_signature_that_verifies(browser: Browser, tmp_path: Path) -> None:
    document = tmp_path / "contract.txt"
    document.write_bytes(b"I agree.")
    with running_server(tmp_path) as server:
        for console in console_at(browser, server):
            provision(console)
            console.sign_in("admin", PASSPHRASE)
            console.says("What remains")
            make_operator_and_key(console)
            console.page.get_by_role("button", name="Sign out").click()
            console.sign_in("olga", "olgaPassphrase")
            signature = sign(console, document)
            verify(console, document, signature)
        server.passphrases["admin"] = PASSPHRASE
        pem = server.request("GET", "/keys/signer/public.pem", user="admin").body
    public = serialization.load_pem_public_key(pem)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature.read_bytes(), b"I agree.", ec.ECDSA(hashes.SHA256()))


def provision(console: Console) -> None:
    console.heading("A new HSM")
    console.fill("Provision", unlock=UNLOCK, unlockAgain=UNLOCK, admin=PASSPHRASE, adminAgain="x")
    console.press("Provision", "Provision")
    console.says("The two passphrases are not the same.")
    console.fill("Provision", adminAgain=PASSPHRASE)
    console.press("Provision", "Provision")
    console.heading("Sign in")


def make_operator_and_key(console: Console) -> None:
    console.open("users")
    console.unfold("New user")
    console.fill(
        "New user",
        id="olga",
        realName="Olga",
        passphrase="olgaPassphrase",
        again="olgaPassphrase",
    )
    console.press("New user", "Add")
    console.says("2 users")
    console.open("new-key")
    console.fill("Generate a key", id="signer", label="contracts")
    console.press("Generate a key", "Generate")
    console.heading("Key signer")
    console.says("contracts")


def sign(console: Console, document: Path) -> Path:
    console.open("keys")
    console.page.get_by_role("link", name="signer").click()
    form = console.page.get_by_role("form", name="Sign a file")
    form.locator("[name=file]").set_input_files(document)
    console.press("Sign a file", "Sign")
    console.says("Signed (SHA-256).")
    with console.page.expect_download() as download:
        form.get_by_role("button", name="Save the signature").click()
    signature = document.parent / "contract.sig"
    download.value.save_as(signature)
    return signature


def verify(console: Console, document: Path, signature: Path) -> None:
    form = console.page.get_by_role("form", name="Verify a file")
    form.locator("[name=file]").set_input_files(document)
    form.locator("[name=signature]").set_input_files(signature)
    console.press("Verify a file", "Verify")
    console.says("The signature is valid")
    document.with_suffix(".changed").write_bytes(b"I disagree.")
    form.locator("[name=file]").set_input_files(document.with_suffix(".changed"))
    console.press("Verify a file", "Verify")
    console.says("The signature is NOT valid")


@pytest.mark.parametrize(
    ("user", "sees"),
    [
        ("admin", "Overview Keys Users Namespaces Settings Backup System API"),
        ("operator", "Overview Keys API"),
        ("metrics", "Overview API"),
        ("backup", "Overview Backup API"),
    ],
)
def test_each_role_sees_what_it_may_do(
    console: Console, server: Server, user: str, sees: str
) -> None:
    if user != "admin":  # The console asks for what only some roles may read, to tell them apart.
        console.expected_errors += ["403", "404"]
    console.sign_in(user, server.passphrases[user])
    expect(console.page.locator(".who")).to_contain_text(user)
    shown = set(console.page.locator("nav a").all_inner_texts())
    assert set(sees.split()) <= shown
    assert ("Settings" in shown) == (user == "admin")


def test_a_wrong_passphrase_is_said(console: Console, server: Server) -> None:
    console.expected_errors += ["401"]
    server.add_user("clumsy", "Operator")
    console.sign_in("clumsy", "not the passphrase")
    console.says("The user or the passphrase is wrong.")


def test_a_refusal_for_a_while_says_for_how_long(console: Console, server: Server) -> None:
    console.expected_errors += ["429"]
    refusal = '{"message": "Too many attempts; wait a second."}'
    console.page.route(
        "**/users/admin",
        lambda route: route.fulfill(status=429, headers={"Retry-After": "1"}, body=refusal),
    )
    console.sign_in("admin", server.passphrases["admin"])
    console.says("Too many attempts; wait a second. Try again in 1 s.")


def test_a_lock_ends_the_session_and_an_unlock_asks_for_it_again(signed_in: Console) -> None:
    signed_in.expected_errors += ["403"]
    signed_in.open("system")
    signed_in.press("Lock", "Lock")
    signed_in.page.get_by_role("dialog").get_by_role("button", name="Lock").click()
    signed_in.heading("Locked")
    signed_in.fill("Unlock", passphrase="not the passphrase")
    signed_in.press("Unlock", "Unlock")
    expect(signed_in.page.get_by_role("alert")).to_be_visible()
    signed_in.page.wait_for_timeout(1500)  # At least the second of the brake.
    signed_in.fill("Unlock", passphrase=UNLOCK)
    signed_in.press("Unlock", "Unlock")
    signed_in.heading("Sign in")


def test_a_server_that_is_gone_is_said_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.provision()
        for console in console_at(browser, server):
            console.expected_errors += ["Failed to load resource", "503"]
            console.heading("Sign in")
            console.fill("Sign in", user="half typed")
            lost = console.page.get_by_text("The HSM cannot be reached now.")
            os.kill(server.child("core"), signal.SIGSTOP)
            expect(lost).to_be_visible()
            os.kill(server.child("core"), signal.SIGCONT)
            expect(lost).to_be_hidden()
            assert console.page.locator("[name=user]").input_value() == "half typed"


def test_a_passphrase_is_forgotten_after_a_quarter_of_an_hour(
    browser: Browser, server: Server
) -> None:
    for console in console_at(browser, server, has_paused_clock=True):
        console.sign_in("admin", server.passphrases["admin"])
        console.says("What remains")
        console.page.clock.fast_forward("14:59")  # Each timer that is due runs once.
        expect(console.page.locator(".who")).to_contain_text("admin")
        console.page.clock.fast_forward("00:04")
        console.heading("Sign in")


def test_nothing_of_a_session_is_kept_by_the_browser(signed_in: Console) -> None:
    kept = signed_in.page.evaluate(
        "async () => [Object.keys(localStorage), Object.keys(sessionStorage), document.cookie,"
        " (await indexedDB.databases()).length, (await caches.keys()).length]"
    )
    assert kept == [[], [], "", 0, 0]
    signed_in.page.reload()
    signed_in.heading("Sign in")


SHORT = "<img src=x onerror=alert(1)>"
HOSTILE = """<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>"""


def test_a_text_of_the_server_is_never_a_part_of_the_page(
    signed_in: Console, server: Server
) -> None:
    key = {"id": "hostile", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"], "label": SHORT}
    answer = server.request("POST", "/keys/generate", user="admin", json=key)
    assert answer.status == 201, answer
    headers = {"Content-Type": "application/octet-stream"}
    stored = server.request(
        "PUT", "/keys/hostile/cert", user="admin", body=HOSTILE.encode(), headers=headers
    )
    assert stored.status == 201, stored
    signed_in.open("keys")
    signed_in.says(SHORT)
    signed_in.open("key/hostile")
    signed_in.says(SHORT)
    signed_in.unfold("Certificate")
    signed_in.says("bytes that are not X.509")
    assert signed_in.page.locator("main img, main script").count() == 0
    assert "taken" not in signed_in.page.title()


def test_a_key_goes_only_when_its_id_is_typed(signed_in: Console, server: Server) -> None:
    key = {"id": "gone", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    assert server.request("POST", "/keys/generate", user="admin", json=key).status == 201
    signed_in.open("key/gone")
    signed_in.unfold("Change")
    signed_in.press("Delete", "Delete the key")
    dialog = signed_in.page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete the key")).to_be_disabled()
    dialog.get_by_role("textbox").fill("gone")
    dialog.get_by_role("button", name="Delete the key").click()
    signed_in.heading("Keys")
    assert server.request("GET", "/keys/gone", user="admin").status == 404


def test_a_key_file_is_imported(signed_in: Console, server: Server, tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "key.der"
    file.write_bytes(
        private.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    signed_in.open("new-key")
    signed_in.fill("Import a key", id="brought")
    form = signed_in.page.get_by_role("form", name="Import a key")
    form.locator("[name=file]").set_input_files(file)
    signed_in.press("Import a key", "Import")
    signed_in.heading("Key brought")
    shown = server.request("GET", "/keys/brought", user="admin").json()
    expected = private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    assert base64.b64decode(shown["public"]["data"]) == expected


def test_the_figures_of_a_metrics_user_are_drawn(console: Console, server: Server) -> None:
    console.expected_errors += ["403"]
    console.sign_in("metrics", server.passphrases["metrics"])
    console.says("Live figures")
    server.request("GET", "/keys", user="admin")
    captions = console.page.locator("figcaption")
    expect(captions.filter(has_text="Mean time of an answer")).to_contain_text("ms")
    expect(captions.filter(has_text="Slow operations that wait or run")).to_be_visible()
    expect(console.page.locator("dd").filter(has_text="GiB")).to_be_visible()
    console.unfold("All figures")
    console.says('keystead_work_under_way{work="keygen"}')


def test_pages_of_keys_follow_each_other(signed_in: Console, server: Server) -> None:
    for number in range(101):
        key = {"id": f"many{number:03}", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
        assert server.request("POST", "/keys/generate", user="admin", json=key).status == 201
    signed_in.open("keys")
    signed_in.fill("Filter keys", prefix="many")
    signed_in.press("Filter keys", "Show")
    expect(signed_in.page.locator("tbody tr")).to_have_count(100)
    signed_in.says("many099")
    signed_in.page.get_by_role("button", name="Next page").click()
    expect(signed_in.page.locator("tbody tr")).to_have_count(1)
    signed_in.says("many100")


def test_a_backup_made_here_restores_here(browser: Browser, server: Server, tmp_path: Path) -> None:
    passphrase = "backupPassphrase"
    body = {"newPassphrase": passphrase, "currentPassphrase": ""}
    assert server.request("PUT", "/config/backup-passphrase", user="admin", json=body).status == 204
    file = tmp_path / "keystead.backup"
    for console in console_at(browser, server):
        console.expected_errors += ["403", "404"]
        console.sign_in("backup", server.passphrases["backup"])
        console.open("backup")
        with console.page.expect_download() as download:
            console.press("Make a backup", "Make and save a backup")
        download.value.save_as(file)
    for console in console_at(browser, server):
        console.sign_in("admin", server.passphrases["admin"])
        console.says("A backup: the last one was made on")
    with running_server(tmp_path) as other:
        for console in console_at(browser, other):
            console.page.get_by_role("button", name="Restore a backup instead").click()
            form = console.page.get_by_role("form", name="Restore")
            form.locator("[name=file]").set_input_files(file)
            console.fill("Restore", passphrase=passphrase)
            console.press("Restore", "Restore")
            console.heading("Locked")


def test_an_approver_sees_who_asks_and_why_and_approves(browser: Browser, server: Server) -> None:
    for name in ("asker", "approver"):
        server.add_user(name, "Operator")
    key = {"id": "guarded", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    assert server.request("POST", "/keys/generate", user="admin", json=key).status == 201
    rule = {"required": 1, "approvers": ["approver"], "validSeconds": 600, "uses": 1}
    policy = {"approvals": rule}
    assert server.request("PUT", "/keys/guarded/policy", user="admin", json=policy).status == 204
    for console in console_at(browser, server):
        console.sign_in("asker", server.passphrases["asker"])
        console.open("approvals")
        console.fill("Ask for an approval", key="guarded", reason="release 1.2")
        console.press("Ask for an approval", "Ask")
        console.says("pending")
    for console in console_at(browser, server):
        console.sign_in("approver", server.passphrases["approver"])
        console.open("approvals")
        console.says("release 1.2")
        console.page.get_by_role("button", name="Approve the request of asker").click()
        console.says("granted")


def test_an_hsm_is_provisioned_and_unlocked_with_shares(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        for console in console_at(browser, server):
            provision_with_shares(console)
            console.says("These shares are shown once.")
            shares = console.page.locator("ol code").all_inner_texts()
            assert len(shares) == 3
            console.page.get_by_role("button", name="The shares are kept").click()
            console.heading("Sign in")
            server.request("POST", "/lock", user="admin", passphrase=PASSPHRASE)
            console.heading("Locked")
            console.fill("Unlock with shares", share=shares[0])
            console.press("Unlock with shares", "Give this share")
            console.says("1 of 2 shares are here.")
            console.fill("Unlock with shares", share=shares[2])
            console.press("Unlock with shares", "Give this share")
            console.heading("Sign in")


def provision_with_shares(console: Console) -> None:
    console.page.get_by_label("Split it among several people").check()
    console.fill("Provision", admin=PASSPHRASE, adminAgain=PASSPHRASE)
    console.press("Provision", "Provision")


def test_shares_stay_on_the_screen_whatever_the_hsm_does(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        for console in console_at(browser, server):
            console.expected_errors += ["Failed to load resource"]
            page = console.page
            late = answers_held_back(page, "**/provision")
            provision_with_shares(console)
            expect(page.locator("header .state")).to_have_text("Operational")  # A poll was first.
            ((route, answer),) = late
            route.fulfill(response=answer)
            shares = page.locator("ol code")
            expect(shares).to_have_count(3)
            server.request("POST", "/lock", user="admin", passphrase=PASSPHRASE)
            expect(page.locator("header .state")).to_have_text("Locked")
            page.evaluate("location.hash = '#/api'")
            server.stop()
            expect(page.get_by_text("The HSM cannot be reached now.")).to_be_visible()
            expect(shares).to_have_count(3)
            page.get_by_role("button", name="The shares are kept").click()
            console.heading("API")


def answers_held_back(page: Page, url: str) -> list[tuple[Route, APIResponse]]:
    """Have the server's answers gathered in this list; a test passes them on."""
    late: list[tuple[Route, APIResponse]] = []
    page.route(url, lambda route: late.append((route, route.fetch())))
    return late


def test_shares_that_did_not_arrive_are_said_to_be_lost(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        for console in console_at(browser, server):
            console.expected_errors += ["Failed to load resource"]
            page = console.page
            page.route("**/provision", lambda route: (route.fetch(), route.abort()))
            provision_with_shares(console)
            expect(page.locator("header .state")).to_have_text("Operational")
            console.says("with the shares, did not arrive")
            page.get_by_role("button", name="Go on").click()
            console.heading("Sign in")


def test_an_operation_is_tried_from_its_description(signed_in: Console) -> None:
    signed_in.open("api")
    signed_in.page.locator("summary", has_text="GET /system/info").click()
    signed_in.press("Try GET /system/info", "GET it")
    signed_in.says('"softwareVersion"')


def test_an_auditor_reads_and_verifies_the_journal(browser: Browser, server: Server) -> None:
    server.add_user("auditor", "Auditor")
    for console in console_at(browser, server):
        console.expected_errors += ["403"]
        console.sign_in("auditor", server.passphrases["auditor"])
        console.open("journal")
        console.says("PUT /users/{user_id}")
        console.press("Verify", "Verify the journal here")
        console.says("lines are whole, and signed up to number")
        console.fill("Entries", text="auditor")
        console.press("Entries", "Show")
        console.says("PUT /users/{user_id}")
