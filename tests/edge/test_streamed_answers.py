"""Answers whose length nobody knows before their end: in chunks, or until the connection ends."""

import http.client
import ssl
import time

import pytest

from keystead.wire.edge_messages import (
    BodyChunk,
    Request,
    RequestAborted,
    Response,
    ResponseAborted,
    WantBody,
)
from tests.support.edge import running_edge
from tests.support.server import trusting_anyone

PART = bytes(range(256)) * 400
PARTS = 50
GET = b"GET /backup HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def edge():
    with running_edge() as edge:
        edge.sent = 0

        def script(edge, message):
            if isinstance(message, Request):
                edge.sent = 0
                edge.core.send(Response(message.id, 200, b"", b"", remaining=None))
            elif isinstance(message, WantBody):
                edge.sent += 1
                edge.core.send(BodyChunk(message.id, PART, last=edge.sent == PARTS))

        edge.script = script
        yield edge


def test_http_1_1_gets_chunks_and_keeps_its_connection(edge):
    client = http.client.HTTPSConnection("127.0.0.1", edge.port, context=trusting_anyone())
    for _ in range(2):
        client.request("GET", "/backup")
        answer = client.getresponse()
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers
        assert answer.read() == PART * PARTS
    client.close()


def test_http_1_0_gets_the_body_alone_and_then_the_end_of_the_connection(edge):
    client = edge.connect()
    client.send(
        GET.replace(b"1.1", b"1.0").replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
    )
    received = bytearray()
    while data := client.tls.recv(100_000):
        received += data
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"chunked" not in head
    assert body == PART * PARTS


def test_an_empty_last_part_ends_the_body(edge):
    def script(edge, message):
        if isinstance(message, Request):
            edge.core.send(Response(message.id, 200, b"", b"", remaining=None))
        elif isinstance(message, WantBody):
            edge.core.send(BodyChunk(message.id, b"", last=True))

    edge.script = script
    client = edge.connect()
    client.send(GET)
    head, _, body = client.tls.recv(10_000).partition(b"\r\n\r\n")
    assert b"chunked" in head
    assert (body or client.tls.recv(100)) == b"0\r\n\r\n"


def test_an_answer_that_the_core_gives_up_is_not_taken_for_whole(edge):
    def script(edge, message):
        if isinstance(message, Request):
            edge.core.send(Response(message.id, 200, b"", b"", remaining=None))
        elif isinstance(message, WantBody):
            edge.core.send(BodyChunk(message.id, PART, last=False))
            edge.core.send(ResponseAborted(message.id))

    edge.script = script
    client = http.client.HTTPSConnection("127.0.0.1", edge.port, context=trusting_anyone())
    client.request("GET", "/backup")
    with pytest.raises((http.client.IncompleteRead, ConnectionError, ssl.SSLError)):
        client.getresponse().read()
    client.close()
    assert not edge.received_of(RequestAborted)


def test_a_client_that_goes_away_stops_the_answer(edge):
    def script(edge, message):
        if isinstance(message, Request):
            edge.core.send(Response(message.id, 200, b"", b"", remaining=None))
        elif isinstance(message, WantBody):
            edge.sent += 1
            edge.core.send(BodyChunk(message.id, PART, last=False))

    edge.script = script
    client = edge.connect()
    client.send(GET)
    time.sleep(0.2)
    before = edge.sent
    assert before * len(PART) < 8 * 2**20, "the edge must not take more than the client"
    client.tls.close()
    edge.wait_for(RequestAborted)
