"""The TLS side of the edge: TLS 1.2 or later, modern suites, the key never in a file."""

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


def _load_identity(context: ssl.SSLContext, pem: bytes) -> None:
    """Load key and chain from memory: the ssl module wants a path, an anonymous file has one."""
    memory = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(memory, pem)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
        os.pwrite(memory, bytes(len(pem)), 0)
    finally:
        os.close(memory)
