"""Three real servers become one cluster, and are used, through NetHSM's own SDK alone."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nethsm
import pytest
from nethsm import Base64

from tests.processes.test_cluster_of_one import keys
from tests.processes.test_members import (
    BACKUP,
    founded,
    peer_url,
    provisioned,
    trust,
    unlocked,
)
from tests.support.authority import Authority
from tests.support.etcd import needs_etcd
from tests.support.server import Server, wait_until

pytestmark = [
    needs_etcd,
    # The SDK leaves connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextmanager
def sdk(server: Server, user: str = "admin") -> Iterator[nethsm.NetHSM]:
    """The SDK as a user of the server, which may have another certificate than before."""
    auth = nethsm.Authentication(user, server.passphrases[user])
    with nethsm.connect(f"{server.host}:{server.port}", auth, verify_tls=False) as client:
        yield client


def promoted(client: nethsm.NetHSM, member_id: str) -> None:
    """Ask until the new member has all records: the SDK raises an error until then."""
    end = time.monotonic() + 240
    while True:
        try:
            client.promote_cluster_member(member_id)
        except nethsm.NetHSMError:
            assert time.monotonic() < end
            time.sleep(0.2)
        else:
            return


def added(one: Server, server: Server) -> str:
    """Make `server` a member of the cluster of `one`. Return its ID."""
    with sdk(one) as first, sdk(server) as other, ThreadPoolExecutor(1) as thread:
        data = first.add_cluster_member([peer_url()])
        (new,) = (member.id for member in data.members if not member.name)
        joining = thread.submit(other.join_cluster, data, BACKUP)
        promoted(first, new)
        joining.result(240)
    unlocked(server)
    server.passphrases |= one.passphrases
    return new


def test_the_sdk_makes_a_cluster_of_three_and_uses_each_member(place: Path) -> None:
    authority = Authority("cluster")
    with ExitStack() as stack:
        one = founded(place, stack, "sdk-one")
        two, three = (provisioned(place, name, stack) for name in ("sdk-two", "sdk-three"))
        for server in (one, two, three):
            trust(server, authority)
        second, third = (added(one, server) for server in (two, three))

        for server in (one, two, three):
            with sdk(server) as client:
                listed = client.list_cluster_members()
                assert {second, third} < {member.id for member in listed}
                assert all(member.name and not member.learner for member in listed)
                assert len({url for member in listed for url in member.urls}) == 3
                diagnosis = client.get_cluster_diagnostics()
                assert (diagnosis.state.running, diagnosis.snapshot) == (True, None)
                assert client.get_cluster_ca_certificate().encode() == authority.pem

        # What one member makes is used on the others.
        with sdk(two) as client:
            client.add_user("Op", nethsm.Role.OPERATOR, "passphrase of op", "op")
            client.generate_key(
                nethsm.KeyType.CURVE25519, [nethsm.KeyMechanism.EDDSA_SIGNATURE], 256, "shared"
            )
        for server in (one, two, three):
            server.passphrases["op"] = "passphrase of op"
            wait_until(lambda server=server: "shared" in keys(server), seconds=60)
            with sdk(server, "op") as client:
                message = Base64.encode(b"message")
                assert client.sign("shared", message, nethsm.SignMode.EDDSA).decode()

        # What the API refuses is the SDK's error on each member, and changes nothing.
        for server in (one, two, three):
            with sdk(server) as client:
                for refused in (
                    client.force_new_cluster,
                    lambda client=client: client.remove_cluster_member("8e9e05c52164694d"),
                    lambda client=client: client.promote_cluster_member(second),
                    lambda client=client: client.set_cluster_member_urls(
                        second, ["https://192.0.2.1"]
                    ),
                ):
                    with pytest.raises(nethsm.NetHSMError):
                        refused()
                assert len(client.list_cluster_members()) == 3

        with sdk(three) as client:
            client.remove_cluster_member(second)
            wait_until(lambda: len(client.list_cluster_members()) == 2, seconds=60)
        with sdk(one) as client:
            assert third in {member.id for member in client.list_cluster_members()}
        wait_until(lambda: two.state() == "Failed", seconds=120)
