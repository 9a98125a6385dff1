"""axe-core finds nothing to complain of on any page, in the light and in the dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.console.conftest import Console, console_at
from tests.support.server import Server, running_server

PATHS = (
    "",
    "keys",
    "new-key",
    "key/some",
    "users",
    "namespaces",
    "settings",
    "backup",
    "system",
    "api",
)


@pytest.fixture(scope="module")
def a_key(server: Server) -> None:
    key = {"id": "some", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"], "label": "x"}
    assert server.request("POST", "/keys/generate", user="admin", json=key).status == 201


@pytest.mark.usefixtures("a_key")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_used_by_everyone(browser: Browser, server: Server, scheme: str) -> None:
    for console in console_at(browser, server):
        console.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        found = {"sign in": complaints(console)}
        console.sign_in("admin", server.passphrases["admin"])
        console.says("What remains")
        for path in PATHS:
            console.open(path)
            unfold_some(console)
            found[path] = complaints(console)
        console.expected_errors += ["404"]  # The key has no certificate.
        assert found == {key: [] for key in found}


def test_the_first_page_can_be_used_by_everyone(browser: Browser, tmp_path) -> None:
    with running_server(tmp_path) as server:
        for console in console_at(browser, server):
            assert complaints(console) == []
            server.provision()
            server.request("POST", "/lock", user="admin")
            console.heading("Locked")
            assert complaints(console) == []


def unfold_some(console: Console) -> None:
    for summary in console.page.locator("main summary").all()[:8]:
        summary.click()
    expect(console.page.locator("details[open] > :empty")).to_have_count(0)


def complaints(console: Console) -> list[str]:
    ran = Axe().run(console.page)
    return [
        f"{one['id']}: {node['html'][:120]}"
        for one in ran.response["violations"]
        for node in one["nodes"]
    ]
