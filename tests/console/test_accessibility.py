"""Everyone can use the pages of every role: with a keyboard, a screen reader, a phone, in the dark.

axe-core finds nothing to complain of, and no page is wider than a narrow phone.
"""

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, expect

from tests.console.conftest import IS_WALK, PAGES, Console, console_at
from tests.support.server import Server, running_server

MENUS = {
    "admin": "Overview Keys Approvals Users Namespaces Settings Backup Journal System API",
    "operator": "Overview Keys Approvals API",
    "metrics": "Overview API",
    "backup": "Overview Backup API",
    "auditor": "Overview Journal API",
    "tenant~boss": "Overview Keys Approvals Users API",
    "tenant~olga": "Overview Keys Approvals API",
}
DESK, PHONE = ({"width": width, "height": 800} for width in (1280, 360))
CONTRAST = {"runOnly": ["color-contrast"]}
EVERYTHING: dict[str, list[str]] = {}


@pytest.mark.parametrize("user", PAGES)
def test_everyone_can_use_every_page_of_a_role(browser: Browser, filled: Server, user: str) -> None:
    for console in console_at(browser, filled):
        # The console asks for what only some roles may read. The keys have no certificates.
        console.expected_errors += ["403", "404"]
        console.sign_in(user, filled.passphrases[user])
        expect(console.page.locator("header .who")).to_contain_text(user)
        assert console.page.locator("nav a").all_inner_texts() == MENUS[user].split()
        found = {}
        for path in PAGES[user]:
            console.open(path)
            console.unfold_some()
            found[path] = complaints(console)
        assert found == {path: [] for path in PAGES[user]}


def test_everyone_can_use_the_first_pages(browser: Browser, tmp_path) -> None:
    with running_server(tmp_path) as server:
        for console in console_at(browser, server):
            assert complaints(console) == []
            console.page.get_by_label("Split it among several people").check()
            assert complaints(console) == []
            console.open("backup")
            assert complaints(console) == []
            console.open()
            server.provision()
            console.heading("Sign in")
            assert complaints(console) == []
            server.request("POST", "/lock", user="admin")
            console.heading("Locked")
            assert complaints(console) == []
            console.page.route("**/health/state", lambda it: it.fulfill(json={"state": "Failed"}))
            console.heading("The HSM has failed")
            assert complaints(console) == []
            console.expected_errors += ["Failed to load resource"]
            console.page.route("**/api/v1/**", lambda route: route.abort())
            expect(console.page.get_by_text("The HSM cannot be reached now.")).to_be_visible()
            assert complaints(console) == []
            console.page.reload()
            console.heading("The HSM cannot be reached")
            assert complaints(console) == []


def complaints(console: Console) -> list[str]:
    """Return what is wrong with what is shown: on a desk and on a phone, in light and in dark.

    In a walk, everything is looked for in each of the four; else what usually differs.
    """
    page = console.page
    page.set_viewport_size(DESK)
    page.emulate_media(color_scheme="light")
    found = violations(console, EVERYTHING)
    page.emulate_media(color_scheme="dark")
    found += violations(console, EVERYTHING if IS_WALK else CONTRAST)
    page.set_viewport_size(PHONE)
    if IS_WALK:
        found += violations(console, EVERYTHING)
        page.emulate_media(color_scheme="light")
        found += violations(console, EVERYTHING)
    width = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(DESK)
    return found + ([f"{width} pixels wide"] if width > PHONE["width"] else [])


def violations(console: Console, options: dict[str, list[str]]) -> list[str]:
    if not console.page.evaluate("'axe' in window"):
        console.page.evaluate(AXE_SCRIPT)
    ran = console.page.evaluate("(options) => axe.run(document, options)", options)
    return [
        f"{one['id']}: {node['html'][:120]}" for one in ran["violations"] for node in one["nodes"]
    ]


def test_a_keyboard_is_enough(browser: Browser, filled: Server) -> None:
    for console in console_at(browser, filled):
        keyboard, focused = console.page.keyboard, console.page.locator(":focus")
        expect(focused).to_have_attribute("name", "user")
        keyboard.type("admin")
        keyboard.press("Tab")
        keyboard.type(filled.passphrases["admin"])
        keyboard.press("Enter")
        console.says("What remains")
        expect(focused).to_have_attribute("id", "main")  # Not lost with what it was on.
        console.page.get_by_role("link", name="System").press("Enter")
        console.heading("System")
        expect(focused).to_have_attribute("id", "main")
        console.page.locator("summary", has_text="Update").press("Enter")
        expect(console.page.get_by_role("form", name="Update")).to_be_visible()
        lock = console.page.get_by_role("button", name="Lock")
        lock.press("Enter")
        expect(console.page.get_by_role("dialog")).to_be_visible()
        keyboard.press("Escape")
        expect(console.page.get_by_role("dialog")).to_have_count(0)
        expect(lock).to_be_focused()
        skip = console.page.get_by_role("link", name="Skip to the content")
        skip.press("Enter")
        expect(focused).to_have_attribute("id", "main")
