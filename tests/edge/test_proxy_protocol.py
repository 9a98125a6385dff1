"""The PROXY protocol: who the client is, by the word of a proxy that the operator named."""

import contextlib
import shutil
import socket
import struct
import subprocess
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.edge.limits import Timeouts
from keystead.edge.proxy_protocol import MAX_BINARY_BYTES, Address, crc32c, read_header
from tests.support.edge import RawClient, running_edge
from tests.support.server import trusting_anyone, wait_until

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
LOOPBACK = [ip_network("127.0.0.0/8")]
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = ip_address("192.0.2.9").packed + ip_address("198.51.100.1").packed + b"\x10\0\x01\xbb"
IPV6 = ip_address("2001:db8::9").packed + ip_address("2001:db8::1").packed + b"\x10\0\x01\xbb"
TEXT4 = b"PROXY TCP4 192.0.2.9 198.51.100.1 4096 443\r\n"


def binary(command: int, kind: int, rest: bytes) -> bytes:
    return SIGNATURE + bytes([command, kind]) + struct.pack("!H", len(rest)) + rest


def with_checksum(rest: bytes, *, wrong: int = 0) -> bytes:
    header = binary(0x21, 0x11, rest + b"\x03\0\x04" + bytes(4))
    return header[:-4] + struct.pack("!I", crc32c(header) ^ wrong)


def read(data: bytes) -> tuple[Address | None, bytes]:
    """The address, and what was not taken. EOFError when there is too little."""
    header = read_header()
    wanted = next(header)
    while True:
        if len(data) < wanted:
            raise EOFError
        part, data = data[:wanted], data[wanted:]
        try:
            wanted = header.send(part)
        except StopIteration as end:
            return end.value, data


GOOD = {
    TEXT4: "192.0.2.9",
    b"PROXY TCP6 2001:db8::9 2001:db8::1 4096 443\r\n": "2001:db8::9",
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff::1 whatever else\r\n": None,
    binary(0x21, 0x11, IPV4): "192.0.2.9",
    binary(0x21, 0x21, IPV6): "2001:db8::9",
    binary(0x21, 0x11, IPV4 + b"\x04\0\x02\0\0" + b"\xe0\0\0"): "192.0.2.9",
    with_checksum(IPV4): "192.0.2.9",
    binary(0x20, 0x00, b""): None,
    binary(0x20, 0x11, IPV4): None,
    binary(0x21, 0x00, b"ignored"): None,
    binary(0x21, 0x31, bytes(216)): None,
}
BAD = [
    GET,
    b"PROXY TCP4 192.0.2.9 198.51.100.1 4096 65536\r\n",
    b"PROXY TCP4 192.0.2.9 198.51.100.1 04096 443\r\n",
    b"PROXY TCP4 192.0.2.9  198.51.100.1 4096 443\r\n",
    b"PROXY TCP4 2001:db8::9 2001:db8::1 4096 443\r\n",
    b"PROXY TCP6 192.0.2.9 198.51.100.1 4096 443\r\n",
    b"PROXY TCP4 192.0.2.999 198.51.100.1 4096 443\r\n",
    b"PROXY UNKNOWNS\r\n" + bytes(100),
    b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
    binary(0x11, 0x11, IPV4),
    binary(0x22, 0x11, IPV4),
    binary(0x21, 0x12, IPV4),
    binary(0x21, 0x11, IPV4[:-1]),
    binary(0x21, 0x11, IPV4 + b"\x04\0"),
    binary(0x21, 0x11, IPV4 + b"\x04\0\x03\0\0"),
    binary(0x21, 0x11, IPV4 + b"\x03\0\x02\0\0"),
    with_checksum(IPV4, wrong=1),
    binary(0x21, 0x00, bytes(MAX_BINARY_BYTES + 1)),
]


@pytest.mark.parametrize("header", GOOD)
def test_a_header_gives_the_address_and_takes_no_byte_of_what_follows(header):
    address, rest = read(header + GET)
    assert (address and str(address)) == GOOD[header]
    assert rest == GET


@pytest.mark.parametrize("header", BAD)
def test_what_is_no_header_is_refused(header):
    with pytest.raises(ValueError, match=r"^an?|no"):
        read(header)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(lambda data: b"PROXY " + data),
        st.binary(max_size=300).map(lambda data: SIGNATURE + data),
        st.binary(max_size=90).map(lambda data: binary(0x21, 0x11, IPV4 + data)),
    )
)
def test_hostile_bytes_give_an_address_or_a_refusal_and_nothing_else(data):
    with contextlib.suppress(ValueError, EOFError):
        address, _ = read(data)
        assert address is None or str(address)


def test_the_checksum_is_that_of_rfc_3720():
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"123456789") == 0xE3069283


def ask_behind(edge, header: bytes) -> dict[str, object]:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as plain:
        plain.sendall(header)
        client = RawClient(trusting_anyone().wrap_socket(plain))
        client.send(GET)
        answer = client.read_answer()
        client.close()
        return answer.json()


@pytest.mark.parametrize(
    ("header", "client"),
    [(TEXT4, "192.0.2.9"), (with_checksum(IPV4), "192.0.2.9"), (binary(0x20, 0, b""), "127.0.0.1")],
)
def test_the_core_is_told_the_address_that_a_named_proxy_gives(header, client):
    with running_edge(proxies=LOOPBACK) as edge:
        assert ask_behind(edge, header)["client"] == client


def refused(edge, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as plain:
        plain.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            assert plain.recv(100) == b""


def test_a_connection_of_a_proxy_without_a_header_is_closed_and_counted():
    with running_edge(proxies=LOOPBACK) as edge:
        refused(edge, b"\x16\x03\x01" + bytes(100))
        wait_until(lambda: edge.refusals == {"proxy_header": 1}, seconds=60)


def test_a_header_from_anywhere_else_is_no_tls():
    with running_edge(proxies=[ip_network("192.0.2.0/24")]) as edge:
        refused(edge, TEXT4)
        wait_until(lambda: edge.refusals == {"tls_not_tls": 1}, seconds=60)
        assert edge.ask(GET).status == 200


def test_a_header_that_does_not_come_is_waited_for_as_long_as_for_a_handshake():
    with running_edge(proxies=LOOPBACK, timeouts=Timeouts(handshake=0.2)) as edge:
        refused(edge, b"PROXY ")
        wait_until(lambda: edge.refusals == {"tls_timeout": 1}, seconds=60)


def test_a_proxy_that_is_gone_within_its_header_is_counted():
    with running_edge(proxies=LOOPBACK) as edge:
        with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as plain:
            plain.sendall(b"PROXY ")
        wait_until(lambda: edge.refusals == {"tls_closed": 1}, seconds=60)


def test_curl_sends_a_header_that_is_understood():
    with running_edge(proxies=LOOPBACK) as edge:
        url = f"https://127.0.0.1:{edge.port}/a"
        told = subprocess.run(  # noqa: S603
            [shutil.which("curl") or "curl", "-ks", "--haproxy-protocol", url],
            capture_output=True,
            check=True,
            timeout=30,
        )
        assert b'"client": "127.0.0.1"' in told.stdout


HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


@pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")
@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl"])
def test_haproxy_gives_the_address_of_its_client(tmp_path, option):
    assert HAPROXY is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with running_edge(proxies=LOOPBACK) as edge:
        (tmp_path / "haproxy.cfg").write_text(
            f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 10s
    timeout server 10s
listen keystead
    bind 127.0.0.1:{port}
    server one 127.0.0.1:{edge.port} {option}
"""
        )
        proxy = subprocess.Popen([HAPROXY, "-db", "-f", tmp_path / "haproxy.cfg"])  # noqa: S603
        try:
            wait_until(lambda: is_open(port), seconds=10)
            source = ("127.0.0.5", 0)
            with socket.create_connection(
                ("127.0.0.1", port), timeout=60, source_address=source
            ) as plain:
                client = RawClient(trusting_anyone().wrap_socket(plain))
                client.send(GET)
                assert client.read_answer().json()["client"] == "127.0.0.5"
                client.close()
        finally:
            proxy.terminate()
            proxy.wait(10)


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
