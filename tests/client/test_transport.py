"""What is sent again, where, and how often: against servers that fail in every way."""

import contextlib
import datetime as dt
import hashlib
import http.client
import socket
import ssl
import threading
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keystead.client import (
    Busy,
    CannotConnect,
    Client,
    Endpoint,
    Pinned,
    Refused,
    SignedBy,
    UnexpectedAnswer,
    UntrustedCertificate,
)

ANSWER = "HTTP/1.1 {}\r\nContent-Length: {}\r\nRetry-After: 0\r\n\r\n{}"
DONE = ANSWER.format("200 OK", 2, "{}")
FULL = ANSWER.format("503 Service Unavailable", 18, '{"message":"full"}')
NOT_JSON = ANSWER.format("200 OK", 5, "hello")
DEEP = ANSWER.format("200 OK", 99_999, "[" * 99_999)
DEEP_REFUSAL = ANSWER.format("403 Forbidden", 99_999, "[" * 99_999)
HALF = ANSWER.format("200 OK", 100, "half")
SILENT = None
CLOSED = ""
"""The connection ends after the request was read."""


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    """A certificate for 127.0.0.1, which is its own authority, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hsm")])
    begin = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, begin, begin + dt.timedelta(days=36500)
    )
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = builder.add_extension(addresses, critical=False).sign(key, hashes.SHA256())
    file = tmp_path_factory.mktemp("identity") / "identity.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return file


@pytest.fixture
def scripted(identity):
    """Makes servers that answer requests in turn as told, the last way for ever."""
    with contextlib.ExitStack() as closing:

        def make(*answers):
            server = Scripted(identity, answers)
            closing.callback(server.close)
            return server

        yield make


class Scripted:
    """A server that knows its answers in advance; `requests` is what it was asked."""

    def __init__(self, identity, answers):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity)
        self._answers = list(answers)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.requests = []
        self.endpoint = Endpoint("127.0.0.1", self._listening.getsockname()[1], pin(identity))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)  # It wakes up who accepts.
        self._listening.close()
        self._thread.join(timeout=60)

    def _serve(self):
        while True:
            try:
                raw, _ = self._listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), self._context.wrap_socket(raw, True) as connection:
                self._talk(connection)

    def _talk(self, connection):
        stream = connection.makefile("rb")
        while line := stream.readline():
            self.requests.append(line.decode().strip())
            headers = http.client.parse_headers(stream)
            stream.read(int(headers.get("Content-Length", 0)))
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if answer is SILENT:
                connection.recv(1)
            if answer in (CLOSED, SILENT):
                return
            connection.sendall(answer.encode())
            if answer == HALF:
                return


def pin(identity):
    der = ssl.PEM_cert_to_DER_cert(identity.read_text().split("-----BEGIN PRIVATE")[0])
    return Pinned(hashlib.sha256(der).hexdigest())


READ = "GET /api/v1/keys HTTP/1.1"
SIGN = "POST /api/v1/keys/k/sign HTTP/1.1"
GENERATE = "POST /api/v1/keys/generate HTTP/1.1"


def generate(client):
    client.post("/keys/generate", {"type": "EC_P256"})


def test_what_may_have_been_done_is_not_sent_again(scripted):
    for failing in (CLOSED, HALF):
        first, second = scripted(failing), scripted(DONE)
        unknown = pytest.raises(CannotConnect, match="may or may not have carried out")
        with Client([first.endpoint, second.endpoint]) as client, unknown:
            generate(client)
        assert (first.requests, second.requests) == ([GENERATE], [])


def test_reads_and_uses_of_keys_go_on_to_the_next_host(scripted):
    first, second = scripted(CLOSED), scripted(DONE)
    with Client([first.endpoint, second.endpoint]) as client:
        assert client.get("/keys") == {}
    first, second = scripted(CLOSED), scripted(ANSWER.format("200 OK", 17, '{"signature":"A"}'))
    with Client([first.endpoint, second.endpoint]) as client:
        client.use("k", "sign", {})
        assert (first.requests, second.requests) == ([SIGN], [SIGN])


@contextlib.contextmanager
def stopping(identity):
    """A host that ends each connection before TLS has begun, as one does that stops."""

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connection.recv(1)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):  # What is unread would make it a reset.
                    pass
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Endpoint("127.0.0.1", listening.getsockname()[1], pin(identity))
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=60)


def test_a_host_that_stops_while_it_is_connected_to_passes_requests_on(scripted, identity):
    other = scripted(DONE)
    with stopping(identity) as first, Client([first, other.endpoint]) as client:
        generate(client)
        assert client.get("/keys") == {}
    assert other.requests == [GENERATE, READ]
    unreached = pytest.raises(CannotConnect, match="cannot be reached")
    with stopping(identity) as alone, Client([alone]) as client, unreached:
        generate(client)


def test_the_host_that_answered_is_asked_first_the_next_time(scripted):
    first, second = scripted(CLOSED), scripted(DONE)
    with Client([first.endpoint, second.endpoint]) as client:
        for _ in range(3):
            client.get("/keys")
    assert (first.requests, second.requests) == ([READ], [READ] * 3)


def test_a_busy_hsm_is_asked_again_a_few_times(scripted):
    busy = scripted(FULL, FULL, DONE)
    with Client([busy.endpoint]) as client:
        generate(client)
    assert busy.requests == [GENERATE] * 3
    busy = scripted(FULL)
    with Client([busy.endpoint]) as client, pytest.raises(Busy, match="full"):
        generate(client)
    assert busy.requests == [GENERATE] * 3


def test_of_several_busy_hosts_each_is_asked(scripted):
    first, second = scripted(FULL), scripted(FULL, DONE)
    with Client([first.endpoint, second.endpoint]) as client:
        generate(client)
    assert (first.requests, second.requests) == ([GENERATE] * 2, [GENERATE] * 2)


def test_a_file_that_was_sent_once_is_not_sent_again(scripted, tmp_path):
    busy = scripted(FULL)
    file = tmp_path / "image"
    file.write_bytes(b"image")
    with Client([busy.endpoint]) as client, file.open("rb") as stream, pytest.raises(Busy):
        client.upload("/system/update", stream, 5)
    assert len(busy.requests) == 1


def test_an_answer_that_does_not_come_ends_the_wait(scripted):
    silent = scripted(SILENT)
    late = pytest.raises(CannotConnect, match="did not answer in time")
    with Client([silent.endpoint], timeout_seconds=0.3) as client, late:
        client.get("/keys")


@pytest.mark.parametrize("answer", [NOT_JSON, DEEP])
def test_what_is_no_json_is_no_hsm(scripted, answer):
    with Client([scripted(answer).endpoint]) as client, pytest.raises(UnexpectedAnswer):
        client.get("/keys")


def test_a_refusal_that_is_nested_deeply_is_a_refusal(scripted):
    with Client([scripted(DEEP_REFUSAL).endpoint]) as client, pytest.raises(Refused):
        client.get("/keys")


def test_a_download_that_breaks_off_is_an_error(scripted):
    broken = pytest.raises(CannotConnect, match="before the end")
    with Client([scripted(HALF).endpoint]) as client, broken:
        list(client.download("/system/backup"))


def test_an_authority_is_trusted_for_the_names_in_its_certificates(scripted, identity):
    server = scripted(DONE)
    address = server.endpoint
    with Client([Endpoint(address.host, address.port, SignedBy(str(identity)))]) as client:
        assert client.get("/keys") == {}
    other_name = Endpoint("localhost", address.port, SignedBy(str(identity)))
    with Client([other_name]) as client, pytest.raises(UntrustedCertificate):
        client.get("/keys")
    assert server.requests == [READ]


def test_a_server_without_lists_with_details_is_asked_once_for_its_keys(scripted):
    listed = '[{"id":"a"},{"id":"b"}]'
    server = scripted(ANSWER.format("200 OK", len(listed), listed))
    with Client([server.endpoint]) as client:
        assert list(client.list_keys()) == [{"id": "a"}, {"id": "b"}]
    assert len(server.requests) == 1


def test_a_server_that_ignores_a_condition_is_not_believed(scripted):
    listed = '[{"id":"a"}]'
    server = scripted(ANSWER.format("200 OK", len(listed), listed))
    with Client([server.endpoint]) as client, pytest.raises(UnexpectedAnswer, match="of a tag"):
        list(client.list_keys(tag="blue"))
