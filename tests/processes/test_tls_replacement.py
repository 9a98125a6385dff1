"""The TLS identity changed on a running server, as clients see it."""

import contextlib
import hashlib
import http.client
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.support.authority import Authority, weak_dsa_key, weak_rsa_key
from tests.support.server import Server, basic, running_server, trusting_anyone

CURL = shutil.which("curl")
PEM = {"Content-Type": "application/x-pem-file"}


def shown(server: Server, *, context: ssl.SSLContext | None = None) -> str:
    """The fingerprint of the certificate that a new connection is shown."""
    with (
        socket.create_connection((server.host, server.port), timeout=60) as plain,
        (context or trusting_anyone()).wrap_socket(
            plain, server_hostname="localhost"
        ) as connection,
    ):
        certificate = connection.getpeercert(binary_form=True)
        assert certificate
        return hashlib.sha256(certificate).hexdigest()


def generate(server: Server, type_name: str, **more: int) -> None:
    answer = server.request(
        "POST", "/config/tls/generate", user="admin", json={"type": type_name, **more}
    )
    assert answer.status == 204, answer


def sign_and_install(server: Server, authority: Authority, *, status: int = 201) -> str:
    """Have the authority sign the key; the message in the answer, if there is one."""
    csr = server.request(
        "POST",
        "/config/tls/csr.pem",
        user="admin",
        json={"commonName": "localhost", "subjectAltNames": ["localhost", "IP:127.0.0.1"]},
    )
    answer = server.request(
        "PUT",
        "/config/tls/cert.pem",
        user="admin",
        body=authority.sign(csr.body) + authority.pem,
        headers=PEM,
    )
    assert answer.status == status, answer
    return answer.json()["message"] if answer.body else ""


@contextlib.contextmanager
def kept_alive(server: Server) -> Iterator[http.client.HTTPSConnection]:
    connection = server.connect()
    with contextlib.closing(connection):
        ask_on(connection)
        yield connection


def ask_on(connection: http.client.HTTPSConnection) -> None:
    """A request on an open connection; it fails when the server has closed it."""
    used = connection.sock
    connection.request(
        "GET", "/api/v1/config/time", headers={"Authorization": basic("admin", "adminPassphrase")}
    )
    response = connection.getresponse()
    response.read()
    assert response.status == 200
    assert used is None or connection.sock is used


def test_new_connections_get_the_new_certificate_and_open_ones_live_on(tmp_path):
    with running_server(tmp_path, edges=2) as server:
        server.provision()
        before = shown(server)
        with kept_alive(server) as old:
            generate(server, "EC_P384")
            after = {shown(server) for _ in range(20)}
            ask_on(old)
        assert len(after) == 1
        assert before not in after
    with running_server(tmp_path, edges=2) as server:
        assert {shown(server) for _ in range(10)} == after
        assert server.fingerprint in after


@pytest.mark.skipif(CURL is None, reason="needs curl")
def test_curl_connects_with_every_key_type_that_is_taken(provisioned_server):
    url = f"{provisioned_server.url}/api/v1/info"
    for type_name in ("RSA", "Curve25519", "EC_P384", "EC_P521"):
        generate(provisioned_server, type_name, length=2048)
        for version in ("1.2", "1.3"):
            answer = subprocess.run(  # noqa: S603
                [str(CURL), "-sk", "-m10", "--tls-max", version, url],
                check=True,
                capture_output=True,
            )
            assert answer.stdout == b'{"vendor":"Keystead","product":"Keystead"}'


def test_a_client_that_trusts_the_authority_connects_without_exception(provisioned_server):
    authority = Authority("root")
    sign_and_install(provisioned_server, authority)
    strict = ssl.create_default_context(cadata=authority.pem.decode())
    assert shown(provisioned_server, context=strict)
    generate(provisioned_server, "EC_P256")
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(provisioned_server, context=strict)


def test_a_refused_key_type_leaves_the_server_as_it_was(provisioned_server):
    before = shown(provisioned_server)
    answer = provisioned_server.request(
        "POST", "/config/tls/generate", user="admin", json={"type": "BrainpoolP256"}
    )
    assert answer.status == 400
    assert answer.json()["message"] == (
        "Clients could not connect with this key or certificate: no shared cipher."
    )
    assert shown(provisioned_server) == before


@pytest.mark.parametrize("length", [1024, 2047])
def test_a_weak_rsa_key_leaves_the_server_as_it_was(provisioned_server, length):
    before = shown(provisioned_server)
    wanted = {"type": "RSA", "length": length}
    answer = provisioned_server.request("POST", "/config/tls/generate", user="admin", json=wanted)
    assert answer.status == 400
    assert f"An RSA key of {length} bits is too weak" in answer.json()["message"]
    assert shown(provisioned_server) == before


@pytest.mark.parametrize(
    ("weak_key", "message"),
    [
        (weak_rsa_key, "An RSA key of 1024 bits is too weak for TLS"),
        # Only the TLS library knows this one. It cannot say so in the sandbox.
        (weak_dsa_key, "Clients could not connect with this key or certificate"),
    ],
)
def test_a_chain_with_a_weak_key_leaves_the_server_as_it_was(tmp_path, weak_key, message):
    with running_server(tmp_path, edges=1) as server:
        server.provision()
        before = shown(server)
        with kept_alive(server) as connection:
            refusal = sign_and_install(server, Authority("weak", key=weak_key()), status=400)
            assert message in refusal
            ask_on(connection)
        assert shown(server) == before
        assert server.log().count('"edge started"') == 1


def test_no_connection_fails_while_certificates_are_replaced(tmp_path):
    connected: list[str] = []
    failed: list[BaseException] = []
    done = threading.Event()

    def connect_all_the_time(server: Server) -> None:
        while not done.wait(0.02):
            try:
                connected.append(shown(server))
            except OSError as error:
                failed.append(error)
                return

    with running_server(tmp_path, edges=2) as server:
        server.provision()
        clients = [threading.Thread(target=connect_all_the_time, args=(server,)) for _ in range(2)]
        for client in clients:
            client.start()
        try:
            for type_name in ("EC_P384", "Curve25519", "EC_P521", "EC_P256"):
                generate(server, type_name)
            sign_and_install(server, Authority("root"))
        finally:
            done.set()
            for client in clients:
                client.join()
        assert not failed
        assert len(set(connected)) > 2
        assert shown(server) not in connected[: len(connected) // 2]
