"""The table of many keys: a page of them, the beginning of an ID, and a search through all.

`make console-keys` runs it with 100,000 keys, and prints how long each step took, with how many
requests and bytes. The bounds on these hold for any number of keys and on any machine.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.console.conftest import Console, console_at
from tests.support.large_backup import UNLOCK, USERS, restore, write_backup
from tests.support.server import Server, running_server

KEYS = int(os.environ.get("KEYSTEAD_CONSOLE_KEYS", "2500"))
LAST = f"key-{KEYS - 1:08}"
LABELLED = "zz-the-last"
MOST_BYTES_OF_THE_FIRST_VIEW = 250 * 1024
"""With the API's description, which is three quarters of it."""
MOST_BYTES_OF_A_PAGE = 60_000
NOT_COUNTED = ("/health/state", "/icon.svg")
"""What the page and the browser ask for by the clock."""
KEYS_OF_A_REQUEST = 1500
"""A search looks at more keys than these in a request, unless what it finds ends the request."""


@pytest.fixture(scope="module")
def full_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with KEYS keys without a label, and one more after them that has one."""
    directory: Path = tmp_path_factory.mktemp("full")
    write_backup(directory / "backup", keys=KEYS)
    with running_server(directory) as server:
        assert restore(server, directory / "backup") == (204, b"")
        assert server.request("POST", "/unlock", json={"passphrase": UNLOCK}).status == 204
        server.passphrases |= {name: passphrase for name, (passphrase, _) in USERS.items()}
        key = {
            "id": LABELLED,
            "type": "EC_P384",
            "mechanisms": ["ECDSA_Signature"],
            "label": "the needle",
            "restrictions": {"tags": ["blue"]},
        }
        assert server.request("POST", "/keys/generate", user="admin", json=key).status == 201
        yield server


@pytest.fixture
def keys(browser: Browser, full_server: Server) -> Iterator[Console]:
    """The page of keys."""
    for console in console_at(browser, full_server):
        console.sign_in("admin", full_server.passphrases["admin"])
        console.says("What remains")
        with measured("the first page", console.page, requests=1, size=MOST_BYTES_OF_A_PAGE):
            console.open("keys")
        yield console


@contextmanager
def measured(what: str, page: Page, *, requests: int, size: int) -> Iterator[None]:
    """Print what a step takes, and bound its requests and their bytes; its time is not bounded."""
    made: list[Request] = []

    def note(request: Request) -> None:
        if not request.url.endswith(NOT_COUNTED):
            made.append(request)

    page.on("requestfinished", note)
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    page.remove_listener("requestfinished", note)
    sizes = [request.sizes() for request in made]
    received = sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes)
    print(  # noqa: T201 - see above
        f"{KEYS} keys: {what} in {seconds:.2f} s, {len(made)} requests, {received} bytes"
    )
    assert 0 < len(made) <= requests
    assert received <= size


def test_the_first_view_is_small(browser: Browser, full_server: Server) -> None:
    page = browser.new_page(ignore_https_errors=True)
    console = Console(page, full_server.url)
    size = MOST_BYTES_OF_THE_FIRST_VIEW
    with measured("the first view", page, requests=40, size=size):
        console.open()
    page.close()


def test_a_page_and_the_next_have_a_hundred_keys_each(keys: Console) -> None:
    keys.says("100 keys: key-00000000 to key-00000099")
    with measured("the next page", keys.page, requests=1, size=MOST_BYTES_OF_A_PAGE):
        keys.page.get_by_role("button", name="Next page").click()
        keys.says("100 keys: key-00000100 to key-00000199")
    assert keys.page.locator("tbody tr").count() == 100
    keys.page.get_by_role("button", name="First page").click()
    keys.says("100 keys: key-00000000 to key-00000099")


def test_the_beginning_of_an_id_finds_the_last_key(keys: Console) -> None:
    keys.fill("Filter keys", prefix=LAST)
    with measured("the beginning of an ID", keys.page, requests=1, size=MOST_BYTES_OF_A_PAGE):
        keys.press("Filter keys", "Show")
        keys.says("1 key")
    expect(keys.page.get_by_role("link", name=LAST)).to_be_visible()


@pytest.mark.parametrize("wanted", [{"labelContains": "Needle"}, {"tag": "blue"}])
def test_a_search_looks_at_all_keys(keys: Console, wanted: dict[str, str]) -> None:
    keys.fill("Filter keys", **wanted)
    requests = KEYS // KEYS_OF_A_REQUEST + 1
    what = f"all keys, by {' '.join(wanted)}"
    with measured(what, keys.page, requests=requests, size=requests * 1000):
        keys.press("Filter keys", "Show")
        expect(keys.page.get_by_role("link", name=LABELLED)).to_be_visible()
    assert keys.page.locator("tbody tr").count() == 1


def test_a_search_by_type_fills_pages_that_follow_each_other(keys: Console) -> None:
    keys.page.get_by_label("Type").select_option("EC_P256")
    keys.press("Filter keys", "Show")
    keys.says("100 keys: key-00000000 to key-00000099")
    keys.page.get_by_role("button", name="Next page").click()
    keys.says("100 keys: key-00000100 to key-00000199")


def test_a_search_can_be_stopped_and_goes_on_from_there(keys: Console) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    def answer(route: Route, last: str) -> None:
        link = f'<?details=true&after={last}>; rel="next"'
        route.fulfill(json=[], headers={"Link": link})

    keys.page.route("**/keys?*labelContains=*", hold)
    keys.fill("Filter keys", labelContains="needle")
    keys.press("Filter keys", "Show")
    keys.wait_until(lambda: held)
    answer(held.pop(), "key-00000999")
    keys.says("Looked at the keys up to key-00000999: 0 fit.")
    keys.page.get_by_role("button", name="Stop").click()
    keys.wait_until(lambda: held)
    answer(held.pop(), "key-00001999")
    keys.says("The search was stopped after the key key-00001999.")
    keys.page.unroute("**/keys?*labelContains=*")
    keys.page.get_by_role("button", name="Next page").click()
    expect(keys.page.get_by_role("link", name=LABELLED)).to_be_visible()
