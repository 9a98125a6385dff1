"""Time stamps (RFC 3161): an authority signs that bytes with this hash existed at a time."""

import hashlib
import secrets
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Annotated, Final

import urllib3
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from keystead.client.errors import CannotConnect
from keystead.errors import InvalidInput, KeysteadError

_SHA256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_GRANTED: Final = (0, 1)
"""The statuses `granted` and `grantedWithMods`."""
_OK: Final = 200
_NONCE_BITS: Final = 64
MOST_BYTES: Final = 64 * 1024
"""The longest response. One with a chain of certificates has some KiB."""
TIMEOUT_SECONDS: Final = 30.0
PATIENCE_SECONDS: Final = 60.0
"""How long the whole response may take."""


@asn1.sequence
class _Algorithm:
    oid: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _Imprint:
    algorithm: _Algorithm
    hashed: bytes


@asn1.sequence
class _Request:
    version: int
    imprint: _Imprint
    policy: ObjectIdentifier | None
    nonce: int | None
    wants_certificate: Annotated[bool, asn1.Default(False)]


@asn1.sequence
class _Status:
    status: int
    text: list[str] | None
    failure: asn1.BitString | None


@asn1.sequence
class _Granted:
    status: _Status
    token: asn1.TLV


@asn1.sequence
class _Refused:
    status: _Status


@dataclass(frozen=True, slots=True)
class TimeStampRequest:
    """A request for a time stamp of bytes, of which the authority sees the hash alone."""

    encoded: bytes
    """The request in DER (TimeStampReq)."""
    expected: tuple[bytes, bytes]
    """The hash and the nonce in DER, which are in a response to this request."""

    @classmethod
    def of(cls, content: bytes) -> "TimeStampRequest":
        """Return a request with the SHA-256 of `content` and a fresh nonce."""
        imprint = _Imprint(
            algorithm=_Algorithm(oid=_SHA256, parameters=asn1.Null()),
            hashed=hashlib.sha256(content).digest(),
        )
        nonce = secrets.randbits(_NONCE_BITS)
        request = _Request(
            version=1, imprint=imprint, policy=None, nonce=nonce, wants_certificate=True
        )
        return cls(
            asn1.encode_der(request),
            (asn1.encode_der(imprint.hashed), asn1.encode_der(nonce)),
        )

    def require_answered_by(self, response: bytes) -> None:
        """Raise InvalidInput unless an authority grants this request in `response`.

        The signature is not checked: that takes the authority's certificate.
        """
        try:
            granted = asn1.decode_der(_Granted, response)
        except ValueError:
            raise InvalidInput(f"The authority gave no time stamp: {_refusal(response)}") from None
        if granted.status.status not in _GRANTED:
            raise InvalidInput(f"The authority gave no time stamp: {_text(granted.status)}")
        if not all(part in response for part in self.expected):
            raise InvalidInput("The authority gave a time stamp for another request.")


def ask_authority(
    url: str, request: TimeStampRequest, *, patience_seconds: float = PATIENCE_SECONDS
) -> bytes:
    """Return the response of the authority at an HTTP URL, in DER (TimeStampResp).

    Raises CannotConnect, also if the whole response takes too long, and InvalidInput if it grants
    no time stamp.
    """
    # A timeout of the connection is for a part: an authority could send a byte at a time for days.
    outcome: SimpleQueue[bytes | KeysteadError] = SimpleQueue()
    Thread(target=lambda: outcome.put(_outcome(url, request)), daemon=True).start()
    try:
        found = outcome.get(timeout=patience_seconds)
    except Empty:
        raise CannotConnect("The time-stamping authority takes too long.") from None
    if isinstance(found, KeysteadError):
        raise found
    return found


def _outcome(url: str, request: TimeStampRequest) -> bytes | KeysteadError:
    try:
        return _asked(url, request)
    except KeysteadError as error:
        return error


def _asked(url: str, request: TimeStampRequest) -> bytes:
    headers = {"Content-Type": "application/timestamp-query"}
    timeout = urllib3.Timeout(TIMEOUT_SECONDS)
    try:
        with urllib3.PoolManager(retries=False, timeout=timeout) as connections:
            answer = connections.request(
                "POST", url, body=request.encoded, headers=headers, preload_content=False
            )
            try:
                content = answer.read(MOST_BYTES, decode_content=False)
            finally:
                answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise CannotConnect(f"Cannot reach the time-stamping authority: {error}") from error
    if answer.status != _OK:
        raise InvalidInput(f"The authority gave no time stamp: HTTP status {answer.status}")
    request.require_answered_by(content)
    return content


def _refusal(response: bytes) -> str:
    try:
        return _text(asn1.decode_der(_Refused, response).status)
    except ValueError:
        return "its response cannot be read."


def _text(status: _Status) -> str:
    return f"status {status.status} {' '.join(status.text or ())}".strip()
