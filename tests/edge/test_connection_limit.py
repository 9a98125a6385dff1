"""At the limit of connections: who has to go, so that nobody can keep the others out."""

import contextlib
import socket
import time
from itertools import pairwise

from keystead.edge.limits import ACCEPTS_PER_TURN, Timeouts
from keystead.wire.edge_messages import Request, Response
from tests.support.edge import RawClient, running_edge
from tests.support.server import wait_until

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def ask(client: RawClient) -> int:
    client.send(GET)
    return client.read_answer().status


def test_the_connection_that_has_been_idle_longest_makes_room():
    with running_edge(max_connections=3) as edge:
        first, second, third = (edge.connect() for _ in range(3))
        for client in (first, third, second, first):
            assert ask(client) == 200
            time.sleep(0.01)  # The loop's clock counts milliseconds.
        fourth = edge.connect()
        assert ask(fourth) == 200
        assert third.is_closed()
        assert [ask(client) for client in (first, second, fourth)] == [200] * 3


def test_connections_that_never_send_anything_do_not_keep_others_out():
    with running_edge(max_connections=10) as edge:
        silent = [edge.connect() for _ in range(30)]
        for _ in range(20):
            assert edge.ask(GET).status == 200
        assert len(edge.server._all.connections) <= 10  # noqa: SLF001
        assert all(client.is_closed() for client in silent)


def test_handshakes_that_do_not_go_on_do_not_keep_others_out():
    with running_edge(max_connections=4) as edge, contextlib.ExitStack() as stack:
        stuck = [
            stack.enter_context(socket.create_connection(("127.0.0.1", edge.port), timeout=60))
            for _ in range(12)
        ]
        time.sleep(0.2)
        assert edge.ask(GET).status == 200
        assert stuck[0].recv(1) == b""


def test_slow_heads_and_slow_short_bodies_do_not_keep_others_out():
    with running_edge(max_connections=4) as edge:
        for _ in range(4):
            edge.connect().send(GET[:-2])
        for _ in range(4):
            edge.connect().send(b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx")
        assert edge.ask(GET).status == 200


def test_requests_at_the_core_are_never_given_up_for_a_new_connection():
    with running_edge(max_connections=2, timeouts=Timeouts(linger=0.1)) as edge:
        edge.keep_silent()
        busy = [edge.connect(), edge.connect()]
        for client in busy:
            client.send(GET)
        requests = [edge.wait_for(Request, count=count) for count in (1, 2)]
        wait_until(lambda: is_refused(edge), seconds=60)
        for request in requests:
            edge.say(Response(request.id, 204, b"", b""))
        assert [client.read_answer().status for client in busy] == [204, 204]
        edge.echo_again()
        assert edge.ask(GET).status == 200


def is_refused(edge) -> bool:
    try:
        edge.connect()
    except OSError:
        return True
    return False


def test_a_place_is_free_again_when_its_connection_ends():
    with running_edge(max_connections=1) as edge:
        for _ in range(5):
            client = edge.connect()
            assert ask(client) == 200
            client.close()


def test_a_rush_of_connections_is_accepted_in_parts_with_others_served_between_them():
    rush = 10 * ACCEPTS_PER_TURN
    handshakes = [0]
    with running_edge() as edge, contextlib.ExitStack() as stack:

        def note() -> None:
            handshakes.append(len(edge.server._all.connections))  # noqa: SLF001
            if handshakes[-1] < rush:
                edge.loop.call_soon(note)

        def be_busy() -> None:
            time.sleep(0.5)
            edge.loop.call_soon(note)

        edge.loop.call_soon_threadsafe(be_busy)
        for _ in range(rush):
            address = ("127.0.0.1", edge.port)
            stack.enter_context(socket.create_connection(address, timeout=60))
        wait_until(lambda: handshakes[-1] == rush, seconds=60)
    # The note is made between two turns or after one more.
    assert max(after - before for before, after in pairwise(handshakes)) <= 2 * ACCEPTS_PER_TURN
