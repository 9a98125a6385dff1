"""Time stamps by a real authority: `openssl ts` behind HTTP on this machine."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from keystead.__main__ import main
from keystead.client.errors import CannotConnect
from keystead.client.time_stamps import MOST_BYTES, TimeStampRequest, ask_authority
from keystead.errors import InvalidInput

SETTINGS = """
[req]
distinguished_name = name
prompt = no
x509_extensions = extensions
[name]
CN = An authority
[extensions]
basicConstraints = CA:FALSE
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = certificate.pem
signer_key = key.pem
certs = certificate.pem
signer_digest = sha256
ess_cert_id_alg = sha256
default_policy = 1.2.3.4.1
digests = sha256
"""
HEAD = b'{"n":7,"chain":"00"}\n'


class Authority:
    """Answers requests by the command `openssl ts -reply`, or with `answer` if it is set."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.status = 200
        self.answer: bytes | None = None
        self.types: list[str] = []
        (directory / "settings.cnf").write_text(SETTINGS)
        (directory / "serial").write_text("01\n")
        self.openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-config", "settings.cnf", "-keyout", "key.pem", "-out", "certificate.pem"),
        )

    def openssl(self, *arguments: str) -> str:
        ran = subprocess.run(  # noqa: S603 - the real tool
            ["openssl", *arguments],  # noqa: S607
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return ran.stdout + ran.stderr

    def reply(self, request: bytes) -> bytes:
        if self.answer is not None:
            return self.answer
        (self.directory / "request").write_bytes(request)
        where = ("-config", "settings.cnf", "-section", "authority")
        self.openssl("ts", "-reply", *where, "-queryfile", "request", "-out", "response")
        return (self.directory / "response").read_bytes()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Authority, str]]:
    """An authority, and its URL."""
    authority = Authority(tmp_path_factory.mktemp("authority"))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that the library wants
            authority.types.append(self.headers["Content-Type"])
            answer = authority.reply(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(authority.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield authority, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def authority(served: tuple[Authority, str]) -> Authority:
    found, _ = served
    found.status, found.answer = 200, None
    return found


@pytest.fixture
def url(served: tuple[Authority, str]) -> str:
    return served[1]


def test_a_head_is_stamped_by_command_and_openssl_verifies_it(
    authority: Authority, url: str, tmp_path: Path
):
    head, stamp = tmp_path / "head.json", tmp_path / "head.tsr"
    head.write_bytes(HEAD)
    assert main(["journal", "stamp", str(head), "--tsa", url, "-o", str(stamp)]) == 0
    assert authority.types[-1] == "application/timestamp-query"
    verify = ("ts", "-verify", "-in", str(stamp), "-CAfile", "certificate.pem", "-data")
    assert "Verification: OK" in authority.openssl(*verify, str(head))
    head.write_bytes(HEAD + b" ")
    with pytest.raises(subprocess.CalledProcessError):
        authority.openssl(*verify, str(head))


def test_a_stamp_of_another_request_is_refused(authority: Authority, url: str):
    authority.answer = authority.reply(TimeStampRequest.of(HEAD).encoded)
    with pytest.raises(InvalidInput, match="another request"):
        ask_authority(url, TimeStampRequest.of(HEAD))


def test_a_refusal_says_why(authority: Authority, url: str):
    authority.answer = authority.reply(TimeStampRequest.of(HEAD).encoded[:-3] + b"xyz")
    with pytest.raises(InvalidInput, match="no time stamp: status 2"):
        ask_authority(url, TimeStampRequest.of(HEAD))


@pytest.mark.parametrize("answer", [b"", b"<html>", b"\x30\x80", bytes(2 * MOST_BYTES)])
def test_a_response_that_is_none_is_refused(authority: Authority, url: str, answer: bytes):
    authority.answer = answer
    with pytest.raises(InvalidInput, match="cannot be read"):
        ask_authority(url, TimeStampRequest.of(HEAD))


def test_an_error_of_the_server_is_refused_and_leaves_no_file(
    authority: Authority, url: str, tmp_path: Path
):
    authority.status = 500
    head, stamp = tmp_path / "head.json", tmp_path / "head.tsr"
    head.write_bytes(HEAD)
    assert main(["journal", "stamp", str(head), "--tsa", url, "-o", str(stamp)]) != 0
    assert not stamp.exists()


def test_an_authority_out_of_reach_is_said():
    with pytest.raises(CannotConnect, match="authority"):
        ask_authority("http://127.0.0.1:9/", TimeStampRequest.of(HEAD))


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"])
def test_an_authority_that_sends_a_byte_at_a_time_is_given_up(sent: bytes):
    is_over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(sent)
            while not is_over.wait(0.01):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener,))
        dripping.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(CannotConnect, match="too long"):
            ask_authority(url, TimeStampRequest.of(HEAD), patience_seconds=0.2)
        is_over.set()
        dripping.join()


def test_two_requests_for_the_same_content_differ():
    first, second = TimeStampRequest.of(HEAD), TimeStampRequest.of(HEAD)
    assert first.encoded != second.encoded
