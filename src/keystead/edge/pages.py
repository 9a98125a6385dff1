"""The console's files, which the edge serves from memory: it needs neither disk nor core for them.

The console is a client of the API like any other. Its policy forbids every script, style and
connection that is not this origin's, and every place where text could become a script.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from keystead.edge.request_head import RequestHead
from keystead.edge.response_head import response_head

ROOT: Final = "/console"

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = (
    ("Cache-Control", "no-cache"),
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Referrer-Policy", "no-referrer"),
    ("Strict-Transport-Security", "max-age=31536000"),
    ("Vary", "Accept-Encoding"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
_TAKES_GZIP: Final = re.compile(
    rb"\r\naccept-encoding:[^\r]*\bgzip\b(?! *; *q=0(?:\.0*)?(?:[,\s]|$))", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Page:
    """A file of the console, ready to be sent."""

    etag: str
    content_type: str
    body: bytes
    packed: bytes
    """The body, compressed by gzip (RFC 1952). The ETag is weak, because it stands for both."""

    def answer(self, head: RequestHead, block: bytes, *, is_last: bool) -> bytes:
        """Return the response to a GET or HEAD; `block` is its head as it came."""
        headers = [*_HEADERS, ("ETag", self.etag)]
        if self.etag in head.headers.get("if-none-match", ""):
            return response_head(304, headers, length=0, is_last=is_last)
        headers.append(("Content-Type", self.content_type))
        body = self.body
        if _TAKES_GZIP.search(block):
            headers.append(("Content-Encoding", "gzip"))
            body = self.packed
        start = response_head(200, headers, length=len(body), is_last=is_last)
        return start if head.method == "HEAD" else start + body


def load_pages() -> dict[str, Page]:
    """Return the console's files by the path of a request; the page itself is at `/console`."""
    pages = dict(_pages_in(files("keystead.edge") / "console", ROOT))
    pages[ROOT] = pages[f"{ROOT}/"] = pages.pop(f"{ROOT}/index.html")
    return pages


def _pages_in(folder: Traversable, path: str) -> list[tuple[str, Page]]:
    found = []
    for entry in folder.iterdir():
        at = f"{path}/{entry.name}"
        if entry.is_dir():
            found += _pages_in(entry, at)
        else:
            found.append((at, _page(entry.name, entry.read_bytes())))
    return found


def _page(name: str, body: bytes) -> Page:
    kind = _TYPES[name[name.rindex(".") :]]
    tag = hashlib.sha256(body).hexdigest()[:32]
    return Page(f'W/"{tag}"', kind, body, gzip.compress(body, mtime=0))
