"""The API as Python: requests with credentials in, JSON, bytes and typed errors out."""

import base64
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol, Self, TypeAlias
from urllib.parse import quote, urlencode

from urllib3.exceptions import HTTPError

from keystead.client.errors import CannotConnect, UnexpectedAnswer, refusal
from keystead.client.json_text import parse_json
from keystead.client.transport import Answer, HttpRequest, Transport
from keystead.client.trust import Endpoint

DEFAULT_TIMEOUT_SECONDS: Final = 60.0
DEFAULT_CONNECTIONS: Final = 8
CHUNK_BYTES: Final = 64 * 1024
BATCH_MESSAGES: Final = 1000
"""The most messages that the server takes in a request to sign."""
BATCH_BYTES: Final = 1024 * 1024
"""Messages of a request, together: the answer to it does not take long."""

Json: TypeAlias = Any
"""What JSON decodes to: its shape is the server's matter."""

_BAD_REQUEST: Final = 400
_ROOT: Final = "/api/v1"
_REASON_BYTES: Final = 4096
_PAGE_KEYS: Final = "1000"
"""The most keys that the HSM shows in a page."""
_NEXT_PAGE: Final = re.compile(r'<(\?[^>]*)>; rel="next"')
"""The header Link (RFC 8288) of a page that is not the last."""
_NETHSM_CONDITIONS: Final = frozenset({"label", "filter"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """The user and the passphrase of requests."""

    user: str
    passphrase: str = field(repr=False)

    def header(self) -> str:
        """Return the value of the Authorization header."""
        pair = f"{self.user}:{self.passphrase}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


class Readable(Protocol):
    """A file, as far as it is needed here."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; none at the end."""
        ...


class Part(NamedTuple):
    """The file of a form: the API's name for it, its contents and their size."""

    name: str
    file: Readable
    size: int


class Client:
    """An HSM, by its API. Any number of threads may share one.

    Every method raises a ClientError: CannotConnect, or Refused with the HSM's reason.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        credentials: Credentials | None = None,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        connections: int = DEFAULT_CONNECTIONS,
    ) -> None:
        """Connect at the first request, to the first of `endpoints` that answers."""
        self._transport = Transport(
            endpoints, timeout_seconds=timeout_seconds, connections=connections
        )
        self._headers = {"User-Agent": "keystead"}
        if credentials is not None:
            self._headers["Authorization"] = credentials.header()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # --- any request; paths are below /api/v1 ---

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Return the JSON at `path`."""
        target = f"{path}?{urlencode(query)}" if query else path
        return _decoded(self._send("GET", target, is_repeatable=True))

    def get_bytes(self, path: str, *, accept: str = "*/*") -> bytes:
        """Return what is at `path` as it is."""
        return self._send("GET", path, headers={"Accept": accept}, is_repeatable=True).data

    def post(self, path: str, content: Json = None, *, is_repeatable: bool = False) -> Json:
        """Send JSON, or nothing; return the JSON of the answer, None if there is none."""
        return _decoded(self._send_json("POST", path, content, is_repeatable=is_repeatable))

    def post_for_bytes(self, path: str, content: Json = None) -> bytes:
        """Send JSON; return the answer as it is."""
        return self._send_json("POST", path, content, is_repeatable=False).data

    def put(self, path: str, content: Json = None) -> Json:
        """Send JSON, or nothing; return the JSON of the answer, None if there is none."""
        return _decoded(self._send_json("PUT", path, content, is_repeatable=False))

    def put_bytes(self, path: str, content: bytes, content_type: str) -> None:
        """Send `content` as it is."""
        self._send("PUT", path, headers={"Content-Type": content_type}, body=content)

    def delete(self, path: str) -> None:
        """Delete what is at `path`."""
        self._send("DELETE", path)

    def upload(self, path: str, file: Readable, size: int) -> Json:
        """POST the `size` bytes of a file while it is read; return the JSON of the answer."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        return _decoded(self._send("POST", path, headers=headers, body=_parts(file)))

    def upload_form(self, method: str, path: str, arguments: Json, part: Part) -> Json:
        """Send a form of JSON `arguments` and a file, while it is read."""
        boundary = secrets.token_hex(16)
        head, tail = _form(boundary, arguments, part.name)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + part.size + len(tail)),
        }
        body = chain([head], _parts(part.file), [tail])
        return _decoded(self._send(method, path, headers=headers, body=body))

    def download(self, path: str, *, method: str = "POST") -> Iterator[bytes]:
        """Send a request to `path` and yield the answer's body while it arrives."""
        answer = self._send(method, path, is_streamed=True)
        try:
            yield from answer.stream(CHUNK_BYTES)
        except HTTPError:
            raise CannotConnect("The connection broke before the end.") from None
        finally:
            answer.close()

    # --- keys ---

    def use(self, key_id: str, verb: str, content: Mapping[str, Json]) -> dict[str, Json]:
        """Use a key: POST /keys/{id}/{verb}; binary fields are base64."""
        answer: dict[str, Json] = self.post(
            f"/keys/{segment(key_id)}/{verb}", dict(content), is_repeatable=True
        )
        return answer

    def sign(self, key_id: str, mode: str, message: bytes) -> bytes:
        """Return the signature: of a digest or of a message, as the mode has it."""
        answer = self.use(key_id, "sign", {"mode": mode, "message": to_base64(message)})
        return base64.b64decode(answer["signature"])

    def sign_many(self, key_id: str, mode: str, messages: Iterable[bytes]) -> list[bytes]:
        """Return a signature for each message, in their order.

        A request takes many messages, and signs all of them or none. If a request fails, what
        earlier ones signed is lost, and each of those messages was a use of the key.
        """
        signatures: list[bytes] = []
        for batch in _batches(messages):
            content = {"mode": mode, "messages": [to_base64(message) for message in batch]}
            answer = self.use(key_id, "sign", content)
            signatures.extend(map(base64.b64decode, answer["signatures"]))
        return signatures

    def decrypt(self, key_id: str, mode: str, encrypted: bytes) -> bytes:
        """Return the plaintext."""
        answer = self.use(key_id, "decrypt", {"mode": mode, "encrypted": to_base64(encrypted)})
        return base64.b64decode(answer["decrypted"])

    def key(self, key_id: str) -> dict[str, Json]:
        """Return all that is public of a key."""
        found: dict[str, Json] = self.get(f"/keys/{segment(key_id)}")
        return found

    def list_keys(self, prefix: str = "", **conditions: str) -> Iterator[dict[str, Json]]:
        """Yield the keys whose IDs begin with `prefix`, in order, with all that is public of them.

        `conditions` are parameters of the API: label, labelContains, tag, type, filter. A NetHSM
        has no lists with details: its keys have the field `id` alone. Raises UnexpectedAnswer if
        it has ignored a condition.
        """
        path = f"/keys/{segment(prefix)}*" if prefix else "/keys"
        query = f"?{urlencode({'details': 'true', 'limit': _PAGE_KEYS, **conditions})}"
        while query:
            answer = self._send("GET", path + query, is_repeatable=True)
            page = _decoded(answer)
            if page and "type" not in page[0] and not conditions.keys() <= _NETHSM_CONDITIONS:
                raise UnexpectedAnswer(
                    "This HSM cannot list the keys of a tag, type or label part."
                )
            yield from page
            link = _NEXT_PAGE.fullmatch(answer.headers.get("Link", ""))
            query = link[1] if link else ""

    def public_pem(self, key_id: str) -> bytes:
        """Return the public key as SubjectPublicKeyInfo PEM."""
        return self.get_bytes(f"/keys/{segment(key_id)}/public.pem")

    # --- policies and approvals ---

    def policy(self, key_id: str) -> dict[str, Json]:
        """Return the policy of a key. Raises NotFound if it has none."""
        found: dict[str, Json] = self.get(f"/keys/{segment(key_id)}/policy")
        return found

    def set_policy(self, key_id: str, policy: Mapping[str, Json]) -> None:
        """Give a key a policy, instead of the one it has."""
        self.put(f"/keys/{segment(key_id)}/policy", policy)

    def remove_policy(self, key_id: str) -> None:
        """Remove the policy of a key."""
        self.delete(f"/keys/{segment(key_id)}/policy")

    def request_approval(self, key_id: str, reason: str, *, uses: int | None = None) -> str:
        """Ask for an approval to use a key, and return the approval's ID."""
        wanted = {"reason": reason} if uses is None else {"reason": reason, "uses": uses}
        return str(self.post(f"/keys/{segment(key_id)}/approvals", wanted)["id"])

    def approvals(self) -> list[dict[str, Json]]:
        """Return the approvals that the user may see, the oldest first."""
        found: list[dict[str, Json]] = self.get("/approvals")
        return found

    def approval(self, approval_id: str) -> dict[str, Json]:
        """Return an approval."""
        found: dict[str, Json] = self.get(f"/approvals/{segment(approval_id)}")
        return found

    def approve(self, approval_id: str) -> None:
        """Approve a use of a key."""
        self.post(f"/approvals/{segment(approval_id)}/approve")

    def refuse(self, approval_id: str) -> None:
        """Refuse a use of a key."""
        self.post(f"/approvals/{segment(approval_id)}/refuse")

    # --- attestation ---

    def attest(self, key_id: str, nonce: bytes) -> bytes:
        """Return what the HSM says of a key, signed: see `attestations.verify_attestation`."""
        path = f"/keys/{segment(key_id)}/attestation"
        return self.post_for_bytes(path, {"nonce": to_base64(nonce)})

    def identity(self) -> dict[str, str]:
        """Return the public key and the certificates that attestations are verified with."""
        found: dict[str, str] = self.get("/system/identity")
        return found

    def machine_quote(self, nonce: bytes) -> bytes:
        """Return what the TPM signed of the machine: see `quotes.verify_quote`."""
        return self.post_for_bytes("/system/attestation", {"nonce": to_base64(nonce)})

    def attestation_key(self) -> bytes | None:
        """Return the key that verifies quotes, SubjectPublicKeyInfo. None without a TPM."""
        found = self.get("/system/info")["akPub"].get("P256")
        return None if found is None else base64.b64decode(found)

    # --- the HSM ---

    def state(self) -> str:
        """Return the HSM's state: Unprovisioned, Locked, Operational or Failed."""
        return str(self.get("/health/state")["state"])

    def console_file(self, path: str) -> bytes:
        """Return a file of the console, `path` below /console, as a browser gets it."""
        return self._send("GET", path, root="/console", is_repeatable=True).data

    # --- how it is sent ---

    def _send_json(self, method: str, path: str, content: Json, *, is_repeatable: bool) -> Answer:
        headers, body = {}, None
        if content is not None:
            headers, body = {"Content-Type": "application/json"}, json.dumps(content).encode()
        return self._send(method, path, headers=headers, body=body, is_repeatable=is_repeatable)

    def _send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        root: str = _ROOT,
        **how: bool,
    ) -> Answer:
        request = HttpRequest(
            method, root + path, {**self._headers, **(headers or {})}, body, **how
        )
        answer = self._transport.send(request)
        if answer.status >= _BAD_REQUEST:
            raise refusal(answer.status, _reason(answer))
        return answer


def segment(name: str) -> str:
    """Return a name as one segment of a path, whatever it holds."""
    return quote(name, safe="~")


def to_base64(content: bytes) -> str:
    """Return bytes as the API has them in JSON."""
    return base64.b64encode(content).decode()


def _batches(messages: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the messages in lists that a request takes. A long message is a list of its own."""
    batch: list[bytes] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == BATCH_MESSAGES or size + len(message) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message)
    if batch:
        yield batch


def _parts(file: Readable) -> Iterator[bytes]:
    while part := file.read(CHUNK_BYTES):
        yield part


def _form(boundary: str, arguments: Json, name: str) -> tuple[bytes, bytes]:
    """Return what multipart/form-data (RFC 7578) has before the file, and after it."""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="arguments"\r\n'
        f"Content-Type: application/json\r\n\r\n{json.dumps(arguments)}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode(), f"\r\n--{boundary}--\r\n".encode()


def _decoded(answer: Answer) -> Json:
    if not answer.data:
        return None
    try:
        return parse_json(answer.data)
    except ValueError:
        raise UnexpectedAnswer(
            f"The answer is not JSON (status {answer.status}): is this an HSM?"
        ) from None


def _reason(answer: Answer) -> str:
    """Return the reason of a refusal: the API's message, or the text as it came."""
    text = answer.data[:_REASON_BYTES].decode(errors="replace").strip()
    try:
        message = parse_json(text)["message"]
    except (ValueError, KeyError, TypeError):
        message = text
    return str(message) or f"The HSM answered with status {answer.status}."
