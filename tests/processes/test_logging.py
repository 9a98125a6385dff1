"""The log of a running server: lines of JSON on standard error, and syslog where it is told to."""

import contextlib
import json
import socket
from collections.abc import Iterator

import pytest

from tests.support.server import Server, running_server, wait_until


@pytest.fixture
def collector():
    yield from receiving(socket.AF_INET, "127.0.0.1")


@pytest.fixture
def collector_on_ipv6():
    try:
        yield from receiving(socket.AF_INET6, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")


def receiving(family: socket.AddressFamily, address: str) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((address, 0))
        receiver.settimeout(5)
        yield receiver


def log_to(server: Server, collector: socket.socket, level: str) -> None:
    address, port = collector.getsockname()[:2]
    settings = {"ipAddress": address, "port": port, "logLevel": level}
    answer = server.request("PUT", "/config/logging", user="admin", json=settings)
    assert answer.status == 204


def everything_sent_to(collector: socket.socket) -> list[str]:
    collector.settimeout(0.3)
    received = []
    with contextlib.suppress(TimeoutError):
        while True:
            received.append(collector.recv(2048).decode())
    return received


def test_every_line_on_standard_error_is_json(provisioned_server: Server):
    provisioned_server.add_user("operator", "Operator")
    wait_until(lambda: "user created" in provisioned_server.log(), seconds=60)
    events = [json.loads(line) for line in provisioned_server.log().splitlines()]
    assert {
        "platform started",
        "core started",
        "edge started",
        "state changed",
        "user created",
    } <= {event["event"] for event in events}
    created = next(event for event in events if event["event"] == "user created")
    assert created["request"] > 0
    assert created["user"] == "operator"


def test_syslog_gets_events_from_the_level_on_that_was_asked_for(
    provisioned_server: Server, collector: socket.socket
):
    log_to(provisioned_server, collector, "debug")
    provisioned_server.request("GET", "/users", user="admin")
    messages = []
    while "/users" not in (messages or [""])[-1]:
        messages.append(collector.recv(2048).decode())
    answered = json.loads(messages[-1].partition(": ")[2])
    assert answered["event"] == "request answered"
    assert messages[-1].startswith("<87>")

    log_to(provisioned_server, collector, "error")
    provisioned_server.request("GET", "/users", user="admin")
    provisioned_server.add_user("operator", "Operator")
    assert not any("user created" in message for message in everything_sent_to(collector))


def test_syslog_may_have_an_address_of_ipv6(
    provisioned_server: Server, collector_on_ipv6: socket.socket
):
    log_to(provisioned_server, collector_on_ipv6, "debug")
    assert "keystead: {" in collector_on_ipv6.recv(2048).decode()


def test_logging_settings_survive_a_restart(provisioned_server: Server, collector: socket.socket):
    log_to(provisioned_server, collector, "info")
    provisioned_server.request("POST", "/system/reboot", user="admin")
    provisioned_server.wait_ready(times=2)
    received = ""
    while "core started" not in received:
        received = collector.recv(2048).decode()
    assert "Locked" in received


def test_an_ipv4_client_of_an_ipv6_socket_has_its_ipv4_address(tmp_path):
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with running_server(tmp_path, listen="[::]:0") as server:
        server.host = "127.0.0.1"
        server.provision()
        server.request("GET", "/keys", user="admin", passphrase="not the passphrase")
        wait_until(lambda: "authentication failed" in server.log(), seconds=10)
        failed = [line for line in server.log().splitlines() if "authentication failed" in line]
    assert [json.loads(line)["address"] for line in failed] == ["127.0.0.1"]
