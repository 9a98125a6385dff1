"""The client with a peer that does what etcd should not do, or does seldom."""

import asyncio

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.settings import SettingCodes

from keystead.etcd import calls
from keystead.etcd import messages as m
from keystead.etcd.client import MAX_ANSWER_BYTES, EtcdClient
from keystead.etcd.errors import AnswerTooLarge, EtcdInDoubt, EtcdRefused, EtcdUnavailable
from keystead.etcd.exchange import framed
from keystead.etcd.protobuf import encode
from tests.support import etcd_calls

ANSWER = framed(encode(etcd_calls.HeaderResponse(m.Header(revision=7))))
PUT = m.PutRequest(b"/a", b"1")
HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


class Peer(asyncio.Protocol):
    """An HTTP/2 server that answers each complete request by calling `misbehave`.

    `refuse` is called for each part of a request.
    """

    def __init__(self, misbehave, settings=None, refuse=None):
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.misbehave = misbehave
        self.refuse = refuse
        self.has_refused = False
        self.settings = settings
        self.headers = {}
        self.bodies = {}

    def connection_made(self, transport):
        self.transport = transport
        self.http.initiate_connection()
        if self.settings:
            self.http.update_settings(self.settings)
        self.flush()

    def data_received(self, data):
        for event in self.http.receive_data(data):
            match event:
                case RequestReceived():
                    self.headers[event.stream_id] = dict(event.headers)
                    self.bodies[event.stream_id] = b""
                case DataReceived():
                    self.bodies[event.stream_id] += event.data
                    self.http.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                    if self.refuse:
                        self.refuse(self, event.stream_id)
                case StreamEnded():
                    self.misbehave(self, event.stream_id)
        self.flush()

    def flush(self):
        self.transport.write(self.http.data_to_send())

    def answer(self, stream, data=ANSWER, **status):
        self.http.send_headers(stream, HEADERS)
        self.http.send_data(stream, data)
        trailers = [(f"grpc-{name}", value) for name, value in status.items()]
        self.http.send_headers(stream, trailers, end_stream=True)


def ask(tmp_path, misbehave, *, request=PUT, settings=None, deadlines=(60,)):
    """Return the peer, and what makes the calls and returns the answer to the last."""
    peers = []

    def make():
        peers.append(Peer(misbehave, settings))
        return peers[-1]

    async def main():
        path = str(tmp_path / "peer.sock")
        server = await asyncio.get_running_loop().create_unix_server(make, path)
        client = EtcdClient(path)
        try:
            for seconds in deadlines:
                answer = await client.call(etcd_calls.PUT, request, seconds=seconds)
            return answer
        finally:
            await client.close()
            for peer in peers:
                peer.transport.abort()
            server.close()

    return peers, lambda: asyncio.run(main())


def test_a_peer_that_behaves_is_understood_and_learns_what_it_must_know(tmp_path):
    peers, call = ask(tmp_path, lambda peer, stream: peer.answer(stream, status="0"))
    assert call() == etcd_calls.HeaderResponse(m.Header(revision=7))
    headers = peers[0].headers[1]
    assert headers["hasleader"] == "true"
    assert headers["grpc-timeout"].endswith("m")
    assert peers[0].bodies[1] == framed(encode(m.PutRequest(b"/a", b"1")))


def test_a_request_waits_for_the_windows_of_the_peer(tmp_path):
    request = m.PutRequest(b"/a", bytes(300_000))
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 1000}
    peers, call = ask(
        tmp_path,
        lambda peer, stream: peer.answer(stream, status="0"),
        request=request,
        settings=settings,
    )
    call()
    assert peers[0].bodies[1] == framed(encode(request))


def refuse_the_first(peer, stream):
    """Refuse a call in the middle of its request, as etcd does, with a window for more of it."""
    if stream == 1 and not peer.has_refused:
        peer.has_refused = True
        trailers = [*HEADERS, ("grpc-status", "8"), ("grpc-message", "too large")]
        peer.http.increment_flow_control_window(2**20)
        peer.http.increment_flow_control_window(2**20, stream)
        peer.http.send_headers(stream, trailers, end_stream=True)
        peer.http.reset_stream(stream, ErrorCodes.NO_ERROR)


def test_a_call_that_is_refused_in_the_middle_of_its_request_ends_no_other(tmp_path):
    peers = []

    def make():
        peers.append(
            Peer(
                lambda peer, stream: peer.answer(stream, status="0"),
                refuse=refuse_the_first,
            )
        )
        return peers[-1]

    async def main():
        path = str(tmp_path / "peer.sock")
        server = await asyncio.get_running_loop().create_unix_server(make, path)
        client = EtcdClient(path)
        requests = [m.PutRequest(b"/a", bytes(300_000))] * 2
        answers = await asyncio.gather(
            *(client.call(etcd_calls.PUT, request, seconds=60) for request in requests),
            return_exceptions=True,
        )
        await client.close()
        server.close()
        return answers

    refused, answer = asyncio.run(main())
    assert isinstance(refused, EtcdRefused), refused
    assert answer == etcd_calls.HeaderResponse(m.Header(revision=7))
    assert len(peers) == 1


@pytest.mark.parametrize("code", ["3", "8", "9", "11"])
def test_codes_from_before_anything_is_done_are_refusals(tmp_path, code):
    _, call = ask(
        tmp_path, lambda peer, stream: peer.answer(stream, b"", status=code, message="no %25")
    )
    with pytest.raises(EtcdRefused, match=r"^no %$"):
        call()


@pytest.mark.parametrize("code", ["1", "2", "4", "13", "14", "15", "99", ""])
def test_every_other_code_leaves_the_call_in_doubt_even_after_an_answer(tmp_path, code):
    _, call = ask(tmp_path, lambda peer, stream: peer.answer(stream, status=code, message="hm"))
    with pytest.raises(EtcdInDoubt, match="hm"):
        call()


def answer_with_status_503(peer, stream):
    peer.http.send_headers(stream, [(":status", "503")], end_stream=True)


def end_without_status(peer, stream):
    peer.http.send_headers(stream, HEADERS)
    peer.http.send_data(stream, ANSWER, end_stream=True)


def break_http(peer, _stream):
    peer.transport.write(bytes(100))


def cut_off(peer, stream):
    peer.http.send_headers(stream, HEADERS)
    peer.flush()
    peer.transport.abort()


@pytest.mark.parametrize(
    "misbehave",
    [
        answer_with_status_503,
        end_without_status,
        break_http,
        cut_off,
        lambda peer, stream: peer.http.reset_stream(stream, ErrorCodes.INTERNAL_ERROR),
        lambda peer, stream: peer.answer(stream, b"", status="0"),
        lambda peer, stream: peer.answer(stream, ANSWER * 2, status="0"),
        lambda peer, stream: peer.answer(stream, b"\1" + ANSWER[1:], status="0"),
        lambda peer, stream: peer.answer(stream, framed(b"\x0a\x05x"), status="0"),
    ],
    ids=["503", "no status", "no frame", "cut off", "reset", "none", "two", "packed", "malformed"],
)
def test_what_is_no_answer_leaves_the_call_in_doubt(tmp_path, misbehave):
    _, call = ask(tmp_path, misbehave)
    with pytest.raises(EtcdInDoubt):
        call()


def answer_the_first(peer, stream):
    if stream == 1:
        peer.answer(stream, status="0")


def test_silence_leaves_the_call_in_doubt_at_its_deadline(tmp_path):
    _, call = ask(tmp_path, answer_the_first, deadlines=(60, 0.2))
    with pytest.raises(EtcdInDoubt, match="within 0"):
        call()


def test_an_answer_over_the_limit_is_not_kept(tmp_path):
    size = MAX_ANSWER_BYTES + 1
    _, call = ask(
        tmp_path, lambda p, stream: p.answer(stream, b"\0" + size.to_bytes(4), status="0")
    )
    with pytest.raises(AnswerTooLarge, match=str(size)):
        call()


@pytest.mark.parametrize(
    "misbehave",
    [
        lambda peer, stream: peer.http.reset_stream(stream, ErrorCodes.REFUSED_STREAM),
        lambda peer, _stream: peer.http.close_connection(last_stream_id=0),
    ],
    ids=["refused", "stopping"],
)
def test_a_call_that_the_peer_has_not_begun_is_in_no_doubt(tmp_path, misbehave):
    _, call = ask(tmp_path, misbehave)
    with pytest.raises(EtcdUnavailable) as raised:
        call()
    assert not isinstance(raised.value, EtcdInDoubt)


def test_a_client_that_is_closed_asks_nothing(tmp_path):
    async def main():
        client = EtcdClient(str(tmp_path / "peer.sock"))
        await client.close()
        with pytest.raises(EtcdUnavailable, match="closed"):
            await client.call(calls.STATUS, m.StatusRequest())

    asyncio.run(main())
