"""SIGKILL under signatures, of all processes or of one: a key is never used once too often."""

import base64
import contextlib
import http.client
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGKILL

import pytest

from keystead.storage.use_limits import LEASED_PART
from tests.support.server import START_SECONDS, Server, basic, running_server, wait_until

MAX_USES = 1500
LEASE = MAX_USES // LEASED_PART
BATCHES = (1, 1, 7, 60)
"""How many messages each of the clients sends in a request."""
EXACT = 90
"""So few that each use is written before it is made."""
CLIENTS = (1, 1, 1, 1, 1, 2, 2, 3)
"""As BATCHES, for these."""
KILLS = (25, 60)
"""After so many signatures."""
DIGEST = base64.b64encode(bytes(32)).decode()


@dataclass
class Signer:
    """A client that signs until the key's policy refuses, or the server is gone."""

    batch: int
    signed: int = 0
    is_refused: bool = False

    def work(self, server: Server) -> None:
        headers = {
            "Authorization": basic("op", server.passphrases["op"]),
            "Content-Type": "application/json",
        }
        one = {"message": DIGEST} if self.batch == 1 else {"messages": [DIGEST] * self.batch}
        body = json.dumps({"mode": "ECDSA"} | one)
        connection = server.connect(timeout_seconds=60)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            while True:
                connection.request("POST", "/api/v1/keys/key/sign", body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status == 200:
                    self.signed += self.batch
                    continue
                self.is_refused = answer.status == 403 and b"maxUses" in text
                return


def sign(
    server: Server,
    signers: list[Signer],
    *,
    kill_after: int | None,
    kill: Callable[[], None] | None = None,
) -> None:
    """Have all sign at once; kill the server, or what `kill` does, after so many signatures."""
    threads = [threading.Thread(target=signer.work, args=(server,)) for signer in signers]
    for thread in threads:
        thread.start()
    if kill_after is not None:
        while sum(signer.signed for signer in signers) < kill_after and any(
            thread.is_alive() for thread in threads
        ):
            threading.Event().wait(0.001)
        (kill or server.kill_all)()
    for thread in threads:
        thread.join(timeout=300)
        assert not thread.is_alive()


def prepare(server: Server, max_uses: int = MAX_USES) -> None:
    server.provision()
    server.add_user("op", "Operator")
    made = {"id": "key", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    server.request("POST", "/keys/generate", user="admin", json=made)
    policy = {"maxUses": max_uses}
    answer = server.request("PUT", "/keys/key/policy", user="admin", json=policy)
    assert answer.status == 204, answer


def test_a_crash_gives_no_use_back_and_takes_no_more_than_a_lease(tmp_path: Path) -> None:
    signers = [Signer(batch) for batch in BATCHES]
    with running_server(tmp_path) as server:
        prepare(server)
        passphrases = server.passphrases
        sign(server, signers, kill_after=MAX_USES // 2)
    with running_server(tmp_path) as server:
        server.passphrases |= passphrases
        server.unlock()
        sign(server, signers, kill_after=None)
    assert all(signer.is_refused for signer in signers)
    signed = sum(signer.signed for signer in signers)
    # The rest of a lease that a batch was too large for, and what was under way.
    assert MAX_USES - LEASE - 2 * sum(BATCHES) <= signed <= MAX_USES


def test_the_last_uses_of_a_key_are_made_once_when_everything_is_killed(tmp_path: Path) -> None:
    signers, passphrases = [Signer(batch) for batch in CLIENTS], dict[str, str]()
    for kill_after in (*KILLS, None):
        with running_server(tmp_path) as server:
            if passphrases:
                server.passphrases |= passphrases
                server.unlock()
            else:
                prepare(server, EXACT)
                passphrases = server.passphrases
            sign(server, signers, kill_after=kill_after)
    _require_exact(signers)


@pytest.mark.parametrize("role", ["core", "platform"])
def test_the_last_uses_of_a_key_are_made_once_when_one_process_is_killed(
    tmp_path: Path, role: str
) -> None:
    signers = [Signer(batch) for batch in CLIENTS]
    with running_server(tmp_path) as server:
        prepare(server, EXACT)
        on = {"status": "on"}
        answer = server.request("PUT", "/config/unattended-boot", user="admin", json=on)
        assert answer.status == 204
        for kill_after in KILLS:
            victim = server.child(role)
            sign(server, signers, kill_after=kill_after, kill=partial(os.kill, victim, SIGKILL))
            wait_until(
                lambda victim=victim: victim not in server.children() and _is_operational(server),
                seconds=START_SECONDS,
                what=server.log,
            )
        sign(server, signers, kill_after=None)
    _require_exact(signers)


def _is_operational(server: Server) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return server.state() == "Operational"
    return False


def _require_exact(signers: list[Signer]) -> None:
    assert all(signer.is_refused for signer in signers)
    signed = sum(signer.signed for signer in signers)
    assert EXACT - len(KILLS) * 2 * sum(CLIENTS) <= signed <= EXACT
