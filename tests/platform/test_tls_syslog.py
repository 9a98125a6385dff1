"""Syslog over TLS: what arrives, who may receive it, and what happens while nobody does."""

import asyncio
import re
import ssl
import time
from contextlib import asynccontextmanager

import pytest

from keystead.platform import tls_syslog
from keystead.platform.tls_syslog import (
    MAX_MESSAGE_BYTES,
    MAX_WAITING,
    BackOff,
    Receiver,
    TlsSyslog,
    receiver_context,
)
from tests.support.authority import Authority
from tests.support.syslog_receiver import (
    DeafReceiver,
    SyslogReceiver,
    TalkingReceiver,
    server_context,
)

CLOCK = 1_700_000_000.25
SOON = BackOff(first=0.02, longest=0.2)


@pytest.fixture(scope="module")
def authority():
    return Authority("logs")


@pytest.fixture
def receiver(tmp_path, authority):
    made = SyslogReceiver(server_context(tmp_path, authority, "localhost"))
    yield made
    made.close()


def sender_to(
    port: int, context: ssl.SSLContext, *, host: str = "localhost"
) -> tuple[TlsSyslog, list[tuple[str, int]]]:
    complaints: list[tuple[str, int]] = []
    made = TlsSyslog(
        Receiver(host, port, context),
        host_name="hsm1",
        clock=lambda: CLOCK,
        complain=lambda *about: complaints.append(about),
        back_off=SOON,
    )
    return made, complaints


@asynccontextmanager
async def running(syslog: TlsSyslog):
    task = asyncio.create_task(syslog.run())
    yield
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def next_of(receiver: SyslogReceiver) -> str:
    return await asyncio.to_thread(receiver.next)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_messages_arrive_in_order_as_rfc_5424_has_them(receiver, authority):
    syslog, complaints = sender_to(receiver.port, receiver_context(authority.pem))
    syslog.send(4, '{"event": "odd"}')
    async with running(syslog):
        syslog.send(6, "second")
        assert await next_of(receiver) == (
            "<84>1 2023-11-14T22:13:20.250Z hsm1 keystead - - "
            '[meta sequenceId="1"] {"event": "odd"}'
        )
        assert (await next_of(receiver)).endswith('[meta sequenceId="2"] second')
    assert complaints == []


async def test_a_long_message_is_cut_at_what_receivers_take(receiver, authority):
    syslog, _ = sender_to(receiver.port, receiver_context(authority.pem))
    async with running(syslog):
        syslog.send(6, "x" * 20_000)
        syslog.send(6, "next")
        assert len(await next_of(receiver)) == MAX_MESSAGE_BYTES
        assert (await next_of(receiver)).endswith("next")


async def test_messages_wait_for_a_receiver_that_died_and_came_back(tmp_path, authority):
    context = server_context(tmp_path, authority, "localhost")
    receiver = SyslogReceiver(context)
    syslog, complaints = sender_to(receiver.port, receiver_context(authority.pem))
    async with running(syslog):
        syslog.send(6, "before")
        assert (await next_of(receiver)).endswith("before")
        await asyncio.to_thread(receiver.close)
        await until(lambda: complaints)
        for number in range(3):
            syslog.send(6, f"meanwhile {number}")
        await asyncio.sleep(0.1)
        back = SyslogReceiver(context, receiver.port)
        received = [await next_of(back) for _ in range(3)]
        await asyncio.to_thread(back.close)
    assert [message.rpartition("] ")[2] for message in received] == [
        "meanwhile 0",
        "meanwhile 1",
        "meanwhile 2",
    ]
    assert syslog.dropped == 0
    assert len(complaints) == 1, "more than one line a minute"


async def test_a_full_queue_loses_the_oldest_and_the_numbers_show_the_gap(receiver, authority):
    syslog, _ = sender_to(receiver.port, receiver_context(authority.pem))
    for number in range(1, MAX_WAITING + 11):
        syslog.send(6, f"message {number}")
    assert syslog.dropped == 10
    async with running(syslog):
        first = await next_of(receiver)
    assert first.endswith('[meta sequenceId="11"] message 11')


@pytest.mark.parametrize(
    ("trusted", "host", "reason"),
    [
        ("another", "localhost", "certificate verify failed"),
        ("the same", "127.0.0.1", "certificate is not valid for '127.0.0.1'"),
    ],
)
async def test_a_receiver_that_does_not_prove_who_it_is_gets_nothing(
    receiver, authority, trusted, host, reason
):
    trusting = authority if trusted == "the same" else Authority("another")
    syslog, complaints = sender_to(receiver.port, receiver_context(trusting.pem), host=host)
    syslog.send(6, "not for you")
    async with running(syslog):
        await until(lambda: complaints)
        await asyncio.sleep(0.2)
    assert reason in complaints[0][0]
    assert receiver.messages.empty()


async def test_a_receiver_of_tls_1_1_gets_nothing(tmp_path, authority):
    context = server_context(tmp_path, authority, "localhost")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    receiver = SyslogReceiver(context)
    syslog, complaints = sender_to(receiver.port, receiver_context(authority.pem))
    syslog.send(6, "not for you")
    async with running(syslog):
        await until(lambda: complaints)
    await asyncio.to_thread(receiver.close)
    assert receiver.refused > 0
    assert receiver.messages.empty()


async def test_a_receiver_that_stops_reading_costs_messages_and_nothing_else(
    tmp_path, authority, monkeypatch
):
    monkeypatch.setattr(tls_syslog, "WRITE_SECONDS", 0.3)
    receiver = DeafReceiver(server_context(tmp_path, authority, "localhost"))
    syslog, complaints = sender_to(receiver.port, receiver_context(authority.pem))
    async with running(syslog):
        began = time.monotonic()
        while not complaints:
            for _ in range(MAX_WAITING):
                syslog.send(6, "x" * 4000)
            assert time.monotonic() - began < 20
            await asyncio.sleep(0.05)
        assert complaints[0][0] == "it takes too long"
        assert syslog.dropped > 0
        before = syslog.dropped
        for _ in range(MAX_WAITING):
            syslog.send(6, "x" * 4000)
        await until(lambda: syslog.dropped > before)
    await asyncio.to_thread(receiver.close)


async def test_a_receiver_that_talks_without_end_is_left(tmp_path, authority):
    receiver = TalkingReceiver(server_context(tmp_path, authority, "localhost"))
    syslog, complaints = sender_to(receiver.port, receiver_context(authority.pem))
    async with running(syslog):
        await until(lambda: receiver.calls >= 3)
    assert complaints == [("the receiver closed the connection, or sent data", 0)]
    await asyncio.to_thread(receiver.close)


def test_no_certificates_are_not_taken_for_the_machines():
    with pytest.raises(ValueError, match="Empty certificate data"):
        receiver_context(b"")
    assert receiver_context(None).verify_mode is ssl.CERT_REQUIRED
    assert receiver_context(None).check_hostname


async def test_sequence_numbers_start_over_at_their_end(receiver, authority, monkeypatch):
    monkeypatch.setattr(tls_syslog, "MAX_SEQUENCE", 2)
    syslog, _ = sender_to(receiver.port, receiver_context(authority.pem))
    for _ in range(3):
        syslog.send(6, "a")
    async with running(syslog):
        numbers = [re.search(r'"(\d+)"', await next_of(receiver))[1] for _ in range(3)]
    assert numbers == ["1", "2", "1"]
