"""The console's files, which the edge serves from memory: it needs neither disk nor core for them.

The console is a client of the API like any other. Its policy forbids every script, style and
connection that is not this origin's, and every place where text could become a script.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keystead.edge.request_head import RequestHead
from keystead.edge.response_head import date_line, response_head

ROOT: Final = "/console"

_FOLDER: Final = Path(__file__).with_name("console")
"""Beside this file. `importlib.resources` would find it too, but loads 1.2 MiB for that."""

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
    "Cache-Control: no-cache\r\n"
    f"Content-Security-Policy: {_POLICY}\r\n"
    "Cross-Origin-Embedder-Policy: require-corp\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Permissions-Policy: camera=(), geolocation=(), microphone=()\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Strict-Transport-Security: max-age=31536000\r\n"
    "Vary: Accept-Encoding\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
).encode()
_PACKED: Final = b"Content-Encoding: gzip\r\n"
_TAKES_GZIP: Final = re.compile(
    rb"\r\naccept-encoding:[^\r]*\bgzip\b(?! *; *q=0(?:\.0*)?(?:[,\s]|$))", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Page:
    """A file of the console, ready to be sent."""

    etag: str
    """Weak, because it stands for the body and for the packed one."""
    header_lines: bytes
    body: bytes
    packed: bytes
    """The body, compressed by gzip (RFC 1952)."""

    def answer(self, head: RequestHead, block: bytes, *, is_last: bool) -> bytes:
        """Return the response to a GET or HEAD; `block` is its head as it came."""
        lines, body = self.header_lines + date_line(), self.body
        if self.etag in head.headers.get("if-none-match", ""):
            return response_head(304, lines, length=0, is_last=is_last)
        if _TAKES_GZIP.search(block):
            lines, body = lines + _PACKED, self.packed
        start = response_head(200, lines, length=len(body), is_last=is_last)
        return start if head.method == "HEAD" else start + body


def load_pages() -> dict[str, Page]:
    """Return the console's files by the path of a request; the page itself is at `/console`."""
    pages = dict(_pages_in(_FOLDER, ROOT))
    pages[ROOT] = pages[f"{ROOT}/"] = pages.pop(f"{ROOT}/index.html")
    return pages


def _pages_in(folder: Path, path: str) -> list[tuple[str, Page]]:
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
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    lines = _HEADERS + f"Content-Type: {kind}\r\nETag: {etag}\r\n".encode()
    return Page(etag, lines, body, gzip.compress(body, mtime=0))
