"""SIGKILL of the whole process tree under signatures: a key is never used once too often."""

import base64
import contextlib
import http.client
import json
import threading
from dataclasses import dataclass
from pathlib import Path

from keystead.storage.use_limits import LEASED_PART
from tests.support.server import Server, basic, running_server

MAX_USES = 1500
LEASE = MAX_USES // LEASED_PART
BATCHES = (1, 1, 7, 60)
"""How many messages each of the clients sends in a request."""
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


def sign(server: Server, signers: list[Signer], *, kill_after: int | None) -> None:
    """Have all sign at once; kill the server after this number of signatures."""
    threads = [threading.Thread(target=signer.work, args=(server,)) for signer in signers]
    for thread in threads:
        thread.start()
    if kill_after is not None:
        while sum(signer.signed for signer in signers) < kill_after:
            threading.Event().wait(0.005)
        server.kill_all()
    for thread in threads:
        thread.join(timeout=300)
        assert not thread.is_alive()


def prepare(server: Server) -> None:
    server.provision()
    server.add_user("op", "Operator")
    made = {"id": "key", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    server.request("POST", "/keys/generate", user="admin", json=made)
    policy = {"maxUses": MAX_USES}
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
