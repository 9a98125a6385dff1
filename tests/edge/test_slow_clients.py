"""Clients that take their time: every limit is a total, not one that each byte renews."""

import contextlib
import socket
import ssl
import time

import pytest

from keystead.edge import context
from keystead.edge.limits import LONG_BODY_BYTES, MIN_BODY_BYTES_PER_SECOND, Timeouts
from keystead.wire.edge_messages import Request, RequestAborted, Response, WantBody
from tests.support.edge import Edge, RawClient, running_edge
from tests.support.server import trusting_anyone, wait_until

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIP_SECONDS = 0.05


def drip(client: RawClient, data: bytes) -> float:
    """Send byte by byte until the server has had enough of it; return how long that took."""
    began = time.monotonic()
    client.tls.settimeout(DRIP_SECONDS)
    for byte in data:
        with contextlib.suppress(TimeoutError, ssl.SSLError, ConnectionError):
            client.send(bytes([byte]))
        with contextlib.suppress(TimeoutError):
            client._fill()  # noqa: SLF001 - to see an answer while sending
            break
    client.tls.settimeout(10)
    return time.monotonic() - began


@pytest.mark.parametrize(
    "head", [POST % 200, POST % 100_000, CHUNKED + b"64\r\n"], ids=["short", "long", "chunked"]
)
def test_a_body_that_comes_byte_by_byte_has_the_time_of_one_that_does_not_come(head):
    with running_edge(timeouts=Timeouts(body=0.5, linger=0.1)) as edge:
        client = edge.connect()
        client.send(head)
        assert 0.4 < drip(client, b"x" * 100) < 3
        assert client.read_answer().status == 408
        wait_until(lambda: not edge.server._all.connections, seconds=60)  # noqa: SLF001


def test_a_body_that_comes_fast_enough_has_all_the_time_it_needs():
    part = MIN_BODY_BYTES_PER_SECOND // 4
    with running_edge(timeouts=Timeouts(body=0.5, linger=0.1)) as edge:
        client = edge.connect()
        client.send(POST % (12 * part))
        for _ in range(12):
            time.sleep(0.1)
            client.send(b"x" * part)
        assert client.read_answer().status == 200


def test_a_long_body_has_to_come_faster():
    part = MIN_BODY_BYTES_PER_SECOND // 2
    with running_edge(timeouts=Timeouts(body=0.5, linger=0.1)) as edge:
        client = edge.connect()
        client.send(POST % (2 * LONG_BODY_BYTES))
        client.send(bytes(LONG_BODY_BYTES))
        with contextlib.suppress(OSError):
            for _ in range(50):
                time.sleep(0.1)
                client.send(b"x" * part)
            pytest.fail("it had all the time that it took")
        edge.wait_for(RequestAborted)


def test_the_time_that_the_core_takes_is_not_the_clients():
    with running_edge(timeouts=Timeouts(body=0.3, linger=0.1)) as edge:
        edge.keep_silent()
        client = edge.connect()
        client.send(POST % 100_000)
        request = edge.wait_for(Request)
        assert client.is_silent(seconds=1)
        edge.say(WantBody(request.id, 50_000))
        client.send(b"x" * 50_000)
        assert client.is_silent(seconds=1)
        edge.say(Response(request.id, 204, b"", b""))
        assert client.read_answer().status == 204


def slow_reader(edge: Edge) -> RawClient:
    """A client with almost no room for answers."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(10)
    plain.connect(("127.0.0.1", edge.port))
    return RawClient(trusting_anyone().wrap_socket(plain))


def test_requests_of_a_client_that_takes_no_answers_are_served_no_more_and_it_is_dropped():
    with running_edge(timeouts=Timeouts(write=0.5, linger=0.1)) as edge:
        edge.answer_all(200, body=b"x" * 100_000)
        client = slow_reader(edge)
        with contextlib.suppress(OSError):
            for _ in range(300):
                client.send(GET)
                time.sleep(0.002)
        wait_until(lambda: not edge.server._all.connections, seconds=60)  # noqa: SLF001
        assert len(edge.received_of(Request)) < 200
        client.close()


def test_a_client_that_takes_its_answers_late_gets_them_all():
    with running_edge(timeouts=Timeouts(write=5, linger=0.1)) as edge:
        edge.answer_all(200, body=b"x" * 200_000)
        client = slow_reader(edge)
        client.send(GET * 50)
        time.sleep(0.5)
        assert len(edge.received_of(Request)) < 50
        assert [client.read_answer().status for _ in range(50)] == [200] * 50
        client.close()


def test_answers_that_are_taken_late_come_whole_and_in_order_before_the_end():
    body = bytes(range(256)) * 2000
    last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with running_edge(timeouts=Timeouts(write=60, linger=0.2)) as edge:
        edge.answer_all(200, body=body)
        with contextlib.closing(slow_reader(edge)) as client:
            client.send(GET * 9 + last)
            time.sleep(1.5)  # Longer than it may linger.
            assert all(client.read_answer().body == body for _ in range(10))
            assert client.is_closed()


def test_of_too_many_clients_that_take_no_answers_the_slowest_make_room(monkeypatch):
    monkeypatch.setattr(context, "MAX_SLOW_READERS", 3)
    with running_edge() as edge, contextlib.ExitStack() as clients:
        edge.answer_all(200, body=b"x" * 200_000)
        fast = edge.connect()
        slow = []
        for number in range(1, 6):
            slow.append(clients.enter_context(contextlib.closing(slow_reader(edge))))
            slow[-1].send(GET * 50)
            count = min(number, 3)
            wait_until(lambda: len(edge.server._all.slow_readers) == count, seconds=60)  # noqa: SLF001, B023
            time.sleep(0.2)
        wait_until(lambda: len(edge.server._all.connections) == 4, seconds=60)  # noqa: SLF001
        assert [slow[n].read_answer().status for n in (2, 3, 4)] == [200] * 3
        fast.send(GET)
        assert fast.read_answer().status == 200


def test_a_request_whose_client_took_earlier_answers_late_has_the_time_the_core_needs():
    with running_edge(timeouts=Timeouts(write=0.4, linger=0.1)) as edge:

        def script(running, message):
            if isinstance(message, Request) and len(running.received) == 1:
                running.core.send(Response(message.id, 200, b"", b"x" * 900_000))

        edge.script = script
        client = edge.connect()
        client.send(GET)
        time.sleep(0.2)
        client.send(GET)
        client.read_answer()
        request = edge.wait_for(Request, count=2)
        assert client.is_silent(seconds=1)
        edge.say(Response(request.id, 204, b"", b""))
        assert client.read_answer().status == 204


def test_a_handshake_byte_by_byte_has_the_time_of_one_that_does_not_go_on():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting_anyone().wrap_bio(incoming, outgoing, server_hostname="h")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    with (
        running_edge(timeouts=Timeouts(handshake=0.5)) as edge,
        socket.create_connection(("127.0.0.1", edge.port), timeout=DRIP_SECONDS) as client,
    ):
        began = time.monotonic()
        for byte in hello:
            try:
                client.sendall(bytes([byte]))
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert 0.4 < time.monotonic() - began < 15


def test_a_client_that_sends_no_more_after_its_request_is_not_waited_for():
    with running_edge() as edge:
        edge.keep_silent()
        client = edge.connect()
        client.send(GET)
        edge.wait_for(Request)
        client.tls.shutdown(socket.SHUT_WR)
        edge.wait_for(RequestAborted)
        wait_until(lambda: not edge.server._all.connections, seconds=60)  # noqa: SLF001


def test_a_head_in_records_of_one_byte_costs_no_more_than_its_bytes():
    head = b"GET /a HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 90 + b"Y: " + b"z" * 12_000
    with running_edge() as edge:
        client = edge.connect()
        client.tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.process_time()
        for byte in head + b"\r\n\r\n":
            client.send(bytes([byte]))
        assert client.read_answer().status == 200
        assert time.process_time() - began < 5  # Both sides; most of it is TLS.
