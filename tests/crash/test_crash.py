"""SIGKILL of all processes or of one, under writes: nothing acknowledged is lost.

`make crash ROUNDS=n` runs more rounds.
"""

import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.support.server import START_SECONDS, Server, basic, running_server, wait_until

ROUNDS = int(os.environ.get("KEYSTEAD_CRASH_ROUNDS", "10"))
ONE_PROCESS_ROUNDS = max(2, ROUNDS // 5)
WORKERS = 4
OUT_OF_SERVICE = {503, 412}
"""Answers beside a dying process: 412 by a core that is Failed, because it has lost its store."""
RANDOM = secrets.SystemRandom()
LIFE_SECONDS = (0.1, 1.0)
"""Of a server under writes, before it is killed."""

Label = str | None
"""A key's label; None means that there is no such key."""


@dataclass
class Worker:
    """A client that makes, labels and deletes keys of its own, one request at a time.

    `known` is what was acknowledged, `doubtful` what the request under way may have made of it.
    """

    name: str
    known: dict[str, Label] = field(default_factory=dict)
    doubtful: dict[str, set[Label]] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    acknowledged: int = 0
    refused: list[tuple[int, bytes]] = field(default_factory=list)

    def work(self, server: Server, stop: threading.Event) -> None:
        """Change keys until the server or one of its processes is gone, or `stop` is set.

        A connection may outlive a process: what was closed after an answer is opened again.
        """
        connection = server.connect(timeout_seconds=10)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            authorization = basic("admin", server.passphrases["admin"])
            while not stop.is_set():
                answer = self._change_something(connection, authorization)
                if answer is None:
                    continue
                if answer[0] in OUT_OF_SERVICE or _is_gone(server):
                    return  # Its processes do not die at the same moment. What came of it: unknown.
                self.refused.append(answer)

    def _change_something(
        self, connection: http.client.HTTPSConnection, authorization: str
    ) -> tuple[int, bytes] | None:
        """Return the refusal, which leaves the key in doubt; None: it was done."""
        present = [key for key, label in self.known.items() if label is not None]
        choice = RANDOM.random()
        if choice < 0.4 or not present:
            key, label = f"{self.name}-{len(self.known)}", ""
            body = {"id": key, "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
            method, path = "POST", "/keys/generate"
        elif choice < 0.8:
            key = RANDOM.choice(present)
            label = f"label {self.acknowledged}"
            method, path, body = "PUT", f"/keys/{key}/label", {"label": label}
        else:
            key, label = RANDOM.choice(present), None
            method, path, body = "DELETE", f"/keys/{key}", {}
        before = self.known.get(key)
        self.doubtful[key] = {before, label}
        self.touched.add(key)
        self.known.setdefault(key, None)
        connection.request(
            method,
            f"/api/v1{path}",
            json.dumps(body),
            {"Authorization": authorization, "Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        said = answer.read()
        if answer.status not in {201, 204, 304}:
            return answer.status, said
        self.known[key] = label
        self.acknowledged += 1
        del self.doubtful[key]
        return None

    def compare(self, server: Server, present: set[str]) -> None:
        """Check every key against what was acknowledged; settle what was in doubt."""
        for key, label in self.known.items():
            allowed = self.doubtful.get(key, {label})
            assert (key in present) in {one is not None for one in allowed}, (key, allowed)
        for key in self.touched:
            found = _label(server, key)
            allowed = self.doubtful.get(key, {self.known[key]})
            assert found in allowed, (key, found, allowed)
            self.known[key] = found
        self.doubtful.clear()
        self.touched.clear()


def _is_gone(server: Server) -> bool:
    """Whether the supervisor, the first to be killed, is dead, or is so in a moment."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(timeout=1)
    return server.process.returncode is not None


def _label(server: Server, key: str) -> Label:
    answer = server.request("GET", f"/keys/{key}", user="admin")
    if answer.status == 404:
        return None
    assert answer.status == 200, answer
    return answer.json().get("label", "")


def _write_and_kill(
    server: Server, workers: list[Worker], life_seconds: float, kill: Callable[[], None]
) -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=worker.work, args=(server, stop)) for worker in workers]
    for thread in threads:
        thread.start()
    threading.Event().wait(life_seconds)
    kill()
    stop.set()
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive()


def test_no_acknowledged_change_is_lost_when_everything_is_killed(tmp_path: Path) -> None:
    workers = [Worker(f"w{number}") for number in range(WORKERS)]
    for round_number in range(ROUNDS):
        _one_round(tmp_path, workers, first=round_number == 0)
    with running_server(tmp_path) as server:
        server.unlock()
        _compare_all(server, workers)
    assert [worker.refused for worker in workers] == [[]] * WORKERS
    assert sum(worker.acknowledged for worker in workers) > ROUNDS


def _compare_all(server: Server, workers: list[Worker]) -> None:
    present = {item["id"] for item in server.request("GET", "/keys", user="admin").json()}
    for worker in workers:
        worker.compare(server, present)


def _one_round(tmp_path: Path, workers: list[Worker], *, first: bool) -> None:
    with running_server(tmp_path) as server:
        if first:
            server.provision()
        else:
            assert server.ready_state == "Locked"
            server.unlock()
            _compare_all(server, workers)
        _write_and_kill(server, workers, RANDOM.uniform(*LIFE_SECONDS), server.kill_all)


@pytest.mark.parametrize("role", ["core", "platform", "edge"])
def test_no_acknowledged_change_is_lost_when_one_process_is_killed(
    tmp_path: Path, role: str
) -> None:
    workers = [Worker(f"w{number}") for number in range(WORKERS)]
    with running_server(tmp_path) as server:
        server.provision()
        on = {"status": "on"}
        answer = server.request("PUT", "/config/unattended-boot", user="admin", json=on)
        assert answer.status == 204
        for _ in range(ONE_PROCESS_ROUNDS):
            life_seconds = RANDOM.uniform(*LIFE_SECONDS)
            _write_and_kill(server, workers, life_seconds, partial(_kill_one, server, role))
            _compare_all(server, workers)
    assert [worker.refused for worker in workers] == [[]] * WORKERS
    assert all(worker.acknowledged for worker in workers)


def _kill_one(server: Server, role: str) -> None:
    """Kill the process, and wait until another has taken its place and the HSM is Operational."""
    killed = server.child(role)
    os.kill(killed, signal.SIGKILL)

    def is_back() -> bool:
        if killed in server.children() or role not in server.children().values():
            return False
        with contextlib.suppress(OSError, http.client.HTTPException):
            return server.state() == "Operational"
        return False

    wait_until(is_back, seconds=START_SECONDS, what=server.log)
    # Commits are in order: what the core was still doing for the clients is done before this one.
    wanted = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    assert server.request("POST", "/keys/generate", user="admin", json=wanted).status == 201
