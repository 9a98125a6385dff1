"""How long a session can be resumed: no longer than the key of its ticket is kept."""

import socket
import ssl
from typing import Final

import pytest

from keystead import algorithms
from keystead.certificates.tls_identity import self_signed_chain
from tests.support.edge import Edge, identity, running_edge
from tests.support.server import trusting_anyone

GET: Final = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
ALLOW_NO_DHE_KEX: Final = 1 << 10
"""OpenSSL's SSL_OP_ALLOW_NO_DHE_KEX, which the ssl module does not name."""


def connect(
    edge: Edge, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[bool, ssl.SSLSession]:
    """Whether a connection resumed `session`, and the session that it ended with."""
    with (
        socket.create_connection(("127.0.0.1", edge.port), timeout=60) as plain,
        context.wrap_socket(plain, session=session) as client,
    ):
        client.sendall(GET)
        client.recv(65536)  # In TLS 1.3 the ticket comes with the first answer.
        assert client.session_reused is not None
        assert client.session is not None
        return client.session_reused, client.session


def rsa_identity() -> tuple[bytes, bytes]:
    private = algorithms.BY_NAME["RSA"].generate(2048)
    return private.material().pem or b"", self_signed_chain(private, "hsm.example")


@pytest.mark.parametrize(
    ("version", "make_identity"),
    [(ssl.TLSVersion.TLSv1_2, identity), (ssl.TLSVersion.TLSv1_3, rsa_identity)],
)
def test_a_session_resumes_until_the_edge_is_welcomed_again(version, make_identity):
    context = trusting_anyone()
    context.maximum_version = version
    served = make_identity()
    with running_edge() as edge:
        edge.ask(GET)  # It serves the identity that it has first.
        edge.welcome(*served)
        _, session = connect(edge, context, None)
        assert connect(edge, context, session)[0]
        edge.welcome(*served)
        assert not connect(edge, context, session)[0]


def test_tls_1_3_sends_no_ticket_where_resuming_would_save_next_to_nothing():
    with running_edge() as edge:
        _, session = connect(edge, trusting_anyone(), None)
        assert not session.has_ticket


def test_resuming_in_tls_1_3_always_agrees_on_a_new_key():
    with running_edge() as edge:
        context = edge.server._context  # noqa: SLF001
        assert context is not None
        assert not context.options & ALLOW_NO_DHE_KEX
