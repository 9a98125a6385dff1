"""What etcds do whose clocks are set forward or back while they run."""

import asyncio
import time

import pytest

from keystead.etcd import calls
from keystead.etcd import messages as m
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import EtcdError
from tests.drill.test_faults import answered
from tests.support.authority import Authority
from tests.support.etcd import WAIT_SECONDS
from tests.support.etcd_clock import ClusterWithClocks, needs_clock

pytestmark = needs_clock

YEAR_SECONDS = 365 * 86_400
READ = m.RangeRequest(b"/a")
REFUSED = "certificate has expired or is not yet valid"


async def all_answer(clients):
    for client in clients:
        await answered(client, calls.RANGE, READ)


async def until_cut_off(member, client):
    """Wait until it refuses the certificates of others; then it answers nobody."""
    end = time.monotonic() + WAIT_SECONDS
    while REFUSED not in member.log():
        assert time.monotonic() < end, member.log()
        await asyncio.sleep(0.1)
    with pytest.raises(EtcdError):
        await client.call(calls.RANGE, READ, seconds=3.0)


# The certificates of the members are valid for a hundred years, from 2020 on.
@pytest.mark.parametrize("years", [-10, 110])
@pytest.mark.parametrize("count", [1, 3])
def test_connections_go_on_and_new_ones_wait_until_the_clock_is_right(years, count):
    async def main(cluster):
        wrong = cluster.members[:count]
        clients = [EtcdClient(str(member.socket)) for member in cluster.members]
        for member in wrong:
            member.clock.set(years * YEAR_SECONDS)
        for _ in range(3):
            await asyncio.sleep(1)
            await all_answer(clients)
        for member in wrong:
            member.kill()
            member.start(cluster.members)
        await all_answer(clients[count:])
        for member, client in zip(wrong, clients, strict=False):
            await until_cut_off(member, client)
        for member in wrong:
            member.clock.set(0)
        await all_answer(clients)
        await asyncio.gather(*(client.close() for client in clients))

    with ClusterWithClocks(3, authority=Authority("cluster")) as cluster:
        asyncio.run(main(cluster))
