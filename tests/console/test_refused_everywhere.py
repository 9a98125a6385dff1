"""On each page of each role: what it says when the HSM refuses or is gone, and that it comes back.

`make console-walk` has all users; else it is those of SHORT.
"""

import re

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.console.conftest import IS_WALK, PAGES, Console, console_at
from tests.support.server import Server

SHORT = {"operator", "auditor"}
TOO_MANY, BUSY = "Too many attempts.", "Too much work waits."
SAID = {
    429: f"{TOO_MANY} Try again in 7 s.",
    503: f"{BUSY} Try again in 7 s.",
    0: "The HSM cannot be reached.",
}
"""What the page says by the status of the answer; 0: there is none."""
MESSAGES = {429: TOO_MANY, 503: BUSY}
READINGS = re.compile(r"/api/v1/(?!health/state)")


@pytest.mark.parametrize("user", [user for user in PAGES if IS_WALK or user in SHORT])
def test_each_page_says_what_is_wrong_and_comes_back(
    browser: Browser, filled: Server, user: str
) -> None:
    for console in console_at(browser, filled):
        # The console asks for what only some roles may read. The keys have no certificates.
        console.expected_errors += ["401", "403", "404", "429", "503", "Failed to load resource"]
        console.sign_in(user, filled.passphrases[user])
        expect(console.page.locator("header .who")).to_contain_text(user)
        for path in PAGES[user]:
            console.open(path)
            for status in SAID:
                refuse_everything(console, status)
            show_again(console)
            console.unfold_some()
            for said in SAID.values():
                expect(console.page.locator("main")).not_to_contain_text(said)
        console.open()  # The page of the API would stay.
        console.page.get_by_role("button", name="Sign out").click()
        console.sign_in(user, "not the passphrase")
        console.says("The user or the passphrase is wrong.")


def refuse_everything(console: Console, status: int) -> None:
    """Show the page while every request is refused; it says so if it has asked for something."""
    refused: list[str] = []

    def answer(route: Route) -> None:
        refused.append(route.request.url)
        if status:
            headers = {"Retry-After": "7"}
            route.fulfill(status=status, json={"message": MESSAGES[status]}, headers=headers)
        else:
            route.abort()

    console.page.route(READINGS, answer)
    show_again(console)
    console.unfold_some()
    if refused:
        console.says(SAID[status])
    console.page.unroute(READINGS, answer)


def show_again(console: Console) -> None:
    console.page.evaluate("document.querySelector('main').removeAttribute('data-shown')")
    console.page.evaluate("dispatchEvent(new Event('hashchange'))")
    expect(console.page.locator("main[data-shown]")).to_be_visible()
