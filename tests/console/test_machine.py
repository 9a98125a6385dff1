"""What an administrator does with the whole HSM in the console: updates, restarts, restores."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.console.conftest import Console, console_at
from tests.support.server import Server, running_server
from tests.support.update_images import key_pair, signed

CONFIG = '[update]\npublic_key = "update.pem"\n'
UNLOCK = "another unlock passphrase"
BACKUP = "backupPassphrase"


def test_an_hsm_is_updated_restored_rebooted_and_shut_down(
    browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "update.pem").write_bytes(key_pair(0)[1])
    with running_server(tmp_path, config=CONFIG) as server:
        server.provision()
        backup = tmp_path / "keystead.backup"
        backup.write_bytes(made_backup(server))
        for console in console_at(browser, server):
            # A server without its own updater says so, and the connections of a reboot are lost.
            console.expected_errors += ["412", "Failed to load resource"]
            console.sign_in("admin", server.passphrases["admin"])
            console.says("What remains")
            update(console, tmp_path / "update.image")
            restore(console, backup, server)
            change_unlock_passphrase(console)
            reboot(console, server)
            shut_down(console, server)


def made_backup(server: Server) -> bytes:
    server.add_user("nightly", "Backup")
    key = {"id": "kept", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    assert server.request("POST", "/keys/generate", user="admin", json=key).status == 201
    body = {"newPassphrase": BACKUP, "currentPassphrase": ""}
    assert server.request("PUT", "/config/backup-passphrase", user="admin", json=body).status == 204
    return server.request("POST", "/system/backup", user="nightly").body


def update(console: Console, image: Path) -> None:
    image.write_bytes(signed(release_notes="Better than before."))
    console.open("system")
    console.unfold("Update")
    form = console.page.get_by_role("form", name="Update", exact=True)
    form.locator("[name=file]").set_input_files(image)
    console.press("Update", "Upload")
    console.says("Better than before.")
    console.press("Install", "Install this update")
    console.says("package manager")
    console.press("Drop", "Drop this update")
    console.says("The update is dropped.")


def restore(console: Console, backup: Path, server: Server) -> None:
    assert server.request("DELETE", "/keys/kept", user="admin").status == 204
    console.open("backup")
    console.says("replace those that are here")
    form = console.page.get_by_role("form", name="Restore")
    form.locator("[name=file]").set_input_files(backup)
    console.fill("Restore", passphrase="not the passphrase")
    console.press("Restore", "Restore")
    expect(form.get_by_role("alert")).to_be_visible()
    console.fill("Restore", passphrase=BACKUP)
    console.press("Restore", "Restore")
    console.says("The backup is restored.")
    assert server.request("GET", "/keys/kept", user="admin").status == 200


def change_unlock_passphrase(console: Console) -> None:
    console.open("settings")
    console.unfold("Unlock passphrase")
    console.fill(
        "Unlock passphrase", currentPassphrase="unlockPassphrase", newPassphrase=UNLOCK, again="x"
    )
    console.press("Unlock passphrase", "Change")
    console.says("The two passphrases are not the same.")
    console.fill("Unlock passphrase", again=UNLOCK)
    console.press("Unlock passphrase", "Change")
    console.says("The passphrase is changed.")


def reboot(console: Console, server: Server) -> None:
    console.open("system")
    confirm(console, "Reboot")
    server.wait_ready(times=2)
    console.heading("Locked")
    console.fill("Unlock", passphrase=UNLOCK)
    console.press("Unlock", "Unlock")
    console.heading("Sign in")
    console.sign_in("admin", server.passphrases["admin"])
    console.heading("System")


def shut_down(console: Console, server: Server) -> None:
    confirm(console, "Shut down")
    expect(console.page.get_by_text("The HSM cannot be reached now.")).to_be_visible()
    assert server.wait() == 0


def confirm(console: Console, action: str) -> None:
    console.press(action, action)
    dialog = console.page.get_by_role("dialog")
    dialog.get_by_role("button", name=action, exact=True).click()
