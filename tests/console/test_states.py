"""What the console shows while the HSM changes its state, is out of reach, or ends a session."""

import os
import signal
from datetime import timedelta
from functools import partial
from pathlib import Path

from playwright.sync_api import APIResponse, Browser, Page, Route, expect

from tests.console.conftest import PASSPHRASE, PAUSED_AT, Console, console_at
from tests.support.server import UNLOCK, Server, running_server


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
    signed_in.expected_errors += ["403", "429"]
    signed_in.open("system")
    signed_in.press("Lock", "Lock")
    signed_in.page.get_by_role("dialog").get_by_role("button", name="Lock").click()
    signed_in.heading("Locked")
    signed_in.fill("Unlock", passphrase="not the passphrase")
    signed_in.press("Unlock", "Unlock")
    expect(signed_in.page.get_by_role("alert")).to_be_visible()
    signed_in.wait_until(partial(is_unlocked, signed_in))  # The brake takes at least a second.


def is_unlocked(console: Console) -> bool:
    """Give the unlock passphrase; return whether the HSM has taken it."""
    console.fill("Unlock", passphrase=UNLOCK)
    console.press("Unlock", "Unlock")
    signs_in = console.page.get_by_role("form", name="Sign in")
    expect(console.page.get_by_role("alert").or_(signs_in).first).to_be_visible()
    return signs_in.is_visible()


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


def test_a_failed_hsm_is_said_and_comes_back(console: Console) -> None:
    state = "**/health/state"
    console.page.route(state, lambda route: route.fulfill(json={"state": "Failed"}))
    console.heading("The HSM has failed")
    console.page.unroute(state)
    console.heading("Sign in")


def test_an_hsm_out_of_reach_from_the_start_is_said(browser: Browser, server: Server) -> None:
    for console in console_at(browser, server):
        console.expected_errors += ["Failed to load resource"]
        console.page.route("**/api/v1/**", lambda route: route.abort())
        console.page.reload()
        console.heading("The HSM cannot be reached")
        console.page.unroute("**/api/v1/**")
        console.heading("Sign in")


def test_a_factory_reset_makes_a_new_hsm(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.provision()
        for console in console_at(browser, server):
            console.expected_errors += ["Failed to load resource"]
            console.sign_in("admin", server.passphrases["admin"])
            console.open("system")
            console.press("Factory reset", "Factory reset")
            dialog = console.page.get_by_role("dialog")
            dialog.get_by_role("textbox").fill("destroy")
            dialog.get_by_role("button", name="Factory reset").click()
            console.heading("A new HSM")


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


def test_a_computer_that_slept_is_asked_for_the_passphrase_before_its_timers_run(
    browser: Browser, server: Server
) -> None:
    for console in console_at(browser, server, has_paused_clock=True):
        console.sign_in("admin", server.passphrases["admin"])
        console.says("What remains")
        console.page.clock.set_system_time(PAUSED_AT + timedelta(minutes=16))  # Runs no timer.
        console.page.keyboard.press("Shift")
        console.heading("Sign in")


def test_a_passphrase_that_is_typed_and_not_sent_is_forgotten_too(
    browser: Browser, server: Server
) -> None:
    for console in console_at(browser, server, has_paused_clock=True):
        console.fill("Sign in", user="admin", passphrase="half typed")
        console.page.keyboard.press("Shift")
        passphrase = console.page.locator("[name=passphrase]")
        console.page.clock.fast_forward("14:59")
        expect(passphrase).to_have_value("half typed")
        console.page.clock.fast_forward("00:04")
        expect(passphrase).to_have_value("")
        expect(console.page.locator("[name=user]")).to_have_value("admin")


def test_a_page_that_is_left_forgets_the_passphrase(signed_in: Console) -> None:
    signed_in.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    signed_in.heading("Sign in")


def test_nothing_of_a_session_is_kept_by_the_browser(signed_in: Console) -> None:
    kept = signed_in.page.evaluate(
        "async () => [Object.keys(localStorage), Object.keys(sessionStorage), document.cookie,"
        " (await indexedDB.databases()).length, (await caches.keys()).length]"
    )
    assert kept == [[], [], "", 0, 0]
    signed_in.page.reload()
    signed_in.heading("Sign in")


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
            console.wait_until(partial(len, late))
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


def test_an_older_store_is_opened_with_a_check_box_that_shows_itself_then(console: Console) -> None:
    console.expected_errors += ["409"]
    given = []

    def unlock(route: Route) -> None:
        given.append(route.request.post_data_json)
        if given[-1].get("acknowledgeRollback") == "code 2":
            console.page.unroute("**/health/state")
            route.fulfill(status=204)
        else:
            said = f"The store is not the one of before: {len(given)}."
            code = f"code {len(given)}"
            route.fulfill(status=409, json={"message": said, "acknowledgeRollback": code})

    console.page.route("**/unlock", unlock)
    console.page.route("**/health/state", lambda route: route.fulfill(json={"state": "Locked"}))
    console.heading("Locked")
    box = console.page.get_by_label("The older store is there on purpose: open it").first
    expect(box).to_be_hidden()
    console.fill("Unlock", passphrase=UNLOCK)
    console.press("Unlock", "Unlock")
    console.says("The store is not the one of before: 1.")
    box.check()
    console.fill("Unlock", passphrase=UNLOCK)
    console.press("Unlock", "Unlock")
    console.says("The store is not the one of before: 2.")
    expect(box).not_to_be_checked()  # Something else is found now.
    box.check()
    console.fill("Unlock", passphrase=UNLOCK)
    console.press("Unlock", "Unlock")
    console.heading("Sign in")
    assert given == [
        {"passphrase": UNLOCK},
        {"passphrase": UNLOCK, "acknowledgeRollback": "code 1"},
        {"passphrase": UNLOCK, "acknowledgeRollback": "code 2"},
    ]
