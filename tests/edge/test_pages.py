"""The console's files, which the edge serves itself."""

import gzip
import re
from email.utils import parsedate_to_datetime
from importlib.resources import files

import pytest

from keystead.edge.pages import ROOT, load_pages
from keystead.wire.edge_messages import Request
from tests.support.edge import Edge, running_edge

FOLDER = files("keystead.edge") / "console"
INDEX = (FOLDER / "index.html").read_bytes()
MOST_BYTES = 250 * 1024


@pytest.fixture(scope="module")
def edge():
    with running_edge() as edge:
        yield edge


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"{method} {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode()


def test_the_page_comes_without_the_core(edge: Edge) -> None:
    answer = edge.ask(get(ROOT))
    assert answer.status == 200
    assert answer.body == INDEX
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert [one for one in edge.received_of(Request) if one.path.startswith(ROOT)] == []


def test_each_file_is_served_with_its_type_and_no_other_path_is(edge: Edge) -> None:
    for path, page in load_pages().items():
        answer = edge.ask(get(path))
        assert (answer.status, answer.body) == (200, page.body), path
    for path in (f"{ROOT}/../pages.py", f"{ROOT}/views", f"{ROOT}/none.js", f"{ROOT}x"):
        edge.ask(get(path))
        assert edge.received_of(Request)[-1].path == path


def test_its_policy_allows_nothing_from_elsewhere_and_nothing_inline(edge: Edge) -> None:
    headers = edge.ask(get(ROOT)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "img", "connect")} == {"'self'"}
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [("gzip, br", True), ("br;q=1, GZIP;q=0.5", True), ("gzip;q=0", False), ("br", False)],
)
def test_it_is_compressed_for_clients_that_take_that(
    edge: Edge, accepted: str, *, is_packed: bool
) -> None:
    answer = edge.ask(get(ROOT, f"Accept-Encoding: {accepted}"))
    assert (answer.headers.get("content-encoding") == "gzip") == is_packed
    assert (gzip.decompress(answer.body) if is_packed else answer.body) == INDEX


def test_a_client_that_has_it_gets_no_body(edge: Edge) -> None:
    tag = edge.ask(get(ROOT)).headers["etag"]
    answer = edge.ask(get(ROOT, f"If-None-Match: {tag}"))
    assert (answer.status, answer.body) == (304, b"")
    assert parsedate_to_datetime(answer.headers["date"])
    assert edge.ask(get(ROOT, 'If-None-Match: W/"x"')).status == 200


def test_head_is_the_same_without_the_body(edge: Edge) -> None:
    client = edge.connect()
    client.send(get(ROOT, method="HEAD"))
    answer = client.read_answer(to_head=True)
    assert answer.headers["content-length"] == str(len(INDEX))
    client.send(get(ROOT))
    assert client.read_answer().body == INDEX  # On the same connection.


def test_a_client_that_sends_on_before_its_answer_is_served_once(edge: Edge) -> None:
    client = edge.connect()
    client.send(get(ROOT) * 1000)
    answer = client.read_answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_what_is_no_reading_goes_to_the_core(edge: Edge) -> None:
    edge.ask(get(ROOT, "Content-Length: 0", method="POST"))
    assert edge.received_of(Request)[-1].method == "POST"


def test_it_is_small_and_names_nothing_outside_itself() -> None:
    pages = load_pages()
    assert sum(len(page.body) for page in pages.values()) < MOST_BYTES
    for path, page in pages.items():
        text = page.body.decode()
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == [], path
        assert not re.search(r"\.(inner|outer)HTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert not re.search(r"localStorage|sessionStorage|document\.cookie|indexedDB", text), path
