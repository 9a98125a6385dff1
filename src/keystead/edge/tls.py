"""The TLS side of the edge: TLS 1.2 or later, modern suites, the key never in a file."""

import contextlib
import os
import socket
import ssl
from typing import Final, Protocol

_TLS_1_2_SUITES: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and authenticated encryption only (RFC 9325, 4.2); TLS 1.3 has no others."""

_RSA_ENCRYPTION: Final = b"DANBgkqhkiG9w0BAQEFAA"
"""Where PKCS#8 names the algorithm of an RSA key (RFC 8017, A.1), in Base64. The bytes before it
have the same length for all keys from 1,024 to 524,000 bits.

In TLS 1.3 only handshakes with such a key are resumed. With any other key, a resumed handshake
costs nearly as much as a full one, and tickets cost a sixth of each full one."""

_VERSIONS: Final = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
_MOST_FLIGHTS: Final = 3
"""Turns of each side in a handshake of TLS 1.2."""


class TlsSocket(Protocol):
    """The TLS library's side of one connection. It reads and writes the socket itself."""

    def do_handshake(self) -> None:
        """Go on with the handshake. Raises OSError if it is not at its end."""
        ...

    def read(self, size: int) -> bytes:
        """Return what one record holds at most, or b"" at the end. Raises OSError if it cannot."""
        ...

    def write(self, data: bytes | memoryview) -> int:
        """Write one record, and return what it holds. Raises OSError if it cannot."""
        ...

    def shutdown(self) -> object:
        """Send the last record. Raises OSError unless that of the client is here too."""
        ...


def serve_tls(context: ssl.SSLContext, accepted: socket.socket) -> TlsSocket:
    """Return the TLS library's side of a connection whose socket does not block.

    `ssl.SSLSocket` would be another socket object around it, with a system call for each flight of
    a handshake, and four more before it. That was a fourteenth of the edge's work for a handshake.
    """
    wrapped: TlsSocket = context._wrap_socket(accepted, server_side=True)  # type: ignore[attr-defined]  # noqa: SLF001
    return wrapped


class KeyMemory:
    """An anonymous file through which keys are loaded, because the ssl module needs a path.

    It is made once, before the sandbox forbids it, and is empty between two loads.
    """

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)

    def load(self, context: ssl.SSLContext, pem: bytes) -> None:
        """Load a private key and its chain into `context`.

        Raises ssl.SSLError, or in the sandbox another OSError: Python then reports that the C
        library may not look at the file, and drops what OpenSSL said.
        """
        try:
            os.pwrite(self._descriptor, pem, 0)
            context.load_cert_chain(f"/proc/self/fd/{self._descriptor}")
        finally:
            os.pwrite(self._descriptor, bytes(len(pem)), 0)
            os.ftruncate(self._descriptor, 0)


def server_context(key_pem: bytes, chain_pem: bytes, memory: KeyMemory) -> ssl.SSLContext:
    """Return a context that serves this identity. Raises OSError as `KeyMemory.load` does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 1 if _RSA_ENCRYPTION in key_pem else 0
    memory.load(context, key_pem + b"\n" + chain_pem)
    return context


def try_out(key_pem: bytes, chain_pem: bytes, memory: KeyMemory) -> str:
    """Return why a current client could not connect to this identity, or "" if it could.

    A certificate that loads may still be useless. Hardly any client offers the Brainpool curves
    (the newest OpenSSL does, and only in TLS 1.3), and some keys and hashes are too weak for the
    system's policy. Only a handshake shows it, with each TLS version that is served.
    """
    try:
        context = server_context(key_pem, chain_pem, memory)
        refusals = [_shake_hands(context, version) for version in _VERSIONS]
    except ssl.SSLError as error:
        return (error.reason or "unknown reason").replace("_", " ").lower()
    except OSError:
        return "the TLS library refuses it"
    return next(filter(None, refusals), "")


def _shake_hands(context: ssl.SSLContext, version: ssl.TLSVersion) -> str:
    """Return the error of a handshake with a client of this TLS version, or ""."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    client_context.maximum_version = version
    upward, downward = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(downward, upward)
    server = context.wrap_bio(upward, downward, server_side=True)
    for side in (client, server) * _MOST_FLIGHTS:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return "" if server.version() and client.version() else "the handshake does not end"
