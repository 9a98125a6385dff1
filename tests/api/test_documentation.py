"""The page /api_docs: well-formed, complete, and harmless."""

import base64
import hashlib
import html
from html.parser import HTMLParser
from typing import Any

import pytest

from keystead.api.description.openapi import describe
from keystead.api.description.page import escape, render
from keystead.api.routes import ROUTES
from keystead.model.lifecycle import State
from keystead.wire.edge_messages import Request, Response
from tests.support.core import Core, WholeBody, headers_of

VOID = {"meta", "!doctype"}


class Page(HTMLParser):
    """The elements of a page; fails where they are not nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.style = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data

    def values(self, name: str) -> list[str]:
        return [value for attribute, value in self.attributes if attribute == name]


async def fetch(
    core: Core, *, method: str = "GET", path: str = "/api_docs", **headers: str
) -> Response:
    request = Request(1, method, path, "", headers, "192.0.2.1", b"")
    response = await core.dispatcher.answer(request, WholeBody(b""))
    assert isinstance(response, Response)
    return response


PAGE = Page(render(describe(ROUTES)))


def test_every_operation_is_on_the_page():
    for row in ROUTES:
        assert f"{row.method} {row.path} " in PAGE.text


def test_it_runs_nothing_and_fetches_nothing():
    assert not PAGE.tags & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert not [name for name, _ in PAGE.attributes if name.startswith("on") or name == "style"]
    assert all(value.startswith(("#", "/api/v1/")) for value in PAGE.values("href"))


def test_every_link_leads_somewhere_and_every_place_has_one_name():
    places = PAGE.values("id")
    assert len(places) == len(set(places))
    links = {value.removeprefix("#") for value in PAGE.values("href") if value.startswith("#")}
    assert links <= set(places)
    assert len(links) > 20


def test_what_a_description_says_is_text_on_the_page():
    document = describe(ROUTES)
    document["info"]["title"] = '<script>alert("x")</script>'
    assert "script" not in Page(render(document)).tags


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("path", ["/api_docs", "/api_docs/"])
async def test_everyone_may_read_it_in_every_state(
    core: Core, monkeypatch: pytest.MonkeyPatch, state: State, path: str
) -> None:
    monkeypatch.setattr(core.hsm, "state", state)
    response = await fetch(core, path=path)
    assert response.status == 200
    assert Page(response.body.decode()).text == PAGE.text


async def test_its_policy_allows_its_one_style_sheet_and_nothing_else(core: Core) -> None:
    headers = headers_of(await fetch(core))
    digest = base64.b64encode(hashlib.sha256(PAGE.style.encode()).digest()).decode()
    assert headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_a_browser_that_has_it_keeps_it(core: Core) -> None:
    tag = headers_of(await fetch(core))["ETag"]
    assert (await fetch(core, **{"if-none-match": tag})).status == 304
    assert (await fetch(core, method="HEAD")).status == 200
    assert (await fetch(core, method="POST")).status == 405


async def test_the_server_s_name_alone_leads_to_it(core: Core) -> None:
    found = await fetch(core, path="/")
    assert (found.status, found.body) == (200, (await fetch(core)).body)


@pytest.mark.parametrize("path", ["/api", "/api/v1", "/api_docs/x", "/info", "*", ""])
async def test_nothing_else_is_outside_the_api(core: Core, path: str) -> None:
    assert (await fetch(core, path=path)).status == 404


def test_text_is_escaped_as_pythons_own_library_does() -> None:
    every = "".join(map(chr, range(0x200))) + "&amp;<b a='\"'>"
    assert escape(every) == html.escape(every)
