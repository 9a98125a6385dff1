"""The server's side of a TLS handshake: a failing one ends with its alert, and with a reason.

The event loop drops what the TLS library wrote as the handshake failed. So a failure is first shown
to the loop as if the client had to say more, which has it send the alert; what the client still
sends is dropped, within a bound, until it closes or its time for the handshake is over.
"""

import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, NoReturn

from keystead.edge.limits import MAX_DRAIN_BYTES
from keystead.edge.response_head import HTTPS_ONLY
from keystead.wire.messages import Refusal

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
"""The TLS library's names for what it found; all others are "tls_malformed"."""

_HTTP: Final = b" HTTP/1."
"""In the first line of any request. The TLS library knows only some of the methods."""


class Handshake:
    """One handshake: whether it has failed."""

    def __init__(self, on_refused: Callable[[Refusal], None]) -> None:
        self._on_refused = on_refused
        self.is_refused = False

    def refuse(self, reason: Refusal) -> None:
        """Note why it failed."""
        self.is_refused = True
        self._on_refused(reason)


ATTEMPT: Final = ContextVar[Handshake | None]("attempt", default=None)
"""The one that the event loop is at, which makes the TLS library's side without saying for whom."""


class _ServerSide(ssl.SSLObject):
    """The TLS library's side of one connection."""

    attempt: Handshake | None
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    dropped = 0

    def do_handshake(self) -> None:
        """Go on as far as possible. Raises an error once there is no more to send about it."""
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

    def _drop(self) -> NoReturn:
        self.dropped += len(self.incoming.read())
        if self.dropped > MAX_DRAIN_BYTES:
            raise ConnectionAbortedError
        raise ssl.SSLWantReadError


class ServerContext(ssl.SSLContext):
    """A context whose handshakes end with their alert, where ATTEMPT says which one it is."""

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
