"""Every text that the server sends, on every page of every role: it is shown and does nothing."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import APIResponse, Browser, Route, expect

from tests.console.conftest import IS_WALK, PAGES, Console, console_at
from tests.support.server import Server

HOSTILE = """<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>"""
SHORT = {"admin", "metrics"}
TEXTS_FOR = {
    "": {"admin", "metrics"},
    "approvals": {"admin", "operator"},
    "new-key": set(),
    "backup": set(),
}
"""Who sees a text of the server on these pages; on all others, everyone does."""
MEMBERS = [
    {"id": str(number), "name": name, "urls": [name], "learner": False}
    for number, name in enumerate(("one", "two"))
]
STATES = [{"id": "0", "own": True, "leader": True, "connected": True, "behind": 0}]
WRITTEN = {
    "/cluster/members": MEMBERS,
    "/health/diagnose": {
        "warnings": ["a warning"],
        "clusterLogs": [{"msg": "a line of the log"}],
        "clusterMembers": STATES,
    },
}
"""Answers that one server alone would not give."""
SHOWN_OF_AN_OPERATION = ("summary", "tags", "x-states", "x-roles")


@pytest.fixture(scope="module")
def full(filled: Server) -> Server:
    """The filled server with tags, a pending approval, a log target and a failed login."""
    rule = {"required": 1, "approvers": ["admin"], "validSeconds": 600, "uses": 1}
    for method, path, body in (
        ("PUT", "/keys/some/policy", {"approvals": rule}),
        ("PUT", "/users/operator/tags/legal", None),
        ("PUT", "/keys/some/restrictions/tags/legal", None),
        ("PUT", "/config/logging", {"ipAddress": "127.0.0.1", "port": 5514, "logLevel": "info"}),
    ):
        assert filled.request(method, path, user="admin", json=body).status == 204, path
    asked = {"reason": "the release"}
    path = "/keys/some/approvals"
    assert filled.request("POST", path, user="operator", json=asked).status == 201
    assert filled.request("GET", "/keys", user="auditor", passphrase="a guess").status == 401
    return filled


@pytest.mark.parametrize("user", [user for user in PAGES if IS_WALK or user in SHORT])
def test_no_text_of_the_server_is_more_than_a_text(
    browser: Browser, full: Server, user: str
) -> None:
    for console in console_at(browser, full):
        console.expected_errors += ["Failed to load resource"]
        console.page.route("**/openapi.json", describe_with_hostile_texts)
        console.page.reload()
        console.sign_in(user, full.passphrases[user])
        expect(console.page.locator("header .who")).to_contain_text(user)
        console.page.route("**/api/v1/**", answer_with_hostile_texts)
        for path in PAGES[user]:
            console.open("new-key" if path == "" else "")
            console.open(path)
            console.unfold_some()
            if user in TEXTS_FOR.get(path, PAGES):
                console.says(HOSTILE)
            assert is_untouched(console), path


def is_untouched(console: Console) -> bool:
    has_parts = console.page.locator("body img, body script").count()
    return has_parts == 0 and "taken" not in console.page.title()


def answer_with_hostile_texts(route: Route) -> None:
    """Have each text of the answer end with HOSTILE; addresses made of such texts are mended."""
    url = route.request.url.replace(quote(HOSTILE, safe="!'()*~"), "")
    path = url.partition("/api/v1")[2].partition("?")[0]
    if path == "/health/state":
        route.continue_()
    elif path in WRITTEN:
        route.fulfill(json=hostile(WRITTEN[path]))
    else:
        response = route.fetch(url=url)
        route.fulfill(response=response, body=hostile_body(response))


def describe_with_hostile_texts(route: Route) -> None:
    response = route.fetch()
    description = response.json()
    for methods in description["paths"].values():
        for operation in methods.values():
            for name in SHOWN_OF_AN_OPERATION:
                if name in operation:
                    operation[name] = hostile(operation[name])
    route.fulfill(response=response, json=description)


def hostile_body(response: APIResponse) -> bytes | str:
    kind = response.headers.get("content-type", "")
    if "json" in kind and "\n" not in response.text():
        return json.dumps(hostile(response.json()))
    if "json" in kind:
        return "".join(
            f"{json.dumps(hostile(json.loads(line)))}\n" for line in response.text().splitlines()
        )
    if kind.startswith("text/"):
        return re.sub(r"(?m) (\S+)$", rf" {HOSTILE} \1", response.text())
    return response.text() + HOSTILE


def hostile(value: Any) -> Any:
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, list):
        return [hostile(one) for one in value]
    if isinstance(value, Mapping):
        return {name: hostile(one) for name, one in value.items()}
    return value
