"""The server's side of a TLS handshake. A failing handshake ends with its alert and a reason.

The event loop would drop the alert that the TLS library writes when a handshake fails. So a failure
is first shown to the loop as a wait for the client, and the loop sends the alert. Later bytes of
the client are dropped, within a bound, until it closes or its time for the handshake is over.
"""

import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, NoReturn

from keystead.edge.limits import MAX_DRAIN_BYTES
from keystead.edge.response_head import HTTPS_ONLY
from keystead.wire.edge_messages import Refusal

_REASONS: Final[dict[str, Refusal]] = {
    "HTTP_REQUEST": "tls_plain_http",
    "HTTPS_PROXY_REQUEST": "tls_plain_http",
    "UNSUPPORTED_PROTOCOL": "tls_version",
    "VERSION_TOO_LOW": "tls_version",
    "WRONG_SSL_VERSION": "tls_version",
    "UNKNOWN_PROTOCOL": "tls_version",
    "NO_SHARED_CIPHER": "tls_cipher",
    "NO_SUITABLE_KEY_SHARE": "tls_group",
    "NO_SHARED_GROUP": "tls_group",
    "NO_SUITABLE_GROUPS": "tls_group",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "tls_signature_algorithm",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "tls_signature_algorithm",
    "WRONG_VERSION_NUMBER": "tls_not_tls",
}
"""The reasons for errors of the TLS library by their names. All others are "tls_malformed"."""

RECORD_BYTES: Final = 16 * 1024
"""The longest content of a TLS record (RFC 8446, 5.1)."""

_HTTP: Final = b" HTTP/1."
"""A part of the first line of any HTTP request. The TLS library knows only some methods."""


class Handshake:
    """One handshake, and why it failed, if it did."""

    def __init__(self, on_refused: Callable[[Refusal], None]) -> None:
        self._on_refused = on_refused
        self.is_refused = False

    def refuse(self, reason: Refusal) -> None:
        """Note why it failed."""
        self.is_refused = True
        self._on_refused(reason)


ATTEMPT: Final = ContextVar[Handshake | None]("attempt", default=None)
"""The handshake that the event loop begins now: the loop does not pass it to the TLS library."""


class _ServerSide(ssl.SSLObject):
    """The TLS library's side of one connection."""

    attempt: Handshake | None
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    dropped = 0
    _sslobj: Any

    def do_handshake(self) -> None:
        """Continue the handshake. Raises its error only after the alert was sent."""
        attempt = self.attempt
        if attempt is not None and attempt.is_refused:
            self._drop()
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            raise
        except ssl.SSLError as error:
            if attempt is None:
                raise
            reason = _refusal(error)
            if reason == "tls_not_tls" and _HTTP in self.incoming.read():
                reason = "tls_plain_http"
            attempt.refuse(reason)
            if reason == "tls_plain_http":
                self.outgoing.write(HTTPS_ONLY)
            if not self.outgoing.pending:
                raise
            raise ssl.SSLWantReadError from error

    def read(self, len: int = RECORD_BYTES, buffer: Any = None) -> bytes:  # noqa: A002, ANN401 - as the ssl module has it
        """Return what one record holds at most, as the TLS library does in any case.

        The event loop asks for 256 KiB, and Python would allocate as much for each read.
        """
        if buffer is not None:
            return super().read(len, buffer)
        data: bytes = self._sslobj.read(min(len, RECORD_BYTES))
        return data

    def _drop(self) -> NoReturn:
        self.dropped += len(self.incoming.read())
        if self.dropped > MAX_DRAIN_BYTES:
            raise ConnectionAbortedError
        raise ssl.SSLWantReadError


class ServerContext(ssl.SSLContext):
    """A context whose failing handshakes send their alert. ATTEMPT is the present handshake."""

    sslobject_class: type[ssl.SSLObject] = _ServerSide

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - as the ssl module has it
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Return the TLS library's side of a connection, which knows its buffers."""
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, _ServerSide):
            made.attempt = ATTEMPT.get()
            made.incoming, made.outgoing = incoming, outgoing
        return made


def _refusal(error: ssl.SSLError) -> Refusal:
    reason = error.reason or ""
    if "_ALERT_" in reason:
        return "tls_client_alert"
    return _REASONS.get(reason, "tls_malformed")
