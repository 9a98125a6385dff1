"""The faults of the drill do what they say."""

import asyncio
import ctypes
import os
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from keystead.etcd import calls
from keystead.etcd import messages as m
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import EtcdError
from tests.support.authority import Authority
from tests.support.cluster_faults import Faults
from tests.support.cluster_sites import Site, trust
from tests.support.core import ADMIN
from tests.support.etcd import WAIT_SECONDS, Cluster, needs_etcd
from tests.support.member_cores import Device
from tests.support.networks import network_or_none
from tests.support.unreliable_socket import UnreliableSocket

pytestmark = needs_etcd


@pytest.fixture
def network():
    with network_or_none(4) as network:
        if network is None:
            pytest.skip("only root has network namespaces")
        yield network


def socket_on(network, host):
    """A socket for datagrams on one of the hosts."""

    def opened():
        *_, namespace = network.command(host)
        with open(namespace.partition("=")[2], "rb") as file:  # noqa: PTH123 - a descriptor is needed
            assert ctypes.CDLL(None).setns(file.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.bind((network.address(host), 5000))
        end.settimeout(WAIT_SECONDS)
        return end

    with ThreadPoolExecutor(1) as thread:  # It alone is on that host, and ends.
        return thread.submit(opened).result()


def test_a_link_that_is_cut_in_one_direction_works_in_the_other(network):
    with socket_on(network, 0) as first, socket_on(network, 1) as second:
        network.cut(0, 1)
        first.sendto(b"lost", (network.address(1), 5000))
        second.sendto(b"heard", (network.address(0), 5000))
        assert first.recv(100) == b"heard"
        network.heal(0, 1)
        first.sendto(b"after", (network.address(1), 5000))
        assert second.recv(100) == b"after"


async def answered(client, method, request):
    """Ask until etcd answers: a new leader leaves calls without an answer."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return await client.call(method, request)
        except EtcdError:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)


async def until_led(client, is_expected):
    end = time.monotonic() + WAIT_SECONDS
    while not is_expected(
        leader := (await answered(client, calls.STATUS, m.StatusRequest())).leader
    ):
        assert time.monotonic() < end
        await asyncio.sleep(0.1)
    return leader


def test_the_others_choose_a_leader_that_they_hear(network):
    async def main(cluster):
        sites = [Site(Device(one.name), one, None, None) for one in cluster.members]
        clients = [EtcdClient(str(one.socket)) for one in cluster.members]
        first = await until_led(clients[0], bool)
        ids = [
            (await answered(client, calls.STATUS, m.StatusRequest())).header.member_id
            for client in clients
        ]
        place = ids.index(first)
        other = clients[(place + 1) % 3]
        # The fault lasts until the others have another leader.
        lasting = asyncio.Event()
        faults = Faults(cluster, sites)
        faults.pause = lambda _: lasting.wait()
        happening = asyncio.create_task(faults.unheard(sites[place]))
        second = await until_led(other, lambda leader: leader not in {0, first})
        lasting.set()
        await happening
        for client in clients:
            await until_led(client, lambda leader: leader in ids)
            await client.close()
        assert second in ids

    with Cluster(3, network=network, authority=Authority("cluster")) as cluster:
        asyncio.run(main(cluster))


class RecordingNetwork:
    """Notes which ways are cut, and that they are healed."""

    def __init__(self):
        self.ways, self.most = set(), set()

    def cut(self, *way):
        self.ways.add(way)
        self.most |= self.ways

    def heal(self, *way):
        self.ways.remove(way)


@pytest.mark.parametrize(
    ("fault", "ways"),
    [
        ("unheard", [{(1, 0), (1, 2)}]),
        ("deaf", [{(0, 1), (2, 1)}]),
        ("parted", [{(0, 1), (1, 0)}, {(1, 2), (2, 1)}]),
    ],
)
def test_links_are_cut_in_the_directions_of_the_fault(fault, ways):
    async def at_once(_):
        pass

    cluster = Cluster(3)
    cluster.network = network = RecordingNetwork()
    faults = Faults(cluster, ["one", "two", "three"])
    faults.pause = at_once
    asyncio.run(getattr(faults, fault)("two"))
    assert network.most in ways
    assert not network.ways
    cluster.__exit__()


def served(member):
    parts = urlsplit(member.url)
    return ssl.get_server_certificate((parts.hostname, parts.port))


def test_a_new_certificate_is_the_one_that_other_members_see():
    async def main(cluster):
        (member,) = cluster.members
        async with UnreliableSocket(cluster.directory / "link.sock", member.socket) as link:
            site = Site(Device(member.name), member, link, None)
            faults = Faults(cluster, [site])
            await site.start()
            await site.core.provision()
            seen = [await asyncio.to_thread(served, member)]
            await trust(site, faults)
            seen.append(await asyncio.to_thread(served, member))
            assert (await faults.certificate(site)).status == 201
            seen.append(await asyncio.to_thread(served, member))
            told = await site.ask("GET", "/config/tls/cert.pem", user=ADMIN)
            assert len(set(seen)) == 3
            assert told.body.decode().strip() == seen[-1].strip()
            await site.crash()

    with Cluster(1, authority=Authority("cluster")) as cluster:
        asyncio.run(main(cluster))


@pytest.mark.parametrize("is_promoted", [True, False])
def test_another_member_comes_and_goes(monkeypatch, is_promoted):
    monkeypatch.setattr("tests.support.cluster_faults.SHARE_PROMOTED", float(is_promoted))

    async def main(cluster):
        sites = [Site(Device(one.name), one, None, None) for one in cluster.members]
        faults = Faults(cluster, sites)
        await faults.another_member(sites[0])
        client = EtcdClient(str(cluster.members[0].socket))
        listed = await answered(client, calls.MEMBER_LIST, m.MemberListRequest(linearizable=True))
        assert {one.name for one in listed.members} == {one.name for one in cluster.members}
        assert faults.counted["promoted"] == is_promoted
        await client.close()

    with Cluster(3, authority=Authority("cluster")) as cluster:
        asyncio.run(main(cluster))


def test_five_members_go_on_without_two():
    async def main(cluster):
        for member in cluster.members[:2]:
            member.kill()
        client = EtcdClient(str(cluster.members[2].socket))
        await answered(client, calls.RANGE, m.RangeRequest(b"/a"))
        await client.close()

    with Cluster(5, authority=Authority("cluster")) as cluster:
        asyncio.run(main(cluster))
