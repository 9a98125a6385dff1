"""How long a session can be resumed: no longer than the key of its ticket is kept."""

import socket
import ssl
from typing import Final

import pytest

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
        socket.create_connection(("127.0.0.1", edge.port), timeout=10) as plain,
        context.wrap_socket(plain, session=session) as client,
    ):
        client.sendall(GET)
        client.recv(65536)  # In TLS 1.3 the ticket comes with the first answer.
        assert client.session_reused is not None
        assert client.session is not None
        return client.session_reused, client.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_resumes_until_the_edge_is_welcomed_again(version):
    context = trusting_anyone()
    context.maximum_version = version
    with running_edge() as edge:
        _, session = connect(edge, context, None)
        assert connect(edge, context, session)[0]
        edge.welcome(*identity())
        assert not connect(edge, context, session)[0]


def test_resuming_in_tls_1_3_always_agrees_on_a_new_key():
    with running_edge() as edge:
        context = edge.server._context  # noqa: SLF001
        assert context is not None
        assert not context.options & ALLOW_NO_DHE_KEX
