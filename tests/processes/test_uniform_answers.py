"""What the server answers to wrong credentials and ciphertexts tells nothing, to the last byte."""

import base64
import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keystead import algorithms
from keystead.algorithms import PrivateKey
from keystead.model.keys import PrivateMaterial
from tests.algorithms.published_vectors import OURS
from tests.support.core import b64
from tests.support.rsa_encodings import encode_pkcs1, encrypt_raw, wrong_oaep, wrong_pkcs1
from tests.support.server import Answer, Server, running_server, wait_until

PEM = (OURS / "keys" / "rsa-2048.pem").read_bytes()
MODES = ["PKCS1", *(f"OAEP_{name}" for name in ("MD5", "SHA1", "SHA256", "SHA512"))]


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return algorithms.load(PrivateMaterial(pem=PEM))


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An Operational server with the Operator `operator` and an RSA key, `rsa`."""
    with running_server(tmp_path_factory.mktemp("default")) as server:
        set_up(server)
        yield server


def set_up(server: Server) -> None:
    server.provision()
    server.add_user("operator", "Operator")
    numbers = load_pem_private_key(PEM, None).private_numbers()
    parts = {"primeP": numbers.p, "primeQ": numbers.q, "publicExponent": 65537}
    wanted = {
        "type": "RSA",
        "mechanisms": [f"RSA_Decryption_{mode}" for mode in MODES],
        "private": {name: b64(number.to_bytes(128)) for name, number in parts.items()},
    }
    assert server.request("PUT", "/keys/rsa", user="admin", json=wanted).status == 204


def decrypt(server: Server, mode: str, ciphertext: bytes) -> Answer:
    wanted = {"mode": mode, "encrypted": b64(ciphertext)}
    return server.request("POST", "/keys/rsa/decrypt", user="operator", json=wanted)


def seen(answer: Answer) -> tuple[object, ...]:
    """All of an answer but the time, in order."""
    headers = [(name, value) for name, value in answer.headers.items() if name != "date"]
    return answer.status, headers, answer.body


def test_a_failed_login_does_not_tell_what_was_wrong(hsm):
    hsm.add_user("ghosts~admin", "Administrator")  # Its namespace does not exist.
    names = ["admin", "operator", "nobody", "ghosts~admin", "ghosts~nobody", "-"]
    refused, braked = [], []
    for passphrase in ("wrong passphrase", "", "\u00fc" * 500):
        for name in names:
            for answers in (refused, braked):
                answer = hsm.request("GET", "/users", user=name, passphrase=passphrase)
                answers.append(seen(answer))
        time.sleep(1.1)
    assert all(one == refused[0] for one in refused)
    assert refused[0][0] == 401
    assert all(one == braked[0] for one in braked)
    assert braked[0][0] == 429


@pytest.mark.parametrize("mode", MODES[1:])
def test_a_failed_oaep_decryption_does_not_tell_what_was_wrong(hsm, key, mode):
    blocks = wrong_oaep(256, mode.removeprefix("OAEP_").lower()).values()
    ciphertexts = [bytes(255), b"\xff" * 256, *(encrypt_raw(key, block) for block in blocks)]
    answers = [seen(decrypt(hsm, mode, ciphertext)) for ciphertext in ciphertexts]
    assert all(one == answers[0] for one in answers)
    assert answers[0][0] == 400


def test_a_wrong_pkcs1_padding_is_answered_as_a_good_one(hsm, key):
    for encoded in (encode_pkcs1(b"a message", 256), *wrong_pkcs1(256).values()):
        ciphertext = encrypt_raw(key, encoded)
        first, again = (decrypt(hsm, "PKCS1", ciphertext) for _ in range(2))
        assert first.status == 200
        assert seen(first) == seen(again)
        message = base64.b64decode(first.json()["decrypted"], validate=True)
        assert message == b"a message" or message not in encoded or len(message) < 8


def test_an_operator_can_have_the_padding_errors_of_a_nethsm(tmp_path, key):
    config = "[compatibility]\npkcs1_padding_errors = true"
    with running_server(tmp_path, config=config) as server:
        wait_until(lambda: "pkcs1_padding_errors" in server.log(), seconds=60)
        set_up(server)
        good = decrypt(server, "PKCS1", encrypt_raw(key, encode_pkcs1(b"a message", 256)))
        assert base64.b64decode(good.json()["decrypted"]) == b"a message"
        answers = [
            seen(decrypt(server, "PKCS1", encrypt_raw(key, encoded)))
            for encoded in wrong_pkcs1(256).values()
        ]
        assert all(one == answers[0] for one in answers)
        assert (answers[0][0], answers[0][2]) == (400, b'{"message":"Decryption failure"}')
