"""What the module asks of a server: how often, on how many connections, and whom it trusts."""

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.pkcs11.test_lying_server import (
    BEGINNING,
    DEVICE_ERROR,
    Liar,
    Talk,
    answer,
    der_of,
    key,
    of_json,
    signature,
)
from tests.pkcs11.test_processes import run
from tests.support.authority import Authority, name
from tests.support.syslog_receiver import server_context

Start = Callable[[Talk], Liar]
CURVE = bytes.fromhex("06082a8648ce3d030107")
LIST = "GET /keys?details=true&limit=1000"
PATIENT = {"answer-seconds": "60", "call-seconds": "60"}
"""For what succeeds: the machine may be busy with other tests."""

SIGNS = """
    key = module.find(session, b"EC_P256")
    module.sign(session, key)
"""
REFUSED = f"""
    wanted = Template({{CKA_ID: b"EC_P256"}})
    assert module.call("C_FindObjectsInit", session, wanted.array, wanted.count) == {DEVICE_ERROR}
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Start]:
    """Returns what starts a server that answers so."""
    with ExitStack() as closing:

        def start(talk: Talk) -> Liar:
            liar = Liar(tmp_path, talk)
            closing.callback(liar.close)
            return liar

        yield start


def honest(connection: ssl.SSLSocket, asked: str) -> None:
    """Answer as a server with one key does."""
    one = key("EC_P256")
    answers = {
        "GET /keys/EC_P256": of_json(one),
        "POST /keys/EC_P256/sign": signature(der_of(b"\x01" * 32, b"\x01" * 32)),
        "GET /keys?label=the%20key": of_json([{"id": "EC_P256"}]),
        LIST: of_json([one | {"id": "EC_P256", "hasCertificate": False}]),
        f"{LIST}&after=EC_P256": of_json([]),
        "DELETE /keys/EC_P256": answer(b"", "204 No Content"),
    }
    connection.sendall(answers.get(asked, answer(b"{}", "404 Not Found")))


def test_one_thread_has_one_connection_and_eight_have_no_more_than_eight(
    started: Start, module: Path, tmp_path: Path
) -> None:
    program = """
    import threading
    key = module.find(session, b"EC_P256")
    def signs():
        own = module.open()
        for _ in range(20):
            module.sign(own, key)
    threads = [threading.Thread(target=signs) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    """
    for threads in (1, 8):
        liar = started(honest)
        token = liar.token(module, tmp_path)
        token.settings |= PATIENT
        run(token, program.replace("THREADS", str(threads)), beginning=BEGINNING)
        assert len(liar.asked) == 1 + 20 * threads
        assert 1 <= liar.connections <= threads


def test_an_id_costs_one_request_a_label_three_and_a_list_is_used_again(
    started: Start, module: Path, tmp_path: Path
) -> None:
    liar = started(honest)
    token = liar.token(module, tmp_path)
    token.settings |= {"list-cache-seconds": "3600", **PATIENT}
    program = """
    CKA_LABEL = 3
    def search(values):
        template = Template(values)
        module.FindObjectsInit(session, template.array, template.count)
        module.FindObjectsFinal(session)
    session = module.open(READ_WRITE)
    search({CKA_CLASS: PRIVATE, CKA_ID: b"EC_P256"})
    search({CKA_CLASS: PRIVATE, CKA_LABEL: b"the key"})
    search({CKA_CLASS: PRIVATE})
    search({CKA_CLASS: PUBLIC})
    module.DestroyObject(session, module.find(session, b"EC_P256"))
    search({CKA_CLASS: PRIVATE})
    """
    run(token, program, beginning=BEGINNING)
    one, listed = ["GET /keys/EC_P256"], [LIST, f"{LIST}&after=EC_P256"]
    # A key without a label has its ID as one: that of the label is not looked for, as it is none.
    of_label = ["GET /keys?label=the%20key", *one]
    removed = [*one, "DELETE /keys/EC_P256"]
    expected = one + of_label + listed + removed + listed
    assert [asked for asked, _ in liar.asked] == expected


@pytest.mark.parametrize("status", ["412 Locked", "429 Too Many", "502 Bad Gateway", "503 Busy"])
def test_a_server_that_cannot_serve_now_is_asked_again(
    started: Start, module: Path, tmp_path: Path, status: str
) -> None:
    """It may be unlocked by a person in the meantime, or start."""

    def talk(connection: ssl.SSLSocket, asked: str) -> None:
        is_early = [one for one, _ in liar.asked].count(asked) < 3
        if asked.endswith("/sign") and is_early:
            connection.sendall(answer(b"{}", status))
        else:
            honest(connection, asked)

    liar = started(talk)
    token = liar.token(module, tmp_path)
    token.settings |= PATIENT
    run(token, SIGNS, beginning=BEGINNING)
    signed = ["POST /keys/EC_P256/sign"] * 3
    assert [asked for asked, _ in liar.asked] == ["GET /keys/EC_P256", *signed]


def test_a_server_that_refuses_pages_is_asked_for_one_key_after_the_other(
    started: Start, module: Path, tmp_path: Path
) -> None:
    def talk(connection: ssl.SSLSocket, asked: str) -> None:
        if asked == LIST:
            connection.sendall(answer(b"{}", "400 Bad Request"))
        elif asked == "GET /keys":
            connection.sendall(of_json([{"id": "EC_P256"}]))
        else:
            honest(connection, asked)

    liar = started(talk)
    token = liar.token(module, tmp_path)
    token.settings |= PATIENT
    program = """
    template, found, count = Template({CKA_CLASS: PRIVATE}), ULONG(), ULONG()
    module.FindObjectsInit(session, template.array, template.count)
    module.FindObjects(session, ctypes.byref(found), ULONG(1), ctypes.byref(count))
    assert count.value == 1
    """
    run(token, program, beginning=BEGINNING)
    expected = [LIST, "GET /keys", "GET /keys/EC_P256"]
    assert [asked for asked, _ in liar.asked] == expected


@pytest.mark.parametrize("chosen", [b"", b"chosen"])
def test_a_generation_that_was_not_answered_is_repeated_with_the_same_id(
    started: Start, module: Path, tmp_path: Path, chosen: bytes
) -> None:
    """The server may have made the key. By an ID of chance, the module knows that it did."""

    def talk(connection: ssl.SSLSocket, asked: str) -> None:
        if asked == "POST /keys/generate":
            if len([one for one, _ in liar.asked if one == asked]) == 1:
                raise ConnectionAbortedError
            connection.sendall(answer(b"{}", "409 Conflict"))
        else:
            connection.sendall(of_json(key("EC_P256")))

    liar = started(talk)
    token = liar.token(module, tmp_path)
    token.settings |= PATIENT
    program = f"""
    session = module.open(READ_WRITE)
    public = Template({{CKA_EC_PARAMS: {CURVE!r}}})
    private = Template({{CKA_ID: {chosen!r}, CKA_TOKEN: True}})
    halves = ULONG(), ULONG()
    answer = module.call(
        "C_GenerateKeyPair", session, ctypes.byref(Mechanism(0x1040, None, 0)),
        public.array, public.count, private.array, private.count, *map(ctypes.byref, halves),
    )
    assert answer == {7 if chosen else 0}, hex(answer)
    """
    run(token, program, beginning=BEGINNING)
    bodies = [json.loads(body) for asked, body in liar.asked if asked == "POST /keys/generate"]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    made = [asked for asked, _ in liar.asked[2:]]
    assert made == ([] if chosen else [f"GET /keys/{bodies[0]['id']}"])


def test_an_id_in_a_list_that_is_no_id_becomes_no_path(
    started: Start, module: Path, tmp_path: Path
) -> None:
    """Another instance may be honest: no request to it is made of what one says."""
    wrong = ["EC_P256/../other", "a b", "a HTTP/1.1\r\nHost: other\r\n\r\nGET /x", "a?b", ""]
    for more in ({}, key("EC_P256")):
        listed = [more | {"id": each} for each in [*wrong, "EC_P256"]]
        # Pages come in the order of their IDs.
        listed.sort(key=lambda one: str(one["id"]))

        def talk(
            connection: ssl.SSLSocket,
            asked: str,
            listed: list[dict[str, object]] = listed,
        ) -> None:
            if asked.startswith("GET /keys?"):
                connection.sendall(of_json([] if "after=" in asked else listed))
            else:
                honest(connection, asked)

        liar = started(talk)
        program = """
        template = Template({})
        handles, count = (ULONG * 99)(), ULONG()
        module.FindObjectsInit(session, template.array, template.count)
        module.FindObjects(session, handles, ULONG(99), ctypes.byref(count))
        assert count.value == 2
        """
        token = liar.token(module, tmp_path)
        token.settings |= PATIENT
        run(token, program, beginning=BEGINNING)
        paths = {asked for asked, _ in liar.asked if not asked.startswith("GET /keys?")}
        assert paths <= {"GET /keys/EC_P256", "GET /keys/EC_P256/cert"}


def test_an_authority_vouches_for_a_server_by_its_name(
    started: Start, module: Path, tmp_path: Path
) -> None:
    authority, other = Authority("ours"), Authority("another")
    liar = started(honest)
    liar.context = server_context(tmp_path, authority, "localhost")
    for file, each in (("ours.pem", authority), ("other.pem", other)):
        (tmp_path / file).write_bytes(each.pem)
    token = liar.token(module, tmp_path)
    token.settings |= {"answer-seconds": "5", "call-seconds": "5"}
    del token.settings["pinned-sha256"]
    token.settings["ca-file"] = f'"{tmp_path / "ours.pem"}"'
    assert "certificate" in run(token, REFUSED, beginning=BEGINNING)
    token.settings["instances"] = f'["https://localhost:{liar.port}"]'
    token.settings["ca-file"] = f'"{tmp_path / "other.pem"}"'
    assert "certificate" in run(token, REFUSED, beginning=BEGINNING)
    assert not liar.asked
    token.settings |= {"ca-file": f'"{tmp_path / "ours.pem"}"', **PATIENT}
    run(token, SIGNS, beginning=BEGINNING)


def test_a_server_that_asks_for_a_certificate_gets_that_of_the_configuration(
    started: Start, module: Path, tmp_path: Path
) -> None:
    authority, private = Authority("of programs"), ec.generate_private_key(ec.SECP256R1())
    mine = authority.certify(private.public_key(), name("a program"))
    files = {"certificate": tmp_path / "mine.pem", "key": tmp_path / "mine.key"}
    files["certificate"].write_bytes(mine.public_bytes(Encoding.PEM))
    files["key"].write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    liar = started(honest)
    liar.context.verify_mode = ssl.CERT_REQUIRED
    liar.context.load_verify_locations(cadata=authority.pem.decode())
    token = liar.token(module, tmp_path)
    run(token, REFUSED, beginning=BEGINNING)
    assert not liar.asked
    token.settings |= PATIENT
    token.settings |= {f"client-{what}": f'"{file}"' for what, file in files.items()}
    run(token, SIGNS, beginning=BEGINNING)
