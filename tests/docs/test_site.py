"""The documentation as a site: its links lead somewhere, and it loads nothing from outside."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from keystead.api.routes import ROUTES

ROOT = Path(__file__).parents[2]
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="make docs adds what makes the site"
)


class Page(HTMLParser):
    """What a page loads, where its links lead, and which anchors it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: set[str] = set()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if "id" in has:
            self.anchors.add(has["id"])
        if tag in LOADING and LOADING[tag] in has and has.get("rel") != "canonical":
            self.loaded.add(has[LOADING[tag]])
        if tag == "a" and "href" in has:
            self.links.add(has["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site") / "site"
    make = [ROOT / "scripts/make-site", sys.executable, directory]
    subprocess.run(make, check=True)  # noqa: S603 - our own script
    return directory


@pytest.fixture(scope="module")
def pages(site):
    return {
        path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"
    }


def test_each_page_of_the_repository_is_in_it(site, pages):
    for source in (*ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")):
        made = source.relative_to(ROOT).with_suffix(".html")
        assert site / (made.with_name("index.html") if made.stem == "README" else made) in pages


def test_each_link_leads_somewhere(pages):
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            assert target.exists(), f"{path.name}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.name}: {link}"


def test_nothing_is_loaded_from_outside(site, pages):
    for path, page in pages.items():
        assert not [address for address in page.loaded if urlsplit(address).netloc], path.name
        assert "default-src 'self'" in path.read_text(), path.name
    for style in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        assert not re.search(r"(url\(|@import |href=)[\"']?https?:", style.read_text()), style.name


def test_the_reference_has_each_operation(site):
    reference = (site / "docs/api-reference.html").read_text()
    for route in ROUTES:
        assert f"{route.method} {route.path}" in reference.replace("&#42;", "*"), route.path
