"""The Python client: pins, several hosts, threads, errors."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keystead.client import (
    Anyone,
    CannotConnect,
    Client,
    Credentials,
    Endpoint,
    NotAuthenticated,
    NotFound,
    Pinned,
    Refused,
    UntrustedCertificate,
    WrongState,
    parse_pin,
)
from keystead.client.trust import parse_address
from keystead.errors import InvalidInput
from tests.support.server import running_server

ADMIN = Credentials("admin", "adminPassphrase")


@pytest.fixture(scope="module")
def hsm(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server")) as server:
        server.provision()
        server.add_user("signer", "Operator")
        yield server


def endpoint(server):
    return Endpoint(server.host, server.port, Pinned(server.fingerprint))


def nowhere():
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Endpoint("127.0.0.1", free.getsockname()[1], Anyone())


def test_threads_share_a_client(hsm):
    with Client([endpoint(hsm)], ADMIN) as client, ThreadPoolExecutor(16) as threads:
        wanted = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
        made = list(threads.map(lambda _: client.post("/keys/generate", wanted)["id"], range(64)))
        assert len(set(made)) == 64
    with Client([endpoint(hsm)], Credentials("signer", hsm.passphrases["signer"])) as client:
        assert client.sign(made[0], "ECDSA", bytes(32))[0] == 0x30


def test_more_messages_than_a_request_takes_are_signed_in_their_order(hsm):
    with Client([endpoint(hsm)], ADMIN) as admin:
        wanted = {"type": "Curve25519", "mechanisms": ["EdDSA_Signature"]}
        key = admin.post("/keys/generate", wanted)["id"]
    messages = [b"%d" % number for number in range(1001)] + [bytes(700_000), bytes(700_001)]
    with Client([endpoint(hsm)], Credentials("signer", hsm.passphrases["signer"])) as client:
        public = load_pem_public_key(client.public_pem(key))
        signatures = client.sign_many(key, "EdDSA", iter(messages))
        assert client.sign_many(key, "EdDSA", []) == []
        assert client.key(key)["operations"] == len(messages)
    for signature, message in zip(signatures, messages, strict=True):
        public.verify(signature, message)


def test_keys_are_listed_in_pages_until_one_is_empty(hsm, monkeypatch):
    monkeypatch.setattr("keystead.client.client._PAGE_KEYS", "2")
    with Client([endpoint(hsm)], ADMIN) as client:
        for number in range(5):
            wanted = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"], "id": f"page-{number}"}
            client.post("/keys/generate", wanted)
        listed = list(client.list_keys("page-"))
        assert [key["id"] for key in listed] == [f"page-{number}" for number in range(5)]
        assert all(key["publicPem"].startswith("-----BEGIN PUBLIC KEY-----") for key in listed)
        assert list(client.list_keys("nothing-")) == []


def test_a_host_that_is_down_is_passed_over(hsm):
    with Client([nowhere(), endpoint(hsm), nowhere()]) as client:
        assert client.state() == "Operational"
        assert client.state() == "Operational"


def test_a_host_in_the_wrong_state_passes_the_request_on(hsm, tmp_path):
    with running_server(tmp_path) as unprovisioned:
        with Client([endpoint(unprovisioned)], ADMIN) as client, pytest.raises(WrongState):
            client.get("/keys")
        with Client([endpoint(unprovisioned), endpoint(hsm)], ADMIN) as client:
            assert client.get("/users")


def test_when_no_host_answers_the_last_failure_is_told():
    with Client([nowhere(), nowhere()]) as client, pytest.raises(CannotConnect, match="refused"):
        client.state()


def test_nothing_is_sent_to_another_certificate_than_the_pinned_one(hsm):
    other = Endpoint(hsm.host, hsm.port, Pinned("0" * 64))
    with Client([other], ADMIN) as client, pytest.raises(UntrustedCertificate):
        client.get("/users")


def test_errors_are_told_apart(hsm):
    with Client([endpoint(hsm)], ADMIN) as client:
        with pytest.raises(NotFound) as raised:
            client.key("missing")
        assert raised.value.status == 404
        with pytest.raises(Refused, match="ID may only contain"):
            client.key("../../info")
    stranger = Credentials("nobody", "wrong passphrase")
    with Client([endpoint(hsm)], stranger) as client, pytest.raises(NotAuthenticated):
        client.get("/users")


def test_credentials_do_not_show_themselves():
    assert "adminPassphrase" not in repr(ADMIN)


class Breaking:
    """Accepts connections and closes them at the first byte; counts them."""

    def __init__(self):
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            connection.recv(1)
            connection.close()

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)  # It wakes up who accepts.
        self._listening.close()


def test_what_speaks_no_tls_is_no_hsm():
    breaking = Breaking()
    there = Endpoint("127.0.0.1", breaking.port, Anyone())
    with Client([there]) as client, pytest.raises(CannotConnect):
        client.state()
    breaking.close()
    assert breaking.connections == 1


@pytest.mark.parametrize("text", ["sha256:" + "ab" * 32, "AB" * 32, "AB:" * 31 + "AB"])
def test_a_pin_is_read_as_tools_write_it(text):
    assert parse_pin(text) == Pinned("ab" * 32)


@pytest.mark.parametrize("text", ["", "sha256:", "ab" * 31, "sha1:" + "ab" * 32, "xsha256:ab"])
def test_what_is_no_pin_is_refused(text):
    with pytest.raises(InvalidInput):
        parse_pin(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hsm", ("hsm", 8443)),
        ("hsm:1", ("hsm", 1)),
        ("[::1]:2", ("::1", 2)),
        ("192.0.2.1:3", ("192.0.2.1", 3)),
    ],
)
def test_an_address_has_a_port_or_the_usual_one(text, address):
    assert parse_address(text) == address
