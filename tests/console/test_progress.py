"""Long uploads and downloads say how far they are, and can be stopped without a trace."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.console.conftest import Console, console_at
from tests.support.server import Server, running_server

BACKUP = "backupPassphrase"
SLOW = 200_000
"""Bytes a second: a file of some MB is far from sent while a test looks at it."""
LONG = bytes(8_000_000)
PERCENT = re.compile(r"^[1-9]\d? % sent$")


@contextmanager
def slow(page: Page) -> Iterator[None]:
    """Have the browser send and receive slowly."""
    session = page.context.new_cdp_session(page)

    def limit(rate: int) -> None:
        at_most = {"latency": 0, "downloadThroughput": rate, "uploadThroughput": rate}
        session.send("Network.emulateNetworkConditions", {"offline": False, **at_most})

    session.send("Network.enable")
    limit(SLOW)
    yield
    limit(-1)
    session.detach()


def stop_when_under_way(console: Console, form: str, said: re.Pattern[str]) -> None:
    """Cancel what a form does when its progress says so."""
    shown = console.page.get_by_role("form", name=form, exact=True)
    expect(shown.get_by_role("progressbar")).to_be_visible()
    expect(shown.locator(".buttons span")).to_have_text(said)
    shown.get_by_role("button", name="Cancel").click()
    expect(shown.get_by_role("alert")).to_have_text("It was stopped.")
    expect(shown.get_by_role("progressbar")).to_have_count(0)
    expect(shown.locator("button[type=submit]")).to_be_enabled()


def choose(console: Console, form: str, content: bytes) -> None:
    file = {"name": "file", "mimeType": "application/octet-stream", "buffer": content}
    console.page.get_by_role("form", name=form, exact=True).locator("[name=file]").set_input_files(
        [file]
    )


@pytest.fixture
def admin(signed_in: Console) -> Console:
    signed_in.expected_errors += ["Failed to load resource"]
    return signed_in


def test_an_update_says_how_much_is_sent_and_is_stopped(admin: Console, server: Server) -> None:
    admin.open("system")
    admin.unfold("Update")
    choose(admin, "Update", LONG)
    with slow(admin.page):
        admin.press("Update", "Upload")
        stop_when_under_way(admin, "Update", PERCENT)
    assert server.request("POST", "/system/cancel-update", user="admin").status == 412


def test_a_restore_that_is_stopped_changes_nothing(admin: Console, server: Server) -> None:
    users = server.request("GET", "/users", user="admin").json()
    admin.open("backup")
    choose(admin, "Restore", LONG)
    admin.fill("Restore", passphrase=BACKUP)
    with slow(admin.page):
        admin.press("Restore", "Restore")
        stop_when_under_way(admin, "Restore", PERCENT)
    assert server.state() == "Operational"
    assert server.request("GET", "/users", user="admin").json() == users


def test_a_restore_into_a_new_hsm_is_stopped(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        for console in console_at(browser, server):
            console.expected_errors += ["Failed to load resource"]
            console.open("backup")
            choose(console, "Restore", LONG)
            console.fill("Restore", passphrase=BACKUP)
            with slow(console.page):
                console.press("Restore", "Restore")
                stop_when_under_way(console, "Restore", PERCENT)
            console.page.get_by_role("button", name="Provision a new HSM instead").click()
            console.heading("A new HSM")


def test_a_file_that_has_gone_is_not_stopped_any_more(admin: Console, server: Server) -> None:
    core = server.child("core")

    def pass_on(route: Route) -> None:
        os.kill(core, signal.SIGSTOP)
        route.continue_()

    admin.page.route("**/system/restore", pass_on)
    admin.open("backup")
    choose(admin, "Restore", b"no backup")
    admin.fill("Restore", passphrase=BACKUP)
    admin.press("Restore", "Restore")
    form = admin.page.get_by_role("form", name="Restore")
    expect(form).to_contain_text("Sent. The HSM works on it.")
    expect(form.get_by_role("button", name="Cancel")).to_have_count(0)
    os.kill(core, signal.SIGCONT)
    expect(form.get_by_role("alert")).to_be_visible()


def test_a_user_that_is_gone_is_refused_before_a_file_is_sent(admin: Console) -> None:
    sent = []
    admin.page.on("request", lambda request: sent.append(request.url.rpartition("/api/v1")[2]))
    admin.open("backup")
    refusal = {"message": "The user or the passphrase is wrong."}
    admin.page.route("**/system/info", lambda route: route.fulfill(status=401, json=refusal))
    choose(admin, "Restore", LONG)
    admin.fill("Restore", passphrase=BACKUP)
    admin.press("Restore", "Restore")
    admin.says(refusal["message"])
    assert "/system/restore" not in sent


def test_a_backup_says_how_much_has_come_and_is_stopped(browser: Browser, server: Server) -> None:
    body = {"newPassphrase": BACKUP, "currentPassphrase": ""}
    assert server.request("PUT", "/config/backup-passphrase", user="admin", json=body).status == 204
    for number in range(4):
        key = {"id": f"big{number}", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
        assert server.request("POST", "/keys/generate", user="admin", json=key).status == 201
        path, headers = f"/keys/big{number}/cert", {"Content-Type": "application/octet-stream"}
        certificate = bytes(1_000_000)
        stored = server.request("PUT", path, user="admin", body=certificate, headers=headers)
        assert stored.status == 201, stored
    for console in console_at(browser, server):
        console.expected_errors += ["Failed to load resource", "403", "404"]
        console.sign_in("backup", server.passphrases["backup"])
        console.open("backup")
        with slow(console.page):
            console.press("Make a backup", "Make and save a backup")
            stop_when_under_way(console, "Make a backup", re.compile(r"^0\.[1-9] MiB in \d+ s$"))
        with console.page.expect_download():
            console.press("Make a backup", "Make and save a backup")
        console.says("The backup has")
