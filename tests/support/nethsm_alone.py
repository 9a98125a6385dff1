"""A server in front of Keystead that has NetHSM's API alone: ours is refused as NetHSM refuses it.

It is made of the facts about NetHSM's description: operations, fields and names that are not there
are 404 and 400, parameters after `?` that are not there count for nothing, and no answer has more.
"""

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.x509 import load_pem_x509_certificate

from tests.support.authority import Authority
from tests.support.nethsm_api import ENUMS, OPERATIONS
from tests.support.server import Server
from tests.support.syslog_receiver import server_context

HOST = "127.0.0.1"
ROOT = "/api/v1"
OWN_QUERIES = ("filter", "label")
"""NetHSM's own parameters after `?`, which its description has and the facts have not."""
OWN_PARTS = ("id", "label", "mechanisms", "operations", "public", "restrictions", "type")
"""What an answer tells of a key."""


class NetHsmAlone(ThreadingHTTPServer):
    """Answers with what `behind` answers, where NetHSM would."""

    daemon_threads = True

    def __init__(self, behind: Server, folder: Path) -> None:
        super().__init__((HOST, 0), _Handler)
        self.behind = behind
        context = server_context(folder, Authority("tests"), HOST)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        certificate = load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
        self.fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        self.refused: list[str] = []
        """What NetHSM has not, in the order in which it was asked for."""

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error."""


@contextlib.contextmanager
def nethsm_alone(behind: Server, folder: Path) -> Iterator[NetHsmAlone]:
    with NetHsmAlone(behind, folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: NetHsmAlone

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        address = urlsplit(self.path)
        path = address.path.removeprefix(ROOT)
        refusal = self._refusal(path, body)
        if refusal:
            self.server.refused.append(f"{self.command} {path}")
            self._write(refusal, "application/json", b'{"message":"not in this API"}')
            return
        queries = [pair for pair in parse_qsl(address.query) if pair[0] in OWN_QUERIES]
        target = f"{path}?{urlencode(queries)}" if queries else path
        kept = ("Authorization", "Content-Type")
        headers = {name: self.headers[name] for name in kept if name in self.headers}
        given = self.server.behind.request(
            self.command, target, body=body or None, headers=headers, timeout_seconds=60
        )
        kind = given.headers.get("content-type", "")
        self._write(given.status, kind, _without_extensions(kind, given.body))

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - http.server names them

    def log_message(self, *_: object) -> None:
        """Tests have no use for it."""

    def _refusal(self, path: str, body: bytes) -> int | None:
        """Return the status with which NetHSM refuses what it does not know."""
        facts = OPERATIONS.get(f"{self.command} {_pattern(path)}")
        if facts is None:
            return 404
        if self.headers.get("Content-Type") != "application/json":
            return None
        fields = json.loads(body)
        is_known = set(fields) <= set(facts["fields"]) and all(
            value in ENUMS[enum] for enum, value in _names(path, fields)
        )
        return None if is_known else 400

    def _write(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _pattern(path: str) -> str:
    """Return the path as the facts name it."""
    if path in ("/keys", "/keys/generate"):
        return path
    return re.sub(r"^/(keys|users)/[^/]+", r"/\1/{}", path)


def _names(path: str, fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names in a request, each with the list of those that there are."""
    if "type" in fields:
        yield "KeyType", fields["type"]
    for mechanism in fields.get("mechanisms", ()):
        yield "KeyMechanism", mechanism
    if "mode" in fields:
        yield f"{path.rpartition('/')[2].capitalize()}Mode", fields["mode"]


def _without_extensions(kind: str, body: bytes) -> bytes:
    if kind != "application/json" or not body:
        return body
    return json.dumps(_as_nethsm_tells(json.loads(body))).encode()


def _as_nethsm_tells(told: Any) -> Any:
    if not isinstance(told, dict) or "mechanisms" not in told:
        return told
    known = {name: value for name, value in told.items() if name in OWN_PARTS}
    known["mechanisms"] = [name for name in told["mechanisms"] if name in ENUMS["KeyMechanism"]]
    return known
