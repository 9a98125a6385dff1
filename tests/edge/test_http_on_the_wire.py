"""HTTP/1.1 as clients see it, byte by byte: framing, keep-alive, pipelining, bodies, refusals."""

import gc
import json
import shutil
import socket
import ssl
import subprocess
import time
from email.utils import parsedate_to_datetime

import pytest

from keystead.certificates.tls_identity import make_tls_identity
from keystead.edge.client_stream import RECORD_BYTES, ClientStream
from keystead.edge.connection import HttpConnection
from keystead.edge.limits import (
    BODY_WINDOW_BYTES,
    MAX_DRAIN_BYTES,
    MAX_HEAD_BYTES,
    MAX_INLINE_BODY_BYTES,
    Timeouts,
)
from keystead.wire.edge_messages import BodyChunk, Request, RequestAborted, Response, WantBody
from tests.support.edge import identity, running_edge
from tests.support.server import wait_until

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
MIB = 1024 * 1024


def post(body: bytes, *lines: bytes, path: bytes = b"/b") -> bytes:
    length = b"Content-Length: %d" % len(body)
    head = b"\r\n".join((b"POST %s HTTP/1.1" % path, b"Host: h", length, *lines))
    return head + b"\r\n\r\n" + body


def chunked(*chunks: bytes) -> bytes:
    head = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


@pytest.fixture
def edge():
    with running_edge() as running:
        yield running


# --- one exchange -----------------------------------------------------------------------------


def test_the_core_gets_the_request_and_the_client_its_answer(edge):
    answer = edge.ask(post(b"hello", b"Accept: text/plain", b"X-Not-Ours: 1", path=b"/p/q?r=%20"))
    assert answer.status == 200
    assert answer.headers == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
    }
    assert json.loads(answer.body) == {
        "method": "POST",
        "path": "/p/q",
        "query": "r=%20",
        "headers": {"accept": "text/plain"},
        "client": "127.0.0.1",
        "length": 5,
        "body": "hello",
    }


def test_a_request_may_arrive_byte_by_byte(edge):
    client = edge.connect()
    client.tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in post(b"hello"):
        client.send(bytes([byte]))
    assert json.loads(client.read_answer().body)["body"] == "hello"


def test_a_connection_is_kept_for_the_next_request(edge):
    client = edge.connect()
    for number in range(3):
        client.send(post(b"%d" % number))
        assert json.loads(client.read_answer().body)["body"] == str(number)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_body_has_no_length(edge, status):
    edge.answer_all(status, ("ETag", '"1"'), body=b"")
    client = edge.connect()
    client.send(GET)
    assert client.read_answer() == (status, {"etag": '"1"'}, b"")
    client.send(GET)
    assert client.read_answer().status == status


def test_head_gets_the_headers_of_get_and_no_body(edge):
    client = edge.connect()
    client.send(GET)
    with_body = client.read_answer()
    client.send(GET.replace(b"GET", b"HEAD"))
    without = client.read_answer(to_head=True)
    assert int(without.headers["content-length"]) == len(with_body.body) + len("HEAD") - len("GET")
    assert client.is_silent(seconds=0.1)


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.0", b"GET / HTTP/1.1"])
def test_a_connection_that_is_not_to_be_kept_is_closed(edge, request_line):
    client = edge.connect()
    client.send(request_line + b"\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert client.read_answer().headers["connection"] == "close"
    assert client.is_closed()


@pytest.fixture
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_a_connection_that_has_ended_is_freed_at_once(edge):
    def kept():
        return [one for one in gc.get_objects() if isinstance(one, HttpConnection | ClientStream)]

    before = len(kept())
    client = edge.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert client.read_answer().status == 200
    assert client.is_closed()
    wait_until(lambda: len(kept()) <= before, seconds=10)


def test_an_upgrade_is_ignored(edge):
    client = edge.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + GET)
    assert [client.read_answer().status for _ in range(2)] == [200, 200]


def test_pipelined_requests_reach_the_core_one_at_a_time_and_in_order(edge):
    edge.keep_silent()
    client = edge.connect()
    client.send(b"".join(post(b"%d" % number) for number in range(5)))
    for number in range(5):
        request = edge.wait_for(Request, count=number + 1)
        time.sleep(0.05)
        assert len(edge.received) == number + 1
        edge.on_loop(lambda request=request: edge.answer(request, request.body))
        assert json.loads(client.read_answer().body)["body"] == str(number)


def test_a_flood_of_pipelined_requests_is_not_read_before_the_answer(edge):
    edge.keep_silent()
    assert edge.connect().send_until_blocked(GET * 1000) < 1000
    assert len(edge.received) == 1
    (connection,) = edge.server._all.connections  # noqa: SLF001
    assert len(connection._unparsed) <= 2 * RECORD_BYTES  # noqa: SLF001


# --- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, MAX_INLINE_BODY_BYTES, MAX_INLINE_BODY_BYTES + 1, 3 * MIB])
def test_a_body_arrives_whole_by_length_or_in_chunks(edge, size):
    body = b"x" * size
    client = edge.connect()
    client.send(post(body) + post(b"next"))
    assert json.loads(client.read_answer().body)["length"] == size
    assert json.loads(client.read_answer().body)["body"] == "next"
    client.send(chunked(*[body[i : i + 70_000] for i in range(0, size, 70_000)]) + post(b"next"))
    assert json.loads(client.read_answer().body)["length"] == size
    assert json.loads(client.read_answer().body)["body"] == "next"


def test_a_small_body_comes_with_its_request_a_large_one_when_the_core_wants_it(edge):
    edge.ask(post(b"x" * MAX_INLINE_BODY_BYTES))
    assert not edge.received[0].more
    edge.keep_silent()
    edge.connect().send(post(b"x" * (MAX_INLINE_BODY_BYTES + 1)))
    large = edge.wait_for(Request, count=2)
    assert (large.more, large.body) == (True, b"")
    assert large.content_length == MAX_INLINE_BODY_BYTES + 1
    edge.say(WantBody(large.id, 1000))
    assert len(edge.wait_for(BodyChunk).data) == 1000
    time.sleep(0.1)
    assert len(edge.received_of(BodyChunk)) == 1


def test_without_credit_the_edge_stops_reading(edge):
    edge.keep_silent()
    client = edge.connect()
    client.send(post(b"").replace(b"Length: 0", b"Length: %d" % (256 * MIB)))
    # What fits into the edge's window, one read, and the kernel's buffers on both sides.
    assert client.send_until_blocked(b"x" * 65536) * 65536 < 64 * MIB
    edge.say(WantBody(edge.received[0].id, BODY_WINDOW_BYTES))
    edge.wait_for(BodyChunk)


def test_100_continue_is_sent_when_the_core_wants_the_body(edge):
    edge.keep_silent()
    client = edge.connect()
    head, body = post(b"hello", b"Expect: 100-continue")[:-5], b"hello"
    client.send(head)
    request = edge.wait_for(Request)
    assert request.more
    assert client.is_silent(seconds=0.1)
    edge.echo_again()
    edge.on_loop(lambda: edge.echo(request))
    assert client.read_answer().status == 100
    client.send(body)
    assert json.loads(client.read_answer().body)["body"] == "hello"


def test_100_continue_is_not_sent_for_a_request_that_is_refused(edge):
    edge.answer_all(401)
    client = edge.connect()
    client.send(post(b"hello", b"Expect: 100-continue")[:-5])
    answer = client.read_answer()
    assert (answer.status, answer.headers["connection"]) == (401, "close")
    assert client.is_closed()


def test_100_continue_is_not_sent_to_a_client_that_does_not_wait(edge):
    assert edge.ask(post(b"hello", b"Expect: 100-continue")).status == 200


def test_after_an_early_answer_a_short_rest_is_dropped_and_the_connection_kept(edge):
    def script(edge, message):
        if isinstance(message, Request) and message.path == "/b":
            edge.core.send(Response(message.id, 413, b"", b"no"))
        elif isinstance(message, Request):
            edge.answer(message, message.body)

    edge.script = script
    client = edge.connect()
    client.send(post(b"x" * MAX_DRAIN_BYTES) + GET)
    answer = client.read_answer()
    assert (answer.status, answer.headers.get("connection")) == (413, None)
    assert json.loads(client.read_answer().body)["path"] == "/a"


def test_after_an_early_answer_to_a_long_body_the_connection_is_closed(edge):
    edge.answer_all(413)
    client = edge.connect()
    client.send(post(b"x" * (MAX_DRAIN_BYTES * 2)))
    answer = client.read_answer()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert client.is_closed()


def test_a_client_that_sends_its_whole_body_first_still_gets_the_early_answer():
    with running_edge(timeouts=Timeouts(linger=2)) as edge:
        edge.answer_all(413)
        client = edge.connect()
        client.send(post(b"").replace(b"Length: 0", b"Length: 9999999"))
        for _ in range(24):  # Longer than `linger`, which each part extends.
            time.sleep(0.1)
            client.send(b"x" * 10_000)
        assert client.read_answer().status == 413


def test_a_long_answer_is_streamed_as_the_client_takes_it(edge):
    content = bytes(range(256)) * 4096 * 20

    def script(edge, message):
        if isinstance(message, Request):
            edge.core.send(Response(message.id, 200, b"", content[:1000], len(content) - 1000))
            edge.position = 1000
        elif isinstance(message, WantBody):
            part = content[edge.position : edge.position + message.credit]
            edge.position += len(part)
            edge.core.send(BodyChunk(message.id, part, edge.position == len(content)))

    edge.script = script
    client = edge.connect()
    client.send(GET)
    time.sleep(0.3)
    in_flight = edge.position
    assert in_flight < len(content), "the edge must not take more than the client"
    assert client.read_answer().body == content
    client.send(GET)
    assert client.read_answer().body == content


def test_a_long_answer_to_head_is_not_asked_for(edge):
    edge.keep_silent()
    client = edge.connect()
    client.send(GET.replace(b"GET", b"HEAD"))
    edge.say(Response(edge.wait_for(Request).id, 200, b"", b"x" * 1000, MIB))
    assert client.read_answer(to_head=True).headers["content-length"] == str(MIB + 1000)
    assert edge.wait_for(RequestAborted).id == edge.received[0].id
    assert not edge.received_of(WantBody)


# --- refusals ---------------------------------------------------------------------------------

REFUSED = {
    400: [
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nHost: h\r\nAccept: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nAccept: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
        b"\r\n\r\n\r\n\r\n",
        chunked()[:-5] + b"zz\r\n",
        chunked(b"x" * 100_000)[:-5] + b"zz\r\n",
    ],
    414: [b"GET /" + b"a" * MAX_HEAD_BYTES, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"],
    431: [
        b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 101 + b"\r\n",
    ],
    501: [b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n"],
    505: [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
}


@pytest.mark.parametrize(
    ("status", "data"), [(status, data) for status, all_ in REFUSED.items() for data in all_]
)
def test_bad_http_is_answered_in_json_and_the_connection_closed(edge, status, data):
    client = edge.connect()
    client.send(data + GET)
    answer = client.read_answer()
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["connection"] == "close"
    assert abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()) < 60
    assert json.loads(answer.body).keys() == {"message"}
    assert client.is_closed()
    assert not [message for message in edge.received_of(Request) if message.path == "/a"]


def test_a_smuggled_request_never_reaches_the_core(edge):
    client = edge.connect()
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    client.send(
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n" + smuggled
    )
    assert client.read_answer().status == 400
    assert client.is_closed()
    assert edge.received == []


def test_an_empty_line_before_a_request_is_forgiven(edge):
    client = edge.connect()
    client.send(post(b"hello") + b"\r\n" + GET)
    assert [client.read_answer().status for _ in range(2)] == [200, 200]


def test_a_malformed_chunk_aborts_the_request_at_the_core(edge):
    client = edge.connect()
    client.send(chunked(b"x" * 100_000)[:-5])
    edge.wait_for(BodyChunk)
    client.send(b"zz\r\n")
    assert client.read_answer().status == 400
    assert edge.wait_for(RequestAborted).id == edge.received[0].id


# --- times, numbers, ends ---------------------------------------------------------------------


def test_slow_headers_time_out():
    with running_edge(timeouts=Timeouts(head=1, idle=60, linger=60)) as edge:
        client = edge.connect()
        client.send(GET)
        client.read_answer()
        client.send(GET[:5])
        for byte in GET[5:-1]:
            client.send(bytes([byte]))
            time.sleep(0.05)
        answer = client.read_answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")


def test_a_client_that_connects_and_says_nothing_is_closed():
    with running_edge(timeouts=Timeouts(head=0.3, linger=0.1)) as edge:
        assert edge.connect().is_closed()


def test_an_idle_connection_is_closed():
    with running_edge(timeouts=Timeouts(idle=0.3, linger=0.1)) as edge:
        client = edge.connect()
        client.send(GET)
        client.read_answer()
        assert client.is_closed()


def test_a_body_that_stops_times_out_and_is_aborted_at_the_core():
    with running_edge(timeouts=Timeouts(body=0.3, linger=0.1)) as edge:
        client = edge.connect()
        client.send(post(b"x" * 100_000)[:-50_000])
        assert client.read_answer().status == 408
        assert edge.wait_for(RequestAborted).id == edge.received[0].id


def test_a_client_that_does_not_take_its_answer_is_dropped():
    with running_edge(timeouts=Timeouts(write=0.3, linger=0.1)) as edge:

        def script(edge, message):
            if isinstance(message, Request):
                edge.core.send(Response(message.id, 200, b"", b"", 256 * MIB))
            elif isinstance(message, WantBody):
                edge.core.send(BodyChunk(message.id, b"x" * message.credit, last=False))

        edge.script = script
        client = edge.connect()
        client.send(GET)
        edge.wait_for(RequestAborted)


def test_a_handshake_that_does_not_go_on_times_out():
    with (
        running_edge(timeouts=Timeouts(handshake=0.3)) as edge,
        socket.create_connection(("127.0.0.1", edge.port), timeout=60) as client,
    ):
        assert client.recv(1) == b""


def test_a_client_that_speaks_plain_http_is_closed_and_others_are_served(edge):
    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as client:
        client.sendall(GET)
        while client.recv(1000):
            pass
    assert edge.ask(GET).status == 200


def test_a_client_that_goes_away_is_reported_to_the_core(edge):
    edge.keep_silent()
    client = edge.connect()
    client.send(GET)
    request = edge.wait_for(Request)
    client.close()
    assert edge.wait_for(RequestAborted).id == request.id
    edge.say(Response(request.id, 200, b"", b"too late"))
    edge.echo_again()
    assert edge.ask(GET).status == 200


def test_a_stop_lets_the_request_in_flight_finish_and_closes_idle_connections(edge):
    edge.keep_silent()
    idle, busy = edge.connect(), edge.connect()
    busy.send(GET)
    request = edge.wait_for(Request)
    edge.on_loop(edge.server.stop)
    assert idle.is_closed()
    edge.say(Response(request.id, 204, b"", b""))
    assert busy.read_answer() == (204, {"connection": "close"}, b"")
    assert busy.is_closed()
    with pytest.raises(ConnectionRefusedError):
        edge.connect()


def test_a_stop_does_not_wait_for_handshakes(edge):
    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as client:
        time.sleep(0.1)
        edge.on_loop(edge.server.stop)
        assert client.recv(1) == b""


def test_when_the_core_is_gone_requests_in_flight_get_503(edge):
    edge.keep_silent()
    client = edge.connect()
    client.send(GET)
    edge.wait_for(Request)
    edge.on_loop(edge.core.close)
    answer = client.read_answer()
    assert (answer.status, answer.headers["connection"]) == (503, "close")


# --- TLS --------------------------------------------------------------------------------------


def versions_only(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modern_tls_is_spoken_with_forward_secrecy(edge, version):
    client = edge.connect(versions_only(version))
    cipher, protocol, _ = client.tls.cipher()
    assert protocol == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
    assert cipher.startswith(("ECDHE-", "TLS_"))


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"])
def test_suites_without_forward_secrecy_or_authentication_are_refused(edge, suite):
    context = versions_only(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(suite)
    with pytest.raises(OSError, match=r".*"):
        edge.connect(context)


@pytest.mark.parametrize("length", [1000, 100_000])
def test_a_client_that_asks_for_short_records_gets_its_answer_whole(edge, length):
    body = bytes(range(97, 123)) * (length // 26)
    edge.answer_all(200, body=body)
    options = ("-maxfraglen", "512", "-connect", f"127.0.0.1:{edge.port}")
    client = subprocess.run(  # noqa: S603
        ["/usr/bin/openssl", "s_client", "-quiet", *options],
        input=GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert client.stdout.endswith(b"\r\n\r\n" + body)


@pytest.mark.skipif(
    ssl.OPENSSL_VERSION_INFO < (3, 5) or shutil.which("openssl") is None,
    reason="the hybrid needs OpenSSL 3.5, Python's and the program",
)
def test_a_post_quantum_hybrid_is_agreed_on(edge):
    client = subprocess.run(  # noqa: S603
        ["openssl", "s_client", "-groups", "X25519MLKEM768", "-connect", f"127.0.0.1:{edge.port}"],  # noqa: S607
        input=b"",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert b"X25519MLKEM768" in client.stdout


def test_a_new_identity_is_served_to_new_connections(edge):
    before = edge.connect()
    key, chain = make_tls_identity("other")
    edge.welcome(key.reveal(), chain)
    assert edge.connect().tls.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(
        chain.decode()
    )
    assert before.tls.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(
        identity()[1].decode()
    )
