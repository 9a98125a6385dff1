"""The TLS side of the edge: TLS 1.2 or later, modern suites, the key never in a file."""

import contextlib
import os
import ssl
from typing import Final

_TLS_1_2_SUITES: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and authenticated encryption only (RFC 9325, 4.2); TLS 1.3 has no others."""


def server_context(key_pem: bytes, chain_pem: bytes) -> ssl.SSLContext:
    """Return a context that serves this identity. Raises ssl.SSLError when the two do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _load_identity(context, key_pem + b"\n" + chain_pem)
    return context


def try_out(key_pem: bytes, chain_pem: bytes) -> str:
    """Return why a client of today could not connect to this identity; empty when it could.

    Certificates that load may still be of no use: no client offers the Brainpool curves, and some
    keys and hashes are too weak for the system's policy. Only a handshake tells.
    """
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    upward, downward = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context = server_context(key_pem, chain_pem)
        client = client_context.wrap_bio(downward, upward)
        server = context.wrap_bio(upward, downward, server_side=True)
        for side in (client, server, client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLError as error:
        return (error.reason or "unknown reason").replace("_", " ").lower()
    return "" if server.version() and client.version() else "the handshake does not end"


def _load_identity(context: ssl.SSLContext, pem: bytes) -> None:
    """Load key and chain from memory: the ssl module wants a path, an anonymous file has one."""
    memory = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(memory, pem)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
        os.pwrite(memory, bytes(len(pem)), 0)
    finally:
        os.close(memory)
