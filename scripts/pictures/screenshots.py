"""Takes the screenshots of the console: screenshots.py DIRECTORY. A real server answers."""

import base64
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from tests.support.browser import CHROMIUM, OPTIONS
from tests.support.server import Server, running_server

SIZE: Final = {"width": 1100, "height": 760}


def fill(server: Server) -> None:
    """Give the server users and a key to show."""
    server.provision()
    for name, role in (("signer", "Operator"), ("nightly", "Backup"), ("watch", "Metrics")):
        server.add_user(name, role)
    key = {
        "id": "release",
        "type": "EC_P256",
        "mechanisms": ["ECDSA_Signature"],
        "label": "signs releases",
    }
    server.request("POST", "/keys/generate", user="admin", json=key)


def sign_in(page: Page, server: Server, user: str) -> None:
    """Begin anew as a user."""
    page.goto(f"{server.url}/console")
    page.reload()
    page.locator("[name=user]").fill(user)
    page.locator("[name=passphrase]").fill(server.passphrases[user])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Overview").first.wait_for()


def take(page: Page, server: Server, directory: Path) -> None:
    """Take the overview of an administrator, a key of an operator, and the live figures."""
    sign_in(page, server, "admin")
    page.get_by_text("What remains").wait_for()
    page.screenshot(path=directory / "console-overview.png")
    sign_in(page, server, "signer")
    page.goto(f"{server.url}/console#/key/release")
    page.get_by_text("Verify a file").first.wait_for()
    page.screenshot(path=directory / "console-key.png")
    sign_in(page, server, "watch")
    page.locator("figcaption").first.wait_for()
    for _ in range(40):  # Something to plot.
        sign(server)
        page.wait_for_timeout(500)
    page.screenshot(path=directory / "console-figures.png")


def sign(server: Server) -> None:
    """Use the key a few times."""
    body = {"mode": "ECDSA", "message": base64.b64encode(bytes(32)).decode()}
    for _ in range(1 + os.urandom(1)[0] % 8):
        server.request("POST", "/keys/release/sign", user="signer", json=body)


def main() -> None:
    """Write the pictures into the directory that is given."""
    directory = Path(sys.argv[1])
    with (
        tempfile.TemporaryDirectory() as work,
        running_server(Path(work)) as server,
        sync_playwright() as playwright,
    ):
        fill(server)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        context = browser.new_context(ignore_https_errors=True, viewport=SIZE)
        take(context.new_page(), server, directory)
        browser.close()


if __name__ == "__main__":
    main()
