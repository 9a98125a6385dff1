"""One plays a platform that an attacker has taken over: the store that a real core works with lies.

It must not get anything in clear, nor have the core use a record at another path; what breaks the
protocol ends the core, which comes back Locked.
"""

import asyncio
import base64
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keystead.model.secret import Secret
from keystead.sealing import domain_key as domain_keys
from keystead.sealing import envelope
from keystead.storage.backends.remote import StoreAnswers
from keystead.wire.edge_messages import Request, Welcome
from keystead.wire.frames import STORE_FRAME_BYTES, FrameDecoder, append_frame
from keystead.wire.platform_messages import (
    Commit,
    CoreSettings,
    CoreToPlatform,
    Found,
    FreeSpace,
    Get,
    Hello,
    Listed,
    Scanned,
    SlotAnswer,
    StoreQuestion,
    StoreRefusal,
    UnattendedKeyKept,
)
from tests.support.known_secrets import add_private_key
from tests.support.leaks import Secrets
from tests.support.memory_store import MemoryStore
from tests.support.real_core import EdgeEnd, RealCore, core_on, in_frame

UNLOCK = "the unlock passphrase"
ADMIN = ("admin", "the admin's passphrase")
OPERATOR = ("operator", "the operator's passphrase")
KEYS = "/0/key/"

Twist = Callable[[StoreQuestion, msgspec.Struct], msgspec.Struct | bytes]


@dataclass
class Platform:
    """A platform in a thread: tells the truth until it is twisted, and keeps all it hears."""

    end: socket.socket
    store: MemoryStore = field(default_factory=MemoryStore)
    device_key: bytes = field(default_factory=lambda: os.urandom(32))
    heard: bytearray = field(default_factory=bytearray)
    twist: Twist = lambda _, answer: answer

    def run(self) -> None:
        answers = StoreAnswers(self.store)
        decoder = FrameDecoder[CoreToPlatform](CoreToPlatform, max_bytes=STORE_FRAME_BYTES)
        with contextlib.suppress(OSError), asyncio.Runner() as runner:
            self.send(Hello(self.device_key, CoreSettings()))
            while data := self.end.recv(1024 * 1024):
                self.heard += data
                for message in decoder.feed(data):
                    if isinstance(message, StoreQuestion):
                        answer = runner.run(answers.to(message))
                        self.send(self.twist(message, answer))

    def send(self, answer: msgspec.Struct | bytes) -> None:
        frame = bytearray()
        if isinstance(answer, bytes):
            frame += answer
        else:
            append_frame(frame, answer, max_bytes=STORE_FRAME_BYTES)
        self.end.sendall(frame)

    def values(self) -> dict[str, bytes]:
        async def read() -> dict[str, bytes]:
            everything = await self.store.scan("", "\U0010ffff", limit_bytes=2**30)
            return {path: entry.value for path, entry in everything}

        return asyncio.run(read())


@dataclass
class Scene:
    platform: Platform
    core: RealCore
    edge: EdgeEnd
    secrets: Secrets

    def sign(self, key: str = "first") -> int:
        wanted = {"mode": "ECDSA", "message": base64.b64encode(bytes(32)).decode()}
        return self.edge.ask("POST", f"/keys/{key}/sign", user=OPERATOR, json=wanted).status

    def relock(self) -> None:
        """Have the core forget what it has read."""
        assert self.edge.ask("POST", "/lock", user=ADMIN).status == 204

    def unlock(self) -> int:
        return self.edge.ask("POST", "/unlock", json={"passphrase": UNLOCK}).status


@contextlib.contextmanager
def started(directory: Path, platform: Platform, core_end: socket.socket) -> Iterator[RealCore]:
    thread = threading.Thread(target=platform.run)
    thread.start()
    try:
        with core_on(core_end, directory) as core:
            yield core
    finally:
        with contextlib.suppress(OSError):
            platform.end.shutdown(socket.SHUT_RDWR)
        thread.join()
        platform.end.close()


@pytest.fixture
def scene(tmp_path) -> Iterator[Scene]:
    core_end, platform_end = socket.socketpair()
    secrets = Secrets()
    platform = Platform(platform_end)
    with started(tmp_path, platform, core_end) as core:
        core.wait_started()
        edge = core.attach_honest()
        wanted = {"unlockPassphrase": UNLOCK, "adminPassphrase": ADMIN[1]}
        wanted["systemTime"] = "2026-01-01T00:00:00Z"
        assert edge.ask("POST", "/provision", json=wanted).status == 204
        wanted = {"realName": "x", "role": "Operator", "passphrase": OPERATOR[1]}
        assert edge.ask("PUT", "/users/operator", user=ADMIN, json=wanted).status == 201
        for name in ("first", "second"):
            key = ec.generate_private_key(ec.SECP256R1())
            add_private_key(secrets, name, key)
            scalar = key.private_numbers().private_value.to_bytes(32)
            wanted = {
                "type": "EC_P256",
                "mechanisms": ["ECDSA_Signature"],
                "private": {"data": base64.b64encode(scalar).decode()},
            }
            answer = edge.ask("PUT", f"/keys/{name}", user=ADMIN, json=wanted)
            assert answer.status in {201, 204}
        secrets.add("unlock passphrase", UNLOCK)
        for name, passphrase in (ADMIN, OPERATOR):
            secrets.add(f"{name}'s passphrase", passphrase)
        yield Scene(platform, core, edge, secrets)
        kept = b"".join(path.encode() + value for path, value in platform.values().items())
        assert b"/key/first" in kept
        for place in (platform.heard, kept, core.log().encode()):
            assert secrets.found_in(bytes(place)) == []


def test_a_record_of_another_path_is_not_used(scene: Scene):
    scene.relock()
    values = scene.platform.values()

    def swap(question: StoreQuestion, answer: msgspec.Struct) -> msgspec.Struct:
        if isinstance(question, Get) and question.path == KEYS + "first":
            return Found(question.id, values[KEYS + "second"], 1)
        return answer

    scene.platform.twist = swap
    assert scene.unlock() == 204
    assert scene.sign("first") == 500
    assert scene.sign("second") == 200
    scene.core.wait_logged("CorruptRecord")


@pytest.mark.parametrize("bit", [0, 400])
def test_a_changed_bit_of_a_record_is_noticed(scene: Scene, bit):
    scene.relock()
    value = bytearray(scene.platform.values()[KEYS + "first"])
    value[bit // 8] ^= 1 << (bit % 8)
    scene.platform.twist = lambda question, answer: (
        Found(question.id, bytes(value), 1)
        if isinstance(question, Get) and question.path == KEYS + "first"
        else answer
    )
    assert scene.unlock() == 204
    assert scene.sign("first") == 500
    assert scene.sign("second") == 200


def test_the_record_of_a_user_does_not_become_another_users(scene: Scene):
    values = scene.platform.values()
    scene.platform.twist = lambda question, answer: (
        Found(question.id, values["/0/authentication/admin"], 1)
        if isinstance(question, Get) and question.path == "/0/authentication/operator"
        else answer
    )
    as_admin = (OPERATOR[0], ADMIN[1])
    assert scene.edge.ask("GET", "/users", user=as_admin).status == 500


def test_a_domain_key_of_the_attackers_own_is_not_unlocked_with(scene: Scene):
    """It knows the device key, so it can make the outer seal of a slot, but not the inner one."""
    scene.relock()
    slots = {path: value for path, value in scene.platform.values().items() if "domain-key" in path}

    def forge(question: StoreQuestion, answer: msgspec.Struct) -> msgspec.Struct:
        if isinstance(question, Get) and question.path in slots:
            inner = domain_keys.lock(Secret(bytes(32)), Secret(bytes(32)))
            forged = envelope.seal(Secret(scene.platform.device_key), question.path, inner)
            return Found(question.id, forged, 1)
        return answer

    scene.platform.twist = forge
    assert scene.unlock() in {403, 500}
    assert scene.edge.ask("GET", "/health/state").json() == {"state": "Locked"}


def test_an_answer_to_another_question_is_not_taken(scene: Scene):
    scene.relock()
    scene.platform.twist = lambda question, answer: (
        Listed(question.id, ["/0/key/first"]) if isinstance(question, Get) else answer
    )
    assert scene.unlock() == 503
    assert scene.edge.ask("GET", "/health/state").json() == {"state": "Failed"}


def test_answers_that_nobody_waits_for_are_dropped(scene: Scene):
    value = scene.platform.values()[KEYS + "second"]

    def also(_: StoreQuestion, answer: msgspec.Struct) -> bytes:
        frames = bytearray()
        for unasked in (
            Found(10**9, value, 1),
            Found(0, None, -1),
            StoreRefusal(10**9, "stale", "x"),
            Scanned(10**9, []),
            SlotAnswer(1, "disk", "x"),
            UnattendedKeyKept(1),
            FreeSpace(1, 1),
            Hello(bytes(32), CoreSettings(), bytes(32)),
            answer,
            answer,
        ):
            append_frame(frames, unasked, max_bytes=STORE_FRAME_BYTES)
        return bytes(frames)

    scene.platform.twist = also
    scene.relock()
    assert scene.unlock() == 204
    assert scene.sign("first") == 200


BROKEN = {
    "no msgpack": in_frame(b"\xc1"),
    "too long": (STORE_FRAME_BYTES + 1).to_bytes(4) + b"x",
    "not UTF-8": in_frame(b"\x94\x11\x01\xa5stale\xa1\xff"),
    "deep": in_frame(b"\x91" * 200_000),
    "a list that says it is enormous": in_frame(b"\x93\x0f\x01\xdd\xff\xff\xff\xff"),
    "of an edge": in_frame(msgspec.msgpack.encode(Request(1, "GET", "/", "", {}, "::1", b""))),
    "of the core": in_frame(msgspec.msgpack.encode(Welcome(b"", b""))),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_the_protocol_ends_the_core(scene: Scene, what):
    scene.platform.twist = lambda *_: BROKEN[what]
    with contextlib.suppress(EOFError, OSError):
        scene.edge.ask("GET", "/users", user=ADMIN)
    assert scene.core.wait_ended() == 1
    assert "the core lost its connection to the platform" in scene.core.log()


@pytest.mark.parametrize("size", [0, 31, 33, 10_000])
def test_a_device_key_that_is_none_does_not_start_the_core(tmp_path, size):
    core_end, platform_end = socket.socketpair()
    platform = Platform(platform_end, device_key=bytes(size))
    with started(tmp_path, platform, core_end) as core:
        assert core.wait_ended() != 0
        assert platform.values() == {}


def test_a_change_that_the_store_refuses_is_not_acknowledged(scene: Scene):
    scene.platform.twist = lambda question, answer: (
        StoreRefusal(question.id, "unavailable", "no") if isinstance(question, Commit) else answer
    )
    role = {"realName": "x", "role": "Operator", "passphrase": "the operator's passphrase"}
    assert scene.edge.ask("PUT", "/users/another", user=ADMIN, json=role).status == 503
