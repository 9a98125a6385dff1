"""The disaster drill of docs/cluster.md: one of three HSMs is left, and goes on alone."""

import hashlib
import shutil
from base64 import b64decode, b64encode
from contextlib import ExitStack

from tests.processes.test_cluster_of_one import cluster, keys, new_key
from tests.processes.test_members import (
    added,
    founded,
    members,
    provisioned,
    run_keystead,
    settings,
    trust,
)
from tests.support.authority import Authority
from tests.support.etcd import needs_etcd
from tests.support.server import Server, running_server, wait_until
from tests.support.verification import signature_holds

pytestmark = needs_etcd


def sign(server: Server, shown: dict) -> None:
    """Sign with the key that was made before, and check it with what its HSM showed then."""
    digest = hashlib.sha256(b"message").digest()
    wanted = {"mode": "ECDSA", "message": b64encode(digest).decode()}
    server.passphrases["signer"] = "signerPassphrase"
    answer = server.request("POST", "/keys/before/sign", user="signer", json=wanted)
    assert answer.status == 200, answer
    assert signature_holds(shown, "ECDSA", digest, b64decode(answer.json()["signature"]))


def test_the_last_of_three_goes_on_alone_and_another_joins_it(place):
    authority = Authority("cluster")
    with ExitStack() as stack:
        one = founded(place, stack)
        trust(one, authority)
        two, three = (provisioned(place, name, stack) for name in ("two", "three"))
        for server in (two, three):
            trust(server, authority)
            added(one, server)
        one.add_user("signer", "Operator")
        new_key(one, "later")
        wait_until(lambda: keys(three) == ["before", "later"], seconds=60)
        shown = three.request("GET", "/keys/before", user="admin").json()
        assert three.stop() == 0

        refused = cluster(place / "three", "force-new", "--others-are-lost")
        assert refused.returncode == 1
        assert "accept connections" in refused.stderr
        one.kill_all()
        two.kill_all()
        for directory in ("one", "two"):
            shutil.rmtree(place / directory)

        with running_server(place / "three", config=settings(place)) as alone:
            assert alone.ready_state == "Failed"
            assert alone.request("GET", "/health/ready").status == 412
            assert "No majority" in run_keystead(alone, "status").stderr
        forced = cluster(place / "three", "force-new", "--others-are-lost")
        assert forced.returncode == 0, forced.stderr
        three = stack.enter_context(running_server(place / "three", config=settings(place)))
        three.unlock()
        wait_until(lambda: keys(three) == ["before", "later"], seconds=60)
        sign(three, shown)
        assert len(members(three)) == 1
        new_key(three, "alone")

        four = provisioned(place, "four", stack)
        trust(four, authority)
        added(three, four)
        wait_until(lambda: keys(four) == ["alone", "before", "later"], seconds=60)
        sign(four, shown)
