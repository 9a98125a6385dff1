"""A real browser at a real server. Errors and violations of the page's policy fail a test."""

import base64
import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.support.browser import CHROMIUM, OPTIONS
from tests.support.server import ANSWER_SECONDS, Server, running_server

PASSPHRASE = "adminPassphrase"
UNLOCK = "unlockPassphrase"
MILLISECONDS_TO_WAIT = 1000 * ANSWER_SECONDS
"""For what a page shows, on a busy machine."""

PAUSED_AT = datetime(2030, 1, 1, tzinfo=UTC)

if CHROMIUM is None:
    collect_ignore_glob = ["test_*"]

IS_WALK = "KEYSTEAD_CONSOLE_WALK" in os.environ
"""Whether tests try everything, as `make console-walk` does, or some of it."""

PAGES = {
    "admin": (
        *("", "keys", "new-key", "key/some", "approvals", "users", "namespaces", "settings"),
        *("backup", "journal", "system", "api"),
    ),
    "operator": ("", "keys", "key/some", "approvals"),
    "metrics": ("",),
    "backup": ("", "backup"),
    "auditor": ("", "journal"),
    "tenant~boss": ("", "keys", "new-key", "key/own", "users"),
    "tenant~olga": ("", "keys", "key/own", "approvals"),
}
"""The pages of each user of a filled server."""
LONG = "long-" * 15 + "ID"

expect.set_options(timeout=MILLISECONDS_TO_WAIT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a module, Operational, with the users admin, operator, metrics and backup."""
    directory: Path = tmp_path_factory.mktemp("server")
    with running_server(directory) as server:
        server.provision()
        for name, role in (("operator", "Operator"), ("metrics", "Metrics"), ("backup", "Backup")):
            server.add_user(name, role)
        yield server


@pytest.fixture(scope="module")
def filled(server: Server) -> Server:
    """The module's server, with keys and with users of every role, two of a namespace."""
    server.add_user("auditor", "Auditor")
    server.add_user("tenant~boss", "Administrator")
    assert server.request("PUT", "/namespaces/tenant", user="admin").status == 204
    server.add_user("tenant~olga", "Operator", by="tenant~boss")
    make_key(server, "some", by="admin")
    make_key(server, LONG, by="admin")
    make_key(server, "own", by="tenant~boss")
    return server


def make_key(server: Server, key_id: str, *, by: str) -> None:
    key = {"id": key_id, "type": "EC_P256", "mechanisms": ["ECDSA_Signature"], "label": "x" * 32}
    assert server.request("POST", "/keys/generate", user=by, json=key).status == 201


class Console:
    """A page of the browser at a server's console, as a person sees and uses it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        self.expected_errors: list[str] = []
        """Texts in console errors that a test causes: the browser notes each refused request."""
        page.set_default_timeout(MILLISECONDS_TO_WAIT)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    def unexpected_errors(self) -> list[str]:
        return [
            error
            for error in self.errors
            if not any(expected in error for expected in self.expected_errors)
        ]

    def open(self, path: str = "") -> None:
        """Go to an address of the console, e.g. `keys`, and wait until its view is shown."""
        self.page.goto(f"{self.url}/console#/{path}")
        expect(self.page.locator("main")).to_have_attribute("data-shown", re.compile(f" {path}$"))

    def heading(self, text: str) -> None:
        """Wait until the page's heading has this text."""
        expect(self.page.locator("h1")).to_contain_text(text)

    def says(self, text: str) -> None:
        """Wait until the page says this."""
        expect(self.page.locator("body")).to_contain_text(text)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition()` is true, while the handlers of routes and events run."""
        give_up = time.monotonic() + MILLISECONDS_TO_WAIT / 1000
        while not condition():
            assert time.monotonic() < give_up
            self.page.wait_for_timeout(20)

    def fill(self, form: str, **values: str) -> None:
        """Fill the inputs of a form by their names."""
        for name, value in values.items():
            self.page.get_by_role("form", name=form, exact=True).locator(f"[name={name}]").fill(
                value
            )

    def press(self, form: str, button: str) -> None:
        self.page.get_by_role("form", name=form, exact=True).get_by_role(
            "button", name=button, exact=True
        ).click()

    def unfold(self, title: str) -> None:
        self.page.locator("summary").get_by_text(title, exact=True).click()

    def unfold_some(self) -> None:
        """Open the first parts of the page that are closed, and wait until they are filled."""
        for summary in self.page.locator("main summary").all()[:9]:
            summary.click()
        expect(self.page.locator("details[open] > :empty")).to_have_count(0)

    def drop(self, target: str, content: bytes, *, name: str = "dropped") -> bool:
        """Drop a file on an element; return whether the page kept the browser from opening it."""
        return self.page.evaluate(
            """([target, name, content]) => {
                const dataTransfer = new DataTransfer();
                const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
                dataTransfer.items.add(new File([bytes], name));
                return !document.querySelector(target).dispatchEvent(
                    new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
            }""",
            [target, name, base64.b64encode(content).decode()],
        )

    def sign_in(self, user: str, passphrase: str) -> None:
        self.fill("Sign in", user=user, passphrase=passphrase)
        self.press("Sign in", "Sign in")


@pytest.fixture
def console(browser: Browser, server: Server) -> Iterator[Console]:
    """The console of the module's server, at its first page."""
    yield from console_at(browser, server)


def console_at(
    browser: Browser, server: Server, *, has_paused_clock: bool = False
) -> Iterator[Console]:
    """The console in a window of its own; a paused clock moves only when a test moves it."""
    context = browser.new_context(ignore_https_errors=True, accept_downloads=True)
    console = Console(context.new_page(), server.url)
    if has_paused_clock:
        console.page.clock.install(time=PAUSED_AT - timedelta(hours=1))
        console.page.clock.pause_at(PAUSED_AT)
    console.open()
    yield console
    # A handler that is at work has no answer to read any more once the window is closed.
    console.page.unroute_all(behavior="ignoreErrors")
    context.close()
    assert console.unexpected_errors() == []


@pytest.fixture
def signed_in(console: Console, server: Server) -> Console:
    """The console, as the user `admin`."""
    console.sign_in("admin", server.passphrases["admin"])
    console.says("What remains")
    return console
