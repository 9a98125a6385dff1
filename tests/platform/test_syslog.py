"""Syslog messages on the wire, and what happens when nobody listens."""

import socket

import pytest

from keystead.platform.syslog import MAX_MESSAGE_BYTES, UdpSyslog

CLOCK = 1_700_000_000.0


ADDRESSES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@pytest.fixture(params=ADDRESSES)
def collector(request):
    with socket.socket(request.param, socket.SOCK_DGRAM) as receiver:
        try:
            receiver.bind((ADDRESSES[request.param], 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        receiver.settimeout(5)
        yield receiver


@pytest.fixture
def syslog():
    made = UdpSyslog(host_name="hsm1", clock=lambda: CLOCK)
    yield made
    made.close()


def test_a_message_has_priority_time_host_and_tag(collector, syslog):
    syslog.aim(*collector.getsockname()[:2])
    syslog.send(4, '{"event": "odd"}')
    assert collector.recv(2048) == b'<84>Nov 14 22:13:20 hsm1 keystead: {"event": "odd"}'


def test_a_long_message_is_cut_at_what_rfc_3164_allows(collector, syslog):
    syslog.aim(*collector.getsockname()[:2])
    syslog.send(6, "x" * 5000)
    assert len(collector.recv(8192)) == MAX_MESSAGE_BYTES


def test_nothing_is_sent_before_aiming_and_after_aiming_at_nobody(collector, syslog):
    syslog.send(6, "too early")
    syslog.aim(*collector.getsockname()[:2])
    syslog.aim(None, 514)
    syslog.send(6, "too late")
    collector.setblocking(False)
    with pytest.raises(BlockingIOError):
        collector.recv(2048)


def test_a_collector_that_is_not_there_does_no_harm(syslog):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        address, port = unused.getsockname()
    syslog.aim(address, port)
    for _ in range(10):  # The refusal of one shows at the next.
        syslog.send(6, "anyone?")
