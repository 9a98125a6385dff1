"""What a person does in the console, from a new HSM to signatures and backups."""

import itertools
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Browser, Route, expect

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
            console.says("no second place: an older copy of the whole database is not noticed")
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
    console.says("Strength: strong")
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


def test_times_are_in_the_zone_of_the_browser_and_in_utc(signed_in: Console) -> None:
    page = signed_in.page
    zone = {"timezoneId": "Asia/Kolkata"}
    page.context.new_cdp_session(page).send("Emulation.setTimezoneOverride", zone)
    signed_in.open("journal")
    shown = page.get_by_role("region", name="Entries").locator("time").first.inner_text()
    local, _, utc = shown.rstrip("Z)").partition(" (")
    moment = datetime.fromisoformat(utc) + timedelta(hours=5, minutes=30)
    local = " ".join(local.split())  # With one kind of space.
    assert datetime.strptime(local, "%m/%d/%Y, %I:%M:%S %p") == moment  # noqa: DTZ007 - as shown


def test_each_page_begins_at_its_top(console: Console, server: Server) -> None:
    console.page.set_viewport_size({"width": 360, "height": 400})
    console.sign_in("admin", server.passphrases["admin"])
    console.says("What remains")
    assert console.page.evaluate("scrollY") == 0
    console.page.evaluate("scrollTo(0, 9999)")
    assert console.page.evaluate("scrollY") > 0
    console.open("settings")
    assert console.page.evaluate("scrollY") == 0


def test_a_wrong_passphrase_is_said(console: Console, server: Server) -> None:
    console.expected_errors += ["401"]
    server.add_user("clumsy", "Operator")
    console.sign_in("clumsy", "not the passphrase")
    console.says("The user or the passphrase is wrong.")


def test_failed_logins_are_listed(signed_in: Console, server: Server) -> None:
    server.add_user("guessed", "Operator")
    assert server.request("GET", "/keys", user="guessed", passphrase="a guess").status == 401
    signed_in.open("system")
    signed_in.open("")
    expect(signed_in.page.get_by_role("region", name="Failed logins")).to_contain_text("guessed")


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


def test_the_time_of_an_answer_is_the_mean_since_the_look_before(
    console: Console, server: Server
) -> None:
    console.expected_errors += ["403"]
    looks = itertools.count()

    def answer(route: Route) -> None:
        if "text/plain" not in route.request.headers["accept"]:
            return route.continue_()
        look = next(looks)
        name = "keystead_http_response_seconds"
        return route.fulfill(body=f"{name}_sum {2 * look}\n{name}_count {10 * look}\n")

    console.page.route("**/metrics", answer)
    console.sign_in("metrics", server.passphrases["metrics"])
    console.says("Mean time of an answer: 200.00 ms, at most 200.00 ms")


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


def test_an_approver_sees_who_asks_and_why_and_decides(browser: Browser, server: Server) -> None:
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
        console.page.get_by_role("button", name="Refuse the request of asker").click()
        console.says("refused by approver")
        again = {"reason": "release 1.3"}
        asked = server.request("POST", "/keys/guarded/approvals", user="asker", json=again)
        assert asked.status == 201
        console.page.get_by_role("link", name="Approvals").click()
        console.page.get_by_role("button", name="Approve the request of asker").click()
        console.says("granted")


def test_an_administrator_of_a_namespace_makes_users_and_keys_there(
    console: Console, server: Server
) -> None:
    server.add_user("tenant~boss", "Administrator")
    assert server.request("PUT", "/namespaces/tenant", user="admin").status == 204
    console.sign_in("tenant~boss", server.passphrases["tenant~boss"])
    expect(console.page.locator("header .who")).to_contain_text("tenant~boss")
    console.open("users")
    console.unfold("New user")
    passphrase = "olgaPassphrase"
    console.fill(
        "New user", id="tenant~olga", realName="Olga", passphrase=passphrase, again=passphrase
    )
    console.press("New user", "Add")
    console.says("2 users")
    console.open("new-key")
    console.fill("Generate a key", id="inside")
    console.press("Generate a key", "Generate")
    console.heading("Key inside")
    assert server.request("GET", "/keys/inside", user="tenant~boss").status == 200
    assert server.request("GET", "/keys/inside", user="admin").status == 404


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
        assert server.request("DELETE", "/journal?upto=2", user="auditor").status == 204
        console.fill("Entries", **{"from": "1"}, text="")
        console.press("Entries", "Show")
        console.says("From number 3")
