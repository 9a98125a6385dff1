"""A connection from its acceptance to the end of its TLS handshake.

When a handshake fails, the TLS library sends its alert. Then the edge drops what the client still
sends, within a bound, until the client closes or has had a moment to read the alert: if a socket is
closed with unread bytes, the kernel discards the alert.
"""

import contextlib
import socket
import ssl
from collections.abc import Callable, Generator
from typing import Final

from keystead.edge.client_stream import RECORD_BYTES, received
from keystead.edge.context import EdgeContext
from keystead.edge.limits import MAX_DRAIN_BYTES
from keystead.edge.proxy_protocol import Address, read_header
from keystead.edge.response_head import own_answer
from keystead.edge.tls import TlsSocket, serve_tls
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

_HTTP: Final = b" HTTP/1."
"""A part of the first line of any HTTP request. The TLS library knows only some methods."""
_HTTPS_ONLY: Final = "This is HTTPS: the address begins with https://."
"""For a client that speaks HTTP without TLS, in the clear."""


class Handshake:
    """One connection that is not open yet."""

    is_waiting: Final = True

    def __init__(
        self,
        context: EdgeContext,
        accepted: socket.socket,
        client: str,
        on_done: Callable[[socket.socket, TlsSocket, str], None],
    ) -> None:
        """Take `accepted`, which does not block. `client` is the peer's address.

        `on_done` is called with it, the TLS side of it, and the address of the client.
        """
        self._all: Final = context
        self._socket: Final = accepted
        self._descriptor: Final = accepted.fileno()
        self._client = client
        self._on_done: Final = on_done
        self._dropped = 0
        self._is_refused = False
        self._is_writing = False
        """Whether the handshake waits for the client to take a part of it."""
        self.waiting_since = context.now()
        self.deadline = self.waiting_since + context.timeouts.handshake
        context.connections[self] = None

    # --- the server's side -----------------------------------------------------------------

    def begin(self, tls: ssl.SSLContext) -> None:
        """Begin to shake hands."""
        side = serve_tls(tls, self._socket)
        self._all.loop.add_reader(self._descriptor, self._shake_hands, side)

    def begin_behind_proxy(self, tls: ssl.SSLContext) -> None:
        """Read the client's address from the proxy first."""
        header = read_header()
        wanted, part = next(header), b""

        def go_on() -> None:
            nonlocal wanted, part
            more = received(self._socket, wanted - len(part))
            if more is None:
                return
            if not more:
                self._refuse("tls_closed")
                self._close()
                return
            part += more
            if len(part) == wanted:
                wanted, part = self._advance(header, part, tls), b""

        self._all.loop.add_reader(self._descriptor, go_on)

    def timed_out(self) -> None:
        """Close the connection."""
        self._refuse("tls_timeout")
        self._close()

    def make_room(self) -> None:
        """Close the connection."""
        self._close()

    def stop(self) -> None:
        """Close the connection."""
        self._close()

    # --- the steps -------------------------------------------------------------------------

    def _advance(
        self, header: Generator[int, bytes, Address | None], part: bytes, tls: ssl.SSLContext
    ) -> int:
        """Return how many bytes of the proxy's header to read next, or 0 after its end."""
        try:
            return header.send(part)
        except StopIteration as end:
            self._client = str(end.value or self._client)
            self.begin(tls)
        except ValueError:
            self._refuse("proxy_header")
            self._close()
        return 0

    def _shake_hands(self, tls: TlsSocket) -> None:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._await_bytes(tls)
        except ssl.SSLWantWriteError:  # The certificate chain is longer than the socket's buffer.
            self._await_room(tls)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError):
            self._refuse("tls_closed")
            self._close()
        except ssl.SSLError as error:
            self._fail(_refusal(error))
        except OSError:
            self._refuse("tls_closed")
            self._close()
        else:
            self._stop_writing()
            self._all.connections.pop(self, None)
            self._on_done(self._socket, tls, self._client)

    def _fail(self, reason: Refusal) -> None:
        """Tell the client what the TLS library does not tell, and wait until it closes."""
        plain = self._socket
        with contextlib.suppress(OSError):  # Nothing more has come.
            if reason == "tls_not_tls" and _HTTP in plain.recv(RECORD_BYTES):
                reason = "tls_plain_http"
        with contextlib.suppress(OSError):  # The client is gone.
            if reason == "tls_plain_http":
                plain.send(own_answer(400, _HTTPS_ONLY))
            plain.shutdown(socket.SHUT_WR)
        self._refuse(reason)
        self.deadline = min(self.deadline, self._all.now() + self._all.timeouts.linger)
        self._stop_writing()
        self._all.loop.add_reader(self._descriptor, self._drop)

    def _drop(self) -> None:
        data = received(self._socket, RECORD_BYTES)
        if data is None:
            return
        self._dropped += len(data)
        if not data or self._dropped > MAX_DRAIN_BYTES:
            self._close()

    def _refuse(self, reason: Refusal) -> None:
        """Count the handshake as failed, once."""
        if not self._is_refused:
            self._is_refused = True
            self._all.refusals[reason] += 1

    def _await_bytes(self, tls: TlsSocket) -> None:
        if self._is_writing:
            self._stop_writing()
            self._all.loop.add_reader(self._descriptor, self._shake_hands, tls)

    def _await_room(self, tls: TlsSocket) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._all.loop.remove_reader(self._descriptor)  # What the client sends can wait.
            self._all.loop.add_writer(self._descriptor, self._shake_hands, tls)

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._all.loop.remove_writer(self._descriptor)

    def _close(self) -> None:
        self._all.loop.remove_reader(self._descriptor)
        self._stop_writing()
        self._socket.close()
        self._all.forget(self)


def _refusal(error: ssl.SSLError) -> Refusal:
    reason = error.reason or ""
    if "_ALERT_" in reason:
        return "tls_client_alert"
    return _REASONS.get(reason, "tls_malformed")
