"""Three or five members under clients and faults: what they answered, one HSM could have answered.

`make cluster-drill ROUNDS=n` runs more rounds. Each member is a core in this process, with an etcd
of its own, which is a real process. Keys and users are made, used and deleted on any member, while
etcds are killed, stopped and paused, links between them are cut in one direction and in both,
connections are cut and late, cores crash, disks are full, clocks are set, certificates are
replaced, and another member joins, is promoted and is removed.
"""

import asyncio
import base64
import contextlib
import os
import time
from collections import Counter
from secrets import SystemRandom

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.authority import Authority
from tests.support.cluster_faults import Faults
from tests.support.cluster_sites import FRESH_SECONDS, Site, trust
from tests.support.core import ADMIN, b64
from tests.support.etcd import WAIT_SECONDS, Cluster, needs_etcd
from tests.support.etcd_clock import ClusterWithClocks, needs_clock
from tests.support.history import ABSENT, Event, History
from tests.support.member_cores import Device
from tests.support.networks import network_or_none
from tests.support.small_disk import disk_or_none
from tests.support.unreliable_socket import UnreliableSocket

pytestmark = needs_etcd

ROUNDS = int(os.environ.get("KEYSTEAD_DRILL_ROUNDS", "1"))
LIFE_SECONDS = 5.0
MOST_SECONDS = 600
"""For a round on a very busy machine, which takes ten seconds otherwise."""
CLIENTS = 5
KEYS = ["k0", "k1", "k2", "k3", "k4"]
USERS = ["u0", "u1"]
OPERATOR = ("op", "passphrase of op")
MESSAGE = b"message"
RANDOM = SystemRandom()
DISK_MEBIBYTES = 256
"""etcd's log alone reserves half of it."""


class Clients:
    """What clients do, and what they were told."""

    def __init__(self, sites):
        self.sites = sites
        self.history = History()
        self.counted = Counter()
        self._keys = {}
        """By version, what verifies the signatures of a key."""
        self._latest = {}
        """By user, the latest passphrase."""

    async def work(self, end):
        while time.monotonic() < end:
            site = RANDOM.choice(self.sites)
            if site.core is None:
                await asyncio.sleep(0.05)
            elif RANDOM.random() < 0.15:
                user = RANDOM.choice(USERS)
                await RANDOM.choice([self.make_user, self.remove_user, self.log_in])(site, user)
            else:
                key = RANDOM.choice(KEYS)
                await RANDOM.choice(
                    [self.make_key, self.remove_key, self.sign, self.sign, self.sign]
                )(site, key)

    async def make_key(self, site, key):
        private = Ed25519PrivateKey.generate()
        version = private.public_key().public_bytes_raw().hex()[:12]
        self._keys[version] = private.public_key()
        wanted = {
            "type": "Curve25519",
            "mechanisms": ["EdDSA_Signature"],
            "private": {"data": b64(private.private_bytes_raw())},
        }
        await self._create(site, key, version, "PUT", f"/keys/{key}", json=wanted)

    async def make_user(self, site, user):
        passphrase = f"passphrase {RANDOM.randbytes(6).hex()}"
        self._latest[user] = passphrase
        wanted = {"realName": user, "role": "Operator", "passphrase": passphrase}
        await self._create(site, user, passphrase, "PUT", f"/users/{user}", json=wanted)

    async def _create(self, site, name, version, *arguments, json):
        began = time.monotonic()
        answer = await site.ask(*arguments, user=ADMIN, json=json)
        if not self._says_nothing_was_done("create", answer, {409}):
            is_certain = answer is not None and answer.status in {201, 204}
            self._note(name, "create", began, version, is_certain=is_certain)

    async def remove_key(self, site, key):
        await self._delete(site, key, f"/keys/{key}")

    async def remove_user(self, site, user):
        await self._delete(site, user, f"/users/{user}")

    async def _delete(self, site, name, path):
        began = time.monotonic()
        answer = await site.ask("DELETE", path, user=ADMIN)
        if answer is not None and answer.status == 404:
            self._note(name, "read", began)
        elif not self._says_nothing_was_done("delete", answer, set()):
            is_certain = answer is not None and answer.status == 204
            self._note(name, "delete", began, is_certain=is_certain)

    async def sign(self, site, key):
        began = time.monotonic()
        wanted = {"mode": "EdDSA", "message": b64(MESSAGE)}
        answer = await site.ask("POST", f"/keys/{key}/sign", user=OPERATOR, json=wanted)
        status = None if answer is None else answer.status
        self.counted["sign", status] += 1
        if status == 200:
            signature = base64.b64decode(answer.json()["signature"])
            self._note(key, "read", began, self._version_of(signature))
        elif status == 404:
            self._note(key, "read", began)
        return status

    async def log_in(self, site, user):
        passphrase = self._latest.get(user)
        if passphrase is None:
            return
        began = time.monotonic()
        answer = await site.ask("POST", "/random", user=(user, passphrase), json={"length": 1})
        self.counted["log in", None if answer is None else answer.status] += 1
        if answer is not None and answer.status == 200:
            self._note(user, "read", began, passphrase)

    def _version_of(self, signature):
        for version, public in self._keys.items():
            with contextlib.suppress(InvalidSignature):
                public.verify(signature, MESSAGE)
                return version
        return "unknown"

    def _says_nothing_was_done(self, what, answer, statuses):
        self.counted[what, None if answer is None else answer.status] += 1
        return answer is not None and (answer.status in statuses or b"cut off" in answer.body)

    def _note(self, name, kind, began, version=ABSENT, *, is_certain=True):
        event = Event(kind, began, time.monotonic(), version, is_certain)
        self.history.add(name, event)


async def until_all_answer(sites, clients, faults):
    """Wait until each member is up to date, and ask each for all that there is."""
    end = time.monotonic() + 2 * WAIT_SECONDS
    for site in sites:
        await site.unlock()
        for key in KEYS:
            while await clients.sign(site, key) not in {200, 404}:
                logs = "\n".join(one.member.log() for one in sites)
                assert time.monotonic() < end, (clients.counted, faults.counted, logs)
                faults.start_ended()
                await asyncio.sleep(0.1)


async def make_operator(core):
    """Make the user that signs, as soon as the member is up to date."""
    wanted = {"realName": "op", "role": "Operator", "passphrase": OPERATOR[1]}
    while True:
        made = await core.request("PUT", f"/users/{OPERATOR[0]}", user=ADMIN, json=wanted)
        if made.status in {201, 409}:
            return
        await asyncio.sleep(0.1)


async def life(cluster, disks):
    async with contextlib.AsyncExitStack() as stack:
        sites = []
        for member in cluster.members:
            path = cluster.directory / f"{member.name}-link.sock"
            link = await stack.enter_async_context(UnreliableSocket(path, member.socket))
            site = Site(Device(member.name), member, link, disks[len(sites)])
            if sites:
                await site.device.joins(sites[0].device)
            await site.start()
            stack.push_async_callback(site.crash)
            if not sites:
                await site.core.provision()
            sites.append(site)
        clients, faults = Clients(sites), Faults(cluster, sites)
        for site in sites:
            await site.unlock()
            await trust(site, faults)
        await make_operator(sites[0].core)
        end = time.monotonic() + LIFE_SECONDS
        await asyncio.gather(faults.happen(end), *map(clients.work, [end] * CLIENTS))
        await until_all_answer(sites, clients, faults)
        for site in sites:
            await site.crash()
        return sites, clients, faults


@pytest.mark.parametrize("kind", [Cluster, pytest.param(ClusterWithClocks, marks=needs_clock)])
def test_what_members_answer_under_faults_one_hsm_could_have_answered(tmp_path, kind):
    for number in range(ROUNDS):
        with contextlib.ExitStack() as stack:
            size = 5 if number % 4 == 3 else 3
            network = stack.enter_context(network_or_none(size + 1))
            cluster = kind(size, network=network, authority=Authority("cluster"))
            disks = []
            for member in cluster.members:
                place = tmp_path / f"{number}-{member.name}"
                place.mkdir()
                disk = stack.enter_context(disk_or_none(place, mebibytes=DISK_MEBIBYTES))
                disks.append(disk)
                if disk is not None:
                    member.directory = disk / "etcd"
            stack.enter_context(cluster)
            sites, clients, faults = asyncio.run(
                asyncio.wait_for(life(cluster, disks), MOST_SECONDS)
            )
        counted = sorted(clients.counted.items(), key=str)
        print(number, dict(faults.counted), counted)  # noqa: T201 - for `make cluster-drill`
        lines = [line for site in sites for line in site.lines]
        assert clients.history.faults(FRESH_SECONDS) == [], "\n".join(lines)
        assert not [line for line in lines if "is not the one" in line or "are older" in line]
