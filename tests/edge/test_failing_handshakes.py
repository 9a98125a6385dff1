"""How a TLS handshake fails: what the client gets, byte by byte, and what is counted."""

import contextlib
import socket
import ssl
import struct
import subprocess
from typing import Final

import pytest

from keystead.edge.limits import MAX_DRAIN_BYTES, Timeouts
from tests.support.edge import Edge, identity, running_edge
from tests.support.server import trusting_anyone, wait_until

GET: Final = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
TLS_1_2, TLS_1_3 = "0303", "0304"
GOOD_SUITES: Final = "1301c02bc02f"
P256_AND_SIGNATURES: Final = "000a000400020017" + "000d000400020403"
FATAL: Final = b"\x02"


def hello(suites: str, extensions: str = "", *, version: str = TLS_1_2) -> bytes:
    """A ClientHello in one record; all in hexadecimal."""
    offered, more = bytes.fromhex(suites), bytes.fromhex(extensions)
    body = bytes.fromhex(version) + bytes(33) + len(offered).to_bytes(2) + offered + b"\x01\x00"
    body += len(more).to_bytes(2) + more if more else b""
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(message).to_bytes(2) + message


def versions(version: str) -> str:
    return "002b000302" + version


FAILURES: Final = {
    "no version": (hello(GOOD_SUITES, version="0301"), 70, "tls_version"),
    "no cipher": (hello("002f"), 40, "tls_cipher"),
    "no cipher of TLS 1.3": (
        hello("002f", versions(TLS_1_3) + P256_AND_SIGNATURES + "003300020000"),
        40,
        "tls_cipher",
    ),
    "no group": (
        hello("1301", versions(TLS_1_3) + "000a00040002fe00" + "000d000400020403" + "003300020000"),
        40,
        "tls_group",
    ),
    "no signature algorithm": (
        hello("c02b", "000a000400020017" + "000d000400020201"),
        40,
        "tls_signature_algorithm",
    ),
    "a message with a wrong length inside": (
        hello(GOOD_SUITES)[:-1] + b"\x05",
        50 if ssl.OPENSSL_VERSION_INFO < (3, 6) else 47,
        "tls_malformed",
    ),
    "a message that no client begins with": (
        b"\x16\x03\x01\x00\x04\x0b\0\0\0",
        10,
        "tls_malformed",
    ),
    "an oversized record": (b"\x16\x03\x01\x50\x00" + bytes(64), 22, "tls_malformed"),
    "a record of an unknown kind": (b"\x19\x03\x03\x00\x04abcd", 10, "tls_malformed"),
}


@contextlib.contextmanager
def plain(edge: Edge):
    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as client:
        yield client


def received(client: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("kind", FAILURES)
def test_the_alert_is_sent_before_the_close_and_its_reason_is_counted(kind):
    sent, alert, reason = FAILURES[kind]
    with running_edge(timeouts=Timeouts(linger=0.2)) as edge, plain(edge) as client:
        client.sendall(sent)
        got = received(client)
        assert got[:1] == b"\x15", (kind, got)
        assert got[3:] == b"\x00\x02" + FATAL + bytes([alert])
        wait_until(lambda: edge.refusals, seconds=60)
        assert edge.refusals == {reason: 1}


@pytest.mark.parametrize("sent", [bytes(range(40)), b"\xff" * 100, b"\x16\x02\0\0\x05\1\0\0\1\0"])
def test_what_is_no_tls_gets_nothing_and_is_counted(sent):
    with running_edge() as edge, plain(edge) as client:
        client.sendall(sent)
        assert received(client) == b""
        wait_until(lambda: edge.refusals == {"tls_not_tls": 1}, seconds=60)


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"])
def test_plain_http_is_told_in_plain_http_that_this_is_https(method):
    with running_edge(timeouts=Timeouts(linger=0.2)) as edge, plain(edge) as client:
        client.sendall(GET.replace(b"GET", method))
        got = received(client)
        assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"connection: close\r\n" in got
        assert b"This is HTTPS" in got
        wait_until(lambda: edge.refusals == {"tls_plain_http": 1}, seconds=60)
        assert not edge.received


def test_what_follows_a_failure_is_dropped_within_a_bound_and_answered_by_nothing():
    with running_edge(timeouts=Timeouts(linger=60, handshake=60)) as edge, plain(edge) as client:
        client.sendall(GET)
        first = client.recv(65536)
        with contextlib.suppress(ConnectionError):
            client.sendall(GET * (3 * MAX_DRAIN_BYTES // len(GET)))
        assert received(client) == b""
        assert first.count(b"HTTP/1.1 400") == 1
        wait_until(lambda: not edge.server._all.connections, seconds=60)  # noqa: SLF001


def test_a_client_that_does_not_close_after_the_alert_is_closed():
    with running_edge(timeouts=Timeouts(linger=0.2, handshake=60)) as edge, plain(edge) as client:
        client.sendall(hello("002f"))
        assert len(received(client)) == 7
        wait_until(lambda: not edge.server._all.connections, seconds=60)  # noqa: SLF001


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_does_not_trust_the_certificate_is_counted(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = version
    with running_edge() as edge:
        with plain(edge) as client, pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(client, server_hostname="edge")
        wait_until(lambda: edge.refusals == {"tls_client_alert": 1}, seconds=60)


def test_a_handshake_that_takes_too_long_or_is_given_up_is_counted():
    with running_edge(timeouts=Timeouts(handshake=0.2)) as edge:
        with plain(edge) as client:
            assert received(client) == b""
        wait_until(lambda: edge.refusals == {"tls_timeout": 1}, seconds=60)
        with plain(edge):
            pass
        wait_until(lambda: edge.refusals == {"tls_timeout": 1, "tls_closed": 1}, seconds=60)


@pytest.mark.parametrize("sent", [b"", hello(GOOD_SUITES)[:30]], ids=["nothing", "half a hello"])
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_is_gone_before_the_end_of_the_handshake_is_counted(sent, is_reset):
    with running_edge() as edge:
        with plain(edge) as client:
            client.sendall(sent)
            wait_until(lambda: edge.server._all.connections, seconds=60)  # noqa: SLF001
            if is_reset:
                linger = struct.pack("ii", 1, 0)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wait_until(lambda: edge.refusals == {"tls_closed": 1}, seconds=60)
        assert not edge.server._all.connections  # noqa: SLF001


def test_openssl_shows_the_alert():
    options = ("-tls1_2", "-cipher", "AES128-SHA")
    with running_edge() as edge:
        ended = subprocess.run(  # noqa: S603
            ["/usr/bin/openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", *options],
            input=b"",
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert b"SSL alert number 40" in ended.stderr


def test_requests_and_connections_that_are_refused_are_counted():
    with running_edge(timeouts=Timeouts(linger=0.2, head=0.2), max_connections=1) as edge:
        assert edge.ask(b"GET /a HTTP/1.1\r\n\r\n").status == 400
        wait_until(lambda: edge.refusals["http_400"] == 1, seconds=60)
        late = edge.connect()
        late.send(b"GET")
        assert late.read_answer().status == 408
        wait_until(lambda: edge.refusals["http_408"] == 1, seconds=60)
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(plain(edge))
            wait_until(lambda: edge.refusals["connection_evicted"] >= 2, seconds=60)


def test_a_full_edge_whose_connections_are_all_at_work_counts_whom_it_turns_away():
    with running_edge(max_connections=1) as edge:
        edge.keep_silent()
        edge.connect().send(GET)
        wait_until(lambda: edge.received, seconds=60)
        with plain(edge) as client:
            assert received(client) == b""
        wait_until(lambda: edge.refusals == {"connection_limit": 1}, seconds=60)


def test_a_handshake_that_ends_well_counts_nothing():
    with running_edge() as edge:
        assert edge.ask(GET).status == 200
        with plain(edge) as client:
            trusting_anyone().wrap_socket(client).close()
        edge.on_loop(edge.server._report)  # noqa: SLF001
        assert not edge.refusals


def test_a_chain_that_does_not_fit_the_sockets_buffer_comes_as_the_client_takes_it():
    key, chain = identity()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting_anyone().wrap_bio(incoming, outgoing, server_hostname="h")
    with running_edge() as edge, socket.socket() as client:
        (listener,) = edge.server._listeners  # noqa: SLF001
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # Inherited.
        assert edge.ask(GET).status == 200
        edge.welcome(key, chain * 100)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(("127.0.0.1", edge.port))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        client.sendall(outgoing.read())
        wait_until(lambda: _waits_for_its_client(edge), seconds=60)
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                break
            incoming.write(client.recv(65536))
        client.sendall(outgoing.read())
        wait_until(lambda: not _waits_for_its_client(edge), seconds=60)
        tls.write(GET)
        client.sendall(outgoing.read())
        incoming.write(client.recv(65536))
        assert tls.read().startswith(b"HTTP/1.1 200")


def _waits_for_its_client(edge: Edge) -> bool:
    connections = list(edge.server._all.connections)  # noqa: SLF001
    return any(getattr(one, "_is_writing", False) for one in connections)
