"""A receiver of syslog over TLS on loopback, that a test can end and start again."""

import contextlib
import queue
import socket
import ssl
import threading
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import DNSName, SubjectAlternativeName

from tests.support.authority import Authority, name


def write_server_identity(directory: Path, authority: Authority, host: str) -> None:
    """Write certificate.pem and key.pem of a server for `host`."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = SubjectAlternativeName([DNSName(host)])
    certificate = authority.certify(key.public_key(), name(host), (names,))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "key.pem").write_bytes(private)
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


def server_context(directory: Path, authority: Authority, host: str) -> ssl.SSLContext:
    """Return a server's context with a certificate for `host`."""
    write_server_identity(directory, authority, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    return context


class SyslogReceiver:
    """Takes connections one after another, and their messages."""

    def __init__(self, context: ssl.SSLContext, port: int = 0) -> None:
        self.messages: queue.Queue[str] = queue.Queue()
        self.refused = 0
        """Connections that did not get through the handshake."""
        self.calls = 0
        """Connections that did."""
        self._closing = threading.Event()
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def next(self, *, seconds: float = 10) -> str:
        """The next message that arrives."""
        return self.messages.get(timeout=seconds)

    def hang_up(self) -> None:
        """End the present connection."""
        if self._connection is not None:
            with contextlib.suppress(OSError):  # SSLSocket's own lets a reader see TLS records.
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """Be gone: nothing listens on the port any more."""
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with plain:
                try:
                    connection = self._context.wrap_socket(plain, server_side=True)
                except OSError:
                    self.refused += 1
                    continue
                self._connection = connection
                self.calls += 1
                with connection, contextlib.suppress(OSError):
                    self._attend(connection)

    def _attend(self, connection: ssl.SSLSocket) -> None:
        with connection.makefile("rb") as stream:
            while length := _octet_count(stream):
                self.messages.put(stream.read(length).decode())


class DeafReceiver(SyslogReceiver):
    """Takes one connection and reads nothing."""

    def _attend(self, _connection: ssl.SSLSocket) -> None:
        self._closing.wait()


class TalkingReceiver(SyslogReceiver):
    """Reads nothing, and sends as long as somebody takes it."""

    def _attend(self, connection: ssl.SSLSocket) -> None:
        while True:
            connection.sendall(b"x" * 100_000)


def _octet_count(stream) -> int:
    """RFC 5425, 4.3: MSG-LEN SP; 0 at the end of the stream."""
    digits = b""
    while (one := stream.read(1)) not in {b" ", b""}:
        assert one.isdigit(), one
        digits += one
    return int(digits or b"0")
