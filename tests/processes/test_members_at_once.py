"""Members of a real cluster that are changed by two at once: one joins while another removes it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.processes.test_cluster_of_one import keys, new_key
from tests.processes.test_members import (
    BACKUP,
    added,
    declared,
    founded,
    members,
    peer_url,
    provisioned,
    trust,
)
from tests.support.authority import Authority
from tests.support.etcd import needs_etcd
from tests.support.server import wait_until

pytestmark = needs_etcd


def test_an_hsm_that_is_removed_while_it_joins_stays_what_it_was_and_can_join_again(place):
    authority = Authority("cluster")
    with ExitStack() as stack:
        one = founded(place, stack)
        two = provisioned(place, "two", stack)
        for server in (one, two):
            trust(server, authority)
        new_key(two, "own")
        kit = declared(one, peer_url())
        (learner,) = (row["id"] for row in kit["members"] if not row["name"])
        wanted = {
            "members": [{"name": row["name"], "urls": row["urls"]} for row in kit["members"]],
            "joinerKit": kit["joinerKit"],
            "backupPassphrase": BACKUP,
        }
        with ThreadPoolExecutor(1) as other:
            joining = other.submit(
                two.request, "POST", "/cluster/join", user="admin", json=wanted, timeout_seconds=300
            )
            wait_until(lambda: all(row["name"] for row in members(one)), seconds=120)
            answer = one.request("DELETE", f"/cluster/members/{learner}", user="admin")
            assert answer.status == 204, answer
            refused = joining.result(300)
        assert refused.status == 400, refused
        assert two.state() == "Operational"
        assert keys(two) == ["own"]
        assert not list(two.data.glob("etcd*"))
        assert len(members(one)) == 1
        added(one, two)
        assert keys(two) == ["before"]
