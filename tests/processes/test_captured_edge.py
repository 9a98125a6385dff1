"""One plays an edge that an attacker has taken over, with its socket to a real core.

What it may not get: a key, a record in clear, a passphrase or verifier of anyone; more of the core
than one edge's share; anything but its own end when it breaks the protocol. Beside it an honest
edge is served throughout.
"""

import base64
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.processes.core.process import EDGE_BODY_BYTES
from keystead.wire.control_messages import (
    AttachEdge,
    CannotStart,
    EdgeReady,
    Noted,
    Ping,
    Pong,
    Started,
    Wanted,
)
from keystead.wire.edge_messages import (
    BodyChunk,
    CoreToEdge,
    Request,
    RequestAborted,
    Response,
    Serving,
    TriedOut,
    TryOut,
    WantBody,
    Welcome,
)
from keystead.wire.frames import EDGE_FRAME_BYTES, FrameDecoder
from keystead.wire.platform_messages import (
    AskFreeSpace,
    Committed,
    CoreSettings,
    Found,
    FreeSpace,
    Get,
    Hello,
    KeepUnattendedKey,
    SlotAnswer,
    StoreRefusal,
    SyslogLine,
    UnattendedKeyKept,
    Write,
)
from tests.support.known_secrets import (
    add_private_key,
    add_stored_secrets,
)
from tests.support.leaks import Secrets
from tests.support.real_core import EdgeEnd, RealCore, framed, in_frame, running_core
from tests.support.server import basic

UNLOCK = "the unlock passphrase"
ADMIN = ("admin", "the admin's passphrase")
OTHER = ("other", "another operator's passphrase")
SEEN = ("seen", "a passphrase that passed by")
"""Of a user whose request came by the captured edge."""

AT_ONCE_SECONDS = 30.0
"""For a few requests, one of which may need a KDF, on a machine that is busy."""
OTHERS_BEFORE = 8
"""Guesses of an edge's hundreds that are worked on before another edge has its turn."""
MIB = 1024 * 1024
MEMORY_MIB = 160
"""What an edge may make the core take beside bodies, which have a budget."""


@dataclass
class Scene:
    """A core with secrets, an honest edge and an attacker that comes back again and again."""

    core: RealCore
    honest: EdgeEnd
    secrets: Secrets

    def captured(self) -> EdgeEnd:
        return self.core.attach()

    def require_service(self) -> None:
        began = time.monotonic()
        assert self.honest.ask("GET", "/health/state").json() == {"state": "Operational"}
        message = base64.b64encode(bytes(32)).decode()
        wanted = {"mode": "ECDSA", "message": message}
        assert self.honest.ask("POST", "/keys/signing/sign", user=OTHER, json=wanted).status == 200
        assert time.monotonic() - began < AT_ONCE_SECONDS
        assert self.core.process.poll() is None


def require_created(edge: EdgeEnd, method: str, path: str, **wanted: object) -> None:
    answer = edge.ask(method, path, user=ADMIN, json=wanted)
    assert answer.status in {201, 204}, answer


def fill(edge: EdgeEnd, secrets: Secrets) -> None:
    """Give the HSM users and keys whose secrets are known."""
    provisioned = edge.ask(
        "POST",
        "/provision",
        json={
            "unlockPassphrase": UNLOCK,
            "adminPassphrase": ADMIN[1],
            "systemTime": "2026-01-01T00:00:00Z",
        },
    )
    assert provisioned.status == 204, provisioned
    for name, passphrase in (OTHER, SEEN):
        require_created(
            edge, "PUT", f"/users/{name}", realName=name, role="Operator", passphrase=passphrase
        )
    signing = ec.generate_private_key(ec.SECP256R1())
    add_private_key(secrets, "imported signing", signing)
    scalar = signing.private_numbers().private_value.to_bytes(32)
    require_created(
        edge,
        "PUT",
        "/keys/signing",
        type="EC_P256",
        mechanisms=["ECDSA_Signature"],
        private={"data": base64.b64encode(scalar).decode()},
    )
    decrypting = rsa.generate_private_key(65537, 2048)
    add_private_key(secrets, "imported decrypting", decrypting)
    numbers = decrypting.private_numbers()
    parts = {"primeP": numbers.p, "primeQ": numbers.q, "publicExponent": 65537}
    require_created(
        edge,
        "PUT",
        "/keys/decrypting",
        type="RSA",
        mechanisms=["RSA_Decryption_PKCS1"],
        private={
            name: base64.b64encode(value.to_bytes((value.bit_length() + 7) // 8)).decode()
            for name, value in parts.items()
        },
    )
    aes = {"type": "Generic", "mechanisms": ["AES_Encryption_CBC", "AES_Decryption_CBC"]}
    require_created(edge, "POST", "/keys/generate", id="aes", length=256, **aes)
    for name, secret in (("unlock", UNLOCK), ("admin", ADMIN[1]), ("other", OTHER[1])):
        secrets.add(f"{name} passphrase", secret)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Iterator[Scene]:
    secrets = Secrets()
    with running_core(tmp_path_factory.mktemp("captured")) as core:
        honest = core.attach_honest()
        fill(honest, secrets)
        add_stored_secrets(secrets, core.data, UNLOCK)
        # The one secret that an edge is given.
        for name in [name for name in secrets.values if name.startswith("TLS key")]:
            secrets.forget(name)
        found = Scene(core, honest, secrets)
        found.require_service()
        yield found
        require_silence(found)


def require_silence(scene: Scene) -> None:
    """Nothing that any edge ever heard holds a secret, and nothing unforeseen has happened."""
    heard = b"".join(bytes(edge.heard) for edge in scene.core.edges)
    assert len(heard) > 1_000
    assert scene.secrets.found_in(heard) == []
    log = scene.core.log()
    assert scene.secrets.found_in(log.encode()) == []
    assert '"level": "error"' not in log


# --- frames that no edge of ours sends ---------------------------------------------------------


def packed(*fields: object) -> bytes:
    return in_frame(msgspec.msgpack.encode(fields))


def request(number: int, path: str = "/health/state", **fields: object) -> Request:
    known = {"method": "GET", "query": "", "headers": {}, "client": "192.0.2.9", "body": b""}
    return Request(id=number, path="/api/v1" + path, **(known | fields))  # type: ignore[arg-type]


def signing_request(number: int, **fields: object) -> Request:
    headers = {"authorization": basic(*SEEN), "content-type": "application/json"}
    return request(number, "/keys/signing/sign", method="POST", headers=headers, **fields)


REQUEST = (0, 1, "GET", "/api/v1/health/alive", "", {}, "192.0.2.1", b"", 0, False)


def request_with(index: int, value: object) -> bytes:
    fields = list(REQUEST)
    fields[index] = value
    return packed(*fields)


MALFORMED = {
    "an empty frame": in_frame(b""),
    "a frame over the limit": (EDGE_FRAME_BYTES + 1).to_bytes(4) + b"x",
    "the largest length": b"\xff\xff\xff\xff",
    "no msgpack": in_frame(b"\xc1"),
    "text": b"GET / HTTP/1.1\r\nHost: core\r\n\r\n",
    "a value that is cut off": in_frame(b"\xdb\xff\xff\xff\xff"),
    "a map that says it is enormous": in_frame(b"\x98\x00\x01\xa1G\xa1/\xa0\xdf\xff\xff\xff\xff"),
    "an array that says it is enormous": in_frame(b"\xdd\xff\xff\xff\xff\x00\x01"),
    "bytes that say they are enormous": in_frame(b"\x93\x01\x01\xc6\xff\xff\xff\xff"),
    "nested as deep as a frame allows": in_frame(b"\x91" * EDGE_FRAME_BYTES),
    "nested in a field too many": in_frame(b"\x93\x02\x01" + b"\x91" * 500_000),
    "a value after the message": in_frame(msgspec.msgpack.encode([2, 1]) + b"\x00"),
    "a field too many": packed(2, 1, 1),
    "a field too few": packed(1, 1, b""),
    "no array": in_frame(msgspec.msgpack.encode({"id": 1})),
    "no tag": packed(),
    "an unknown tag": packed(99, 1),
    "a negative tag": packed(-1, 1),
    "a tag of text": packed("0", 1),
    "a fraction for an id": packed(2, 1.5),
    "nothing for an id": packed(2, None),
    "text for an id": packed(2, "1"),
    "an extension for an id": packed(2, msgspec.msgpack.Ext(5, b"x")),
    "a number for the method": request_with(2, 1),
    "a list for the path": request_with(3, ["/"]),
    "a path that is not UTF-8": in_frame(b"\x98\x00\x01\xa3GET\xa2\xff\xfe\xa0\x80\xa1x\xc4\x00"),
    "a path with a surrogate": in_frame(
        b"\x98\x00\x01\xa3GET\xa3\xed\xa0\x80\xa0\x80\xa1x\xc4\x00"
    ),
    "a header that is a number": request_with(5, {"accept": 1}),
    "a header named by a number": request_with(5, {1: "accept"}),
    "headers in a list": request_with(5, [["accept", "x"]]),
    "more headers than an edge lets through": request_with(5, {f"h{n}": "x" for n in range(9999)}),
    "a longer header than an edge lets through": request_with(5, {"authorization": "x" * 20_000}),
    "a longer path than an edge lets through": request_with(3, "/" * 20_000),
    "a longer address than there are": request_with(6, "1" * 1000),
    "an address that is none": request_with(6, "192.0.2.1\0"),
    "an address of a long interface": request_with(6, "fe80::1%" + "x" * 1_000_000),
    "a header that no edge forwards": request_with(5, {"cookie": "x"}),
    "a header of wide characters": request_with(5, {"authorization": "\U0001f511" * 5000}),
    "a longer body than an edge sends unasked": request_with(7, bytes(17 * 1024)),
    "text for a body": request_with(7, "body"),
    "a length of text": request_with(8, "0"),
    "a number for a truth value": request_with(9, 1),
    "an identity that was never sent": framed(Serving(), Serving()),
    "the id of a request under way": framed(*[signing_request(7, content_length=9, more=True)] * 2),
}

OF_OTHERS = (
    Welcome(b"key", b"chain"),
    Response(1, 200, b"", b""),
    TryOut(1, b"key", b"chain"),
    Hello(bytes(32), CoreSettings()),
    Get(1, "/key/signing"),
    Write("/key/signing", b"x"),
    Found(1, b"x", 1),
    Committed(1, 1),
    StoreRefusal(1, "stale", "x"),
    SyslogLine(3, "x"),
    SlotAnswer(1),
    KeepUnattendedKey(1, bytes(32)),
    UnattendedKeyKept(1),
    AskFreeSpace(1),
    FreeSpace(1, 1),
    AttachEdge(9),
    Noted(),
    Started("Operational", "x"),
    Wanted("factory-reset"),
    CannotStart("x"),
    EdgeReady([], [], 1),
    Ping(),
    Pong(),
)


@pytest.mark.parametrize("what", MALFORMED)
def test_a_frame_that_makes_no_sense_ends_the_edge_that_sent_it(scene: Scene, what):
    edge = scene.captured()
    edge.send_bytes(MALFORMED[what])
    assert edge.is_closed()
    scene.require_service()


@pytest.mark.parametrize("message", OF_OTHERS, ids=lambda message: type(message).__name__)
def test_a_message_of_another_process_ends_the_edge_that_sent_it(scene: Scene, message):
    edge = scene.captured()
    edge.send(message)
    assert edge.is_closed()
    scene.require_service()


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=30)
    | st.binary(max_size=30)
    | st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=9)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
ids = st.integers(-(2**63), 2**64 - 1) | st.integers(1, 3)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
paths = texts | st.sampled_from(
    ["/health/state", "/keys", "/keys/signing", "/users/admin", "/config/tls/public.pem"]
).map("/api/v1".__add__)
authorizations = st.sampled_from(
    [basic(*SEEN), basic(*SEEN).lower(), basic("admin", ""), "Basic", "Basic \0", "Bearer x"]
)
requests = st.builds(
    Request,
    id=ids,
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "", "\0"]),
    path=paths,
    query=texts,
    headers=st.dictionaries(texts, texts, max_size=2)
    | st.fixed_dictionaries({"authorization": authorizations}),
    client=st.ip_addresses().map(str) | st.sampled_from(["", "x", "1.2.3.4\0"]),
    body=st.binary(max_size=50),
    content_length=st.none() | ids,
    more=st.booleans(),
)
valid = (
    requests
    | st.builds(BodyChunk, ids, st.binary(max_size=50), st.booleans())
    | st.builds(RequestAborted, ids)
    | st.builds(WantBody, ids, ids)
    | st.builds(TriedOut, ids, texts)
    | st.just(Serving())
)
frames = valid.map(framed) | st.lists(anything, max_size=10).map(lambda one: packed(*one))


@settings(max_examples=40)
@given(st.lists(frames, max_size=12), st.binary(max_size=12), st.integers(0, 200))
def test_whatever_an_edge_sends_the_others_are_served(scene: Scene, sent, rest, cut):
    edge = scene.captured()
    stream = b"".join(sent)
    stream = stream[:-cut] + rest if cut < len(stream) else stream + rest
    edge.send_bytes(stream)
    edge.drain(0.02)
    edge.close()
    scene.require_service()


# --- frames that an edge of ours could send, and would not -------------------------------------


def send_until_blocked(edge: EdgeEnd, data: bytes) -> None:
    edge.socket.settimeout(2)
    try:
        edge.send_bytes(data)
    except OSError:  # Nobody takes it any more, or the core has closed.
        return


@pytest.mark.parametrize("path", ["/api/v1/health/state", "/api_docs", "/api/v1/keys"])
def test_an_edge_that_takes_no_answers_cannot_fill_the_core(scene: Scene, path):
    before = scene.core.memory_mib()
    edge = scene.captured()
    headers = {"authorization": basic(*SEEN)}
    asked = [Request(n, "GET", path, "", headers, "192.0.2.9", b"") for n in range(1, 8001)]
    send_until_blocked(edge, framed(*asked))
    scene.require_service()
    assert scene.core.memory_mib() - before < MEMORY_MIB
    edge.close()
    scene.require_service()


def test_requests_whose_bodies_never_come_hold_up_nobody_else(scene: Scene):
    edge = scene.captured()
    asked = [signing_request(n, content_length=9, more=True) for n in range(1, 9001)]
    send_until_blocked(edge, framed(*asked))
    scene.require_service()
    edge.close()
    scene.require_service()


def test_requests_that_are_aborted_at_once_leave_nothing_behind(scene: Scene):
    edge = scene.captured()
    for number in range(1, 2001):
        asked = signing_request(number, content_length=9, more=True)
        edge.send(asked, RequestAborted(number), RequestAborted(number))
    edge.drain(0.2)
    scene.require_service()
    edge.send(request(2001))
    edge.close()
    scene.require_service()


def test_more_of_a_body_than_was_asked_for_ends_the_edge(scene: Scene):
    edge = scene.captured()
    edge.send(signing_request(1, content_length=None, more=True))
    while not isinstance(edge.receive(), WantBody):
        pass
    edge.send(BodyChunk(1, bytes(MIB), last=False))
    assert edge.is_closed()
    scene.require_service()


def test_bodies_that_never_end_leave_room_for_the_others(scene: Scene):
    edge = scene.captured()
    for number in range(1, 7):
        edge.send(signing_request(number, content_length=None, more=True))
    held = dict.fromkeys(range(1, 7), 0)
    edge.socket.settimeout(1)
    with contextlib.suppress(TimeoutError):
        while True:
            match edge.receive():
                case WantBody(id=number, credit=credit) if held[number] < 50 * MIB:
                    edge.send(BodyChunk(number, bytes(credit), last=False))
                    held[number] += credit
                case Response(id=number, status=status):
                    assert status == 503
                    del held[number]
    assert 100 * MIB < sum(held.values()) <= EDGE_BODY_BYTES
    message = base64.b64encode(bytes(30 * MIB)).decode()
    wanted = {"mode": "AES_CBC", "message": message}
    assert scene.honest.ask("POST", "/keys/aes/encrypt", user=OTHER, json=wanted).status == 200
    edge.close()
    scene.require_service()


def test_credit_of_any_size_for_any_answer_changes_nothing(scene: Scene):
    edge = scene.captured()
    for credit in (0, -1, -(2**63), 2**64 - 1):
        edge.send(WantBody(1, credit), WantBody(2**63, credit), BodyChunk(5, b"x", last=True))
    edge.send(TriedOut(1, "refused"), request(1))
    while not isinstance(answer := edge.receive(), Response):
        pass
    assert answer.status == 200
    scene.require_service()


def test_forged_addresses_do_not_keep_the_others_from_logging_in(scene: Scene):
    """Each is a client of its own to the brake; one edge cannot have all of the KDF's queue."""
    edge = scene.captured()
    for number in range(1, 1001):
        header = basic("admin", f"guess number {number}")
        client = f"10.0.{number // 256}.{number % 256}"
        edge.send(request(number, "/users", client=client, headers={"authorization": header}))
    wrong = scene.honest.ask("GET", "/keys", user=("other", "not the passphrase"))
    assert wrong.status == 401, "verified, not refused for want of a place"
    edge.drain(0.02)
    answered = Counter(one.status for one in responses(edge))
    assert answered[503] > 900
    assert answered[401] <= OTHERS_BEFORE, "the others took turns"
    edge.close()
    time.sleep(1)  # The brake on "other", whose passphrase was wrong.
    scene.require_service()


def responses(edge: EdgeEnd) -> list[Response]:
    """All answers that an edge has heard."""
    decoder = FrameDecoder[CoreToEdge](CoreToEdge, max_bytes=EDGE_FRAME_BYTES)
    return [one for one in decoder.feed(bytes(edge.heard)) if isinstance(one, Response)]


def test_forged_addresses_do_not_keep_the_others_from_unlocking(tmp_path):
    secrets = Secrets()
    with running_core(tmp_path) as core:
        honest = core.attach_honest()
        fill(honest, secrets)
        assert honest.ask("POST", "/lock", user=ADMIN).status == 204
        edge = core.attach()
        for number in range(1, 501):
            body = msgspec.json.encode({"passphrase": f"guess number {number}"})
            client = f"10.0.{number // 256}.{number % 256}"
            edge.send(
                request(
                    number,
                    "/unlock",
                    method="POST",
                    client=client,
                    body=body,
                    headers={"content-type": "application/json"},
                    content_length=len(body),
                )
            )
        assert honest.ask("POST", "/unlock", json={"passphrase": UNLOCK}).status == 204
        assert honest.ask("GET", "/keys", user=OTHER).status == 200
        edge.drain(0.02)
        answered = Counter(one.status for one in responses(edge))
        assert answered[503] > 400
        assert answered[403] <= OTHERS_BEFORE
