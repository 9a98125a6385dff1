"""A server that was taken over: what it answers harms no program, and holds none up for ever."""

import base64
import contextlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keystead.certificates.tls_identity import fingerprint, make_tls_identity
from tests.pkcs11.conftest import Token
from tests.pkcs11.test_processes import run

Talk = Callable[[ssl.SSLSocket, str], None]
"""Answers a request of this method and path. The connection ends with an error."""

GENERAL_ERROR, DEVICE_ERROR = 0x5, 0x30
KINDS = {
    "EC_P256": b"\x04" + bytes(64),
    "Curve25519": bytes(32),
}
BEGINNING = """
from tests.pkcs11.bare import *
module = Module()
module.Initialize(None)
session = module.open()
"""


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


def of_json(value: object) -> bytes:
    return answer(json.dumps(value).encode())


def signature(raw: bytes) -> bytes:
    return of_json({"signature": base64.b64encode(raw).decode()})


def der_of(r: bytes, s: bytes) -> bytes:
    numbers = b"".join(b"\x02" + bytes([len(one)]) + one for one in (r, s))
    return b"\x30" + bytes([len(numbers)]) + numbers


def key(kind: str) -> dict[str, object]:
    names = {"EC_P256": "ECDSA_Signature", "Curve25519": "EdDSA_Signature"}
    public = {"data": base64.b64encode(KINDS[kind]).decode()}
    return {"type": kind, "mechanisms": [names[kind]], "public": public, "operations": 0}


class Liar:
    """A server with the right certificate that answers as it likes."""

    def __init__(self, folder: Path, talk: Talk) -> None:
        private, chain = make_tls_identity("liar")
        file = folder / "liar.pem"
        file.write_bytes(private.reveal() + chain)
        self.pin = fingerprint(chain)
        self.asked: list[tuple[str, bytes]] = []
        """The method and path of each request, and its body."""
        self.connections = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(file)
        self._talk = talk
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # It wakes up who accepts.
        self._listening.close()
        self._accepting.join()

    def _accept(self) -> None:
        talking: list[threading.Thread] = []
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listening.accept()
                self.connections += 1
                talking.append(threading.Thread(target=self._serve, args=(accepted,)))
                talking[-1].start()
        for thread in talking:
            thread.join()

    def _serve(self, accepted: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            self.context.wrap_socket(accepted, server_side=True) as connection,
        ):
            stream = connection.makefile("rb")
            while line := stream.readline():
                method, path, _ = line.decode().split()
                length = 0
                while header := stream.readline().strip():
                    name, _, value = header.decode().partition(":")
                    if name == "Content-Length":
                        length = int(value)
                asked = f"{method} {path.removeprefix('/api/v1')}"
                self.asked.append((asked, stream.read(length)))
                self._talk(connection, asked)

    def token(self, module: Path, folder: Path) -> Token:
        """Return a token on this server."""
        settings = {
            "label": '"liar"',
            "instances": f'["https://127.0.0.1:{self.port}"]',
            "pinned-sha256": f'["{self.pin}"]',
            "user": '"operator"',
            "pin": '"a passphrase"',
            "answer-seconds": "1",
            "call-seconds": "1",
        }
        return Token(None, module, folder, settings)  # type: ignore[arg-type]


@pytest.fixture
def lied_to(module: Path, tmp_path: Path) -> Iterator[Callable[[Talk], Token]]:
    """Returns what makes a token on a server that answers so."""
    with contextlib.ExitStack() as closing:

        def make(talk: Talk) -> Token:
            liar = Liar(tmp_path, talk)
            closing.callback(liar.close)
            return liar.token(module, tmp_path)

        yield make


def about_signatures(lie: Callable[[ssl.SSLSocket], None]) -> Talk:
    """Return a server that is honest, but for signatures."""

    def talk(connection: ssl.SSLSocket, asked: str) -> None:
        if asked.endswith("/sign"):
            lie(connection)
        elif asked.startswith("GET /keys/") and asked.rpartition("/")[2] in KINDS:
            connection.sendall(of_json(key(asked.rpartition("/")[2])))
        else:
            connection.sendall(answer(b"{}", "404 Not Found"))

    return talk


def sends(content: bytes) -> Callable[[ssl.SSLSocket], None]:
    """Return what sends this and nothing else."""

    def lie(connection: ssl.SSLSocket) -> None:
        connection.sendall(content)
        raise ConnectionAbortedError

    return lie


def for_ever(beginning: bytes, again: bytes) -> Callable[[ssl.SSLSocket], None]:
    """Return what sends this as long as somebody reads."""

    def lie(connection: ssl.SSLSocket) -> None:
        connection.sendall(beginning)
        while True:
            connection.sendall(again)

    return lie


def drips(beginning: bytes) -> Callable[[ssl.SSLSocket], None]:
    """Return what sends a byte five times in each second, less than the time for an answer."""

    def lie(connection: ssl.SSLSocket) -> None:
        connection.sendall(beginning)
        while not threading.Event().wait(0.2):
            connection.sendall(b"1")

    return lie


def test_a_pin_that_the_server_refuses_for_too_long_is_locked(lied_to):
    refusal = answer(b'{"message":"Too many failed attempts"}', "429 Too Many Requests")
    token = lied_to(lambda connection, _: connection.sendall(refusal))
    del token.settings["pin"]
    shown = run(
        token,
        """
        from ctypes import c_char_p
        PIN_LOCKED, USER = 0xA4, ULONG(1)
        pin, length = c_char_p(b"a passphrase"), ULONG(12)
        for _ in range(2):
            assert module.call("C_Login", session, USER, pin, length) == PIN_LOCKED
        """,
        beginning=BEGINNING,
    )
    assert shown.count("Too many failed attempts") == 2


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LIES = {
    "nothing": sends(b""),
    "no HTTP": sends(b"220 mail.example ESMTP\r\n"),
    "another version": sends(b"HTTP/2 200\r\nContent-Length: 2\r\n\r\n{}"),
    "no status": sends(b"HTTP/1.1 \r\n\r\n"),
    "a head without an end": for_ever(HEAD, b"X-A: a\r\n"),
    "a line without an end": for_ever(HEAD, bytes(1000)),
    "no length": sends(HEAD + b"\r\n{}"),
    "a short body": sends(HEAD + b"Content-Length: 100\r\n\r\n{}"),
    "a length of a petabyte": sends(HEAD + b"Content-Length: 1125899906842624\r\n\r\n{}"),
    "a negative length": sends(HEAD + b"Content-Length: -1\r\n\r\n{}"),
    "the longest body, begun": sends(HEAD + b"Content-Length: 268435456\r\n\r\n{}"),
    "a body without an end": for_ever(CHUNKED, b"10000\r\n" + bytes(0x10000) + b"\r\n"),
    "a chunk of all memory": sends(CHUNKED + b"ffffffffffffffff\r\n{}"),
    "a chunk of no length": sends(CHUNKED + b"\r\n{}"),
    "a chunk that goes on": sends(CHUNKED + b"2\r\n{}{}\r\n0\r\n\r\n"),
    "only a provisional answer": sends(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "another address": sends(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
    "a slow head": drips(HEAD + b"X-A: "),
    "a slow body": drips(HEAD + b"Content-Length: 100000\r\n\r\n"),
    "a slow chunk": drips(CHUNKED + b"10000\r\n"),
    "no JSON": sends(answer(b"<html>")),
    "deep JSON": sends(answer(b'{"signature":' + b"[" * 1_000_000)),
    "other JSON": sends(of_json([])),
    "a number": sends(of_json({"signature": 1})),
    "no base64": sends(of_json({"signature": "***"})),
    "no signature": sends(signature(b"")),
    "a byte": sends(signature(b"\x30")),
    "a long signature": sends(signature(bytes(10_000))),
    "numbers that are too long": sends(signature(der_of(b"\x01" * 33, b"\x01" * 33))),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_a_signature_is_an_error_of_the_device(
    lied_to: Callable[[Talk], Token], name: str
) -> None:
    program = f"""
    for name, mechanism in ((b"EC_P256", CKM_ECDSA), (b"Curve25519", 0x1057)):
        key = module.find(session, name)
        module.SignInit(session, ctypes.byref(Mechanism(mechanism, None, 0)), key)
        room, length = (ctypes.c_char * 64)(), ULONG(64)
        call = session, bytes(32), ULONG(32), room, ctypes.byref(length)
        answer = module.call("C_Sign", *call)
        assert answer == {DEVICE_ERROR}, hex(answer)
        assert room.raw == bytes(64)
    module.Finalize(None)
    """
    run(lied_to(about_signatures(LIES[name])), program, beginning=BEGINNING)


def test_what_a_server_says_of_a_refusal_is_one_line_without_commands(
    lied_to: Callable[[Talk], Token],
) -> None:
    refusal = "no\x1b[2J\r\nkeystead-pkcs11: all is well\u009b" + "!" * 1_000_000
    token = lied_to(about_signatures(sends(answer(refusal.encode(), "400 Bad Request"))))
    program = """
    key = module.find(session, b"EC_P256")
    module.SignInit(session, ctypes.byref(Mechanism(CKM_ECDSA, None, 0)), key)
    room, length = (ctypes.c_char * 64)(), ULONG(64)
    assert module.call("C_Sign", session, bytes(32), ULONG(32), room, ctypes.byref(length)) == 7
    """
    said = run(token, program, beginning=BEGINNING)
    assert said.startswith("keystead-pkcs11: the server answers 400: no [2J  keystead-pkcs11: all")
    assert said.count("\n") == 1
    assert len(said) < 1100
    assert not {"\x1b", "\u009b"} & set(said)


LIST = """
template = Template({CKA_CLASS: PRIVATE})
answer = module.call("C_FindObjectsInit", session, template.array, template.count)
"""


def test_a_list_that_does_not_end_is_an_error(lied_to: Callable[[Talk], Token]) -> None:
    pages = iter(range(1_000_000))

    def talk(connection: ssl.SSLSocket, asked: str) -> None:
        page = next(pages) if asked.startswith("GET /keys?") else None
        ids = [{"id": f"{page:06}-{one:06}", "type": "none"} for one in range(50_000)]
        connection.sendall(answer(b"", "404 Not Found") if page is None else of_json(ids))

    run(lied_to(talk), f"{LIST}\nassert answer == {DEVICE_ERROR}, hex(answer)", beginning=BEGINNING)


@pytest.mark.parametrize(
    "page",
    [
        [key("EC_P256") | {"id": "b"}, key("EC_P256") | {"id": "a"}],
        [key("EC_P256")],
        [[]],
        [{"id": 7}],
        {},
        [key("EC_P256") | {"id": "a", "public": {"data": 4}}],
    ],
    ids=["twice the same page", "no ID", "no keys", "a number", "no list", "no point"],
)
def test_a_lie_about_a_list_is_an_error(lied_to: Callable[[Talk], Token], page: object) -> None:
    def talk(connection: ssl.SSLSocket, asked: str) -> None:
        is_list = asked.startswith("GET /keys?")
        connection.sendall(of_json(page) if is_list else answer(b"", "404 Not Found"))

    run(lied_to(talk), f"{LIST}\nassert answer == {DEVICE_ERROR}, hex(answer)", beginning=BEGINNING)


def test_a_key_with_numbers_that_are_none_harms_nothing(lied_to: Callable[[Talk], Token]) -> None:
    """Whatever stands for its public half: the program may read it, and verify with it."""
    kinds = ("RSA", "EC_P256", "EC_P521", "Curve25519", "ML_DSA_65", "ML_KEM_768", "AES", "")
    values = (b"", b"\0", b"\x04" + bytes(64), b"\xff" * 300, os.urandom(5000))

    def keys() -> Iterator[dict[str, object]]:
        for kind in kinds:
            for number, value in enumerate(values):
                text = base64.b64encode(value).decode()
                public = {"data": text, "modulus": text, "publicExponent": text}
                for part in ({"data": text}, public):
                    shown = {"type": kind, "mechanisms": ["", "ECDSA_Signature", "\0"]}
                    yield shown | {"id": f"{kind}{number}{len(part)}", "public": part}

    listed = sorted(keys(), key=lambda one: str(one["id"]))

    def talk(connection: ssl.SSLSocket, asked: str) -> None:
        if asked.startswith("GET /keys?"):
            connection.sendall(of_json([] if "after=" in asked else listed))
        else:
            connection.sendall(answer(b"", "404 Not Found"))

    program = """
    template = Template({})
    handles, count = (ULONG * 1000)(), ULONG()
    module.FindObjectsInit(session, template.array, template.count)
    module.FindObjects(session, handles, ULONG(1000), ctypes.byref(count))
    module.FindObjectsFinal(session)
    assert count.value
    def begins(*call):
        answer = module.call(*call)
        assert answer != PANIC, call
        return answer == 0
    kinds = (0x0, 0x11, 0x80, 0x100, 0x102, 0x120, 0x121, 0x122, 0x129, 0x161, 0x180, 0x181)
    for handle in map(ULONG, handles[: count.value]):
        for kind in kinds:
            room = ctypes.create_string_buffer(20_000)
            wanted = Attribute(kind, ctypes.addressof(room), len(room))
            begins("C_GetAttributeValue", session, handle, ctypes.byref(wanted), ULONG(1))
        for mechanism in (0x1, 0xD, 0x1041, 0x1044, 0x1057, 0x1D):
            how, room = ctypes.byref(Mechanism(mechanism, None, 0)), (ctypes.c_char * 8192)()
            if begins("C_VerifyInit", session, how, handle):
                begins("C_Verify", session, bytes(32), ULONG(32), room, ULONG(64))
            if begins("C_EncryptInit", session, how, handle):
                length = ctypes.byref(ULONG(8192))
                begins("C_Encrypt", session, bytes(32), ULONG(32), room, length)
    module.Finalize(None)
    """.replace("PANIC", str(GENERAL_ERROR))
    run(lied_to(talk), program, beginning=BEGINNING)


@pytest.mark.parametrize("name", ["nothing", "no HTTP", "a slow head", "a short body", "busy"])
def test_no_call_fails_while_another_instance_is_honest(
    lied_to: Callable[[Talk], Token], token: Token, name: str
) -> None:
    lie = sends(answer(b"", "503 Service Unavailable")) if name == "busy" else LIES[name]
    bad = lied_to(lambda connection, _: lie(connection)).settings
    addresses = [bad["instances"], token.settings["instances"]]
    pins = [bad["pinned-sha256"], token.settings["pinned-sha256"]]
    token.settings |= {
        "instances": f"[{', '.join(one.strip('[]') for one in addresses)}]",
        "pinned-sha256": f"[{', '.join(one.strip('[]') for one in pins)}]",
        "answer-seconds": "1",
    }
    program = """
    key = module.find(session, b"EC_P256")
    for _ in range(50):
        assert len(module.sign(session, key)) == 64
    """
    run(token, program, beginning=BEGINNING)
