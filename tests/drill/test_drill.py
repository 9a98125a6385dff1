"""Three members under clients and faults: what they answered, one HSM could have answered.

`make cluster-drill ROUNDS=n` runs more rounds. Each member is a core in this process, with an etcd
of its own, which is a real process. Keys and users are made, used and deleted on any member, while
etcds are killed, stopped and paused, connections are cut and late, cores crash, disks are full,
clocks are set, and another member joins and is removed.
"""

import asyncio
import base64
import contextlib
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from secrets import SystemRandom

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keystead.errors import KeysteadError
from keystead.etcd.client import EtcdClient
from keystead.operations.use_counters import flush_counters_forever
from keystead.platform.members import MembersService
from keystead.wire.cluster_messages import MembersStep
from tests.support.core import ADMIN, UNLOCK, b64
from tests.support.etcd import WAIT_SECONDS, Cluster, needs_etcd
from tests.support.history import ABSENT, Event, History
from tests.support.member_cores import Device, core_of
from tests.support.small_disk import disk_or_none
from tests.support.unreliable_socket import UnreliableSocket

pytestmark = needs_etcd

ROUNDS = int(os.environ.get("KEYSTEAD_DRILL_ROUNDS", "1"))
LIFE_SECONDS = 5.0
FRESH_SECONDS = 1.0
REQUEST_SECONDS = 30.0
"""A request that takes longer is given up, as by a client. Its outcome is not known."""
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
MONTH_SECONDS = 30 * 86_400


@dataclass
class Site:
    """One device: its etcd, the connection to that, and its core while it runs."""

    device: Device
    member: object
    link: UnreliableSocket
    disk: Path | None
    clock_is_off_by: float = 0.0
    core: object = None
    crashed: asyncio.Event = field(default_factory=asyncio.Event)
    lines: list = field(default_factory=list)
    _stack: contextlib.AsyncExitStack = None

    async def start(self):
        """Start the core, as soon as a majority can be reached, and unlock it if it can be."""
        while self.core is None:
            self._stack = contextlib.AsyncExitStack()
            try:
                await self._begin()
            except KeysteadError:
                await self._stack.aclose()

    async def _begin(self):
        client = EtcdClient(self.link.path)
        core = await self._stack.enter_async_context(
            core_of(
                self.device,
                client,
                seconds=FRESH_SECONDS,
                clock=time.monotonic,
                wall_clock=lambda: time.time() + self.clock_is_off_by,
            )
        )
        for forever in (
            core.hsm.audit.run_forever(core.hsm.recovery.store_lost),
            flush_counters_forever(core.hsm),
        ):
            self._stack.callback(asyncio.create_task(forever).cancel)
        self.crashed.clear()
        self.core = core

    async def unlock(self):
        while (state := self.core.hsm.state.value) != "Operational":
            assert state in {"Locked", "Failed"}, state
            await self.core.request("POST", "/unlock", json={"passphrase": UNLOCK})
            await asyncio.sleep(0.1)

    async def crash(self):
        """End the core in the middle of what it does."""
        if self.core is not None:
            self.lines += self.core.log_lines
            self.core = None
            self.crashed.set()
            await self._stack.aclose()

    async def ask(self, *arguments, **request):
        """Return the answer, or None if it is not known what came of the request."""
        if self.core is None:
            return None
        asked = asyncio.create_task(self.core.request(*arguments, **request))
        crash = asyncio.create_task(self.crashed.wait())
        await asyncio.wait(
            {asked, crash}, timeout=REQUEST_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        crash.cancel()
        asked.cancel()
        (answer,) = await asyncio.gather(asked, return_exceptions=True)
        return None if isinstance(answer, BaseException) else answer


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


class Faults:
    """What goes wrong, one thing at a time or two."""

    def __init__(self, cluster, sites):
        self.cluster, self.sites = cluster, sites
        self.counted = Counter()

    async def happen(self, end):
        kinds = [
            self.killed,
            self.stopped,
            self.paused,
            self.alone,
            self.cut,
            self.late,
            self.crash,
            self.set_clock,
            self.another_member,
        ]
        if all(site.disk for site in self.sites):
            kinds.append(self.full)
        while time.monotonic() < end:
            kind = RANDOM.choice(kinds)
            self.counted[kind.__name__] += 1
            await kind(RANDOM.choice(self.sites))
            await asyncio.sleep(RANDOM.uniform(0.1, 0.8))

    async def killed(self, site):
        await asyncio.to_thread(site.member.kill)
        await self._pause()
        site.member.start(self.cluster.members)

    async def stopped(self, site):
        await asyncio.to_thread(site.member.stop)
        await self._pause()
        site.member.start(self.cluster.members)

    async def paused(self, site):
        await asyncio.to_thread(site.member.pause)
        await self._pause()
        site.member.resume()

    async def alone(self, site):
        """Take the majority away."""
        others = [one.member for one in self.sites if one is not site]
        for member in others:
            await asyncio.to_thread(member.pause)
        await self._pause()
        for member in others:
            member.resume()

    async def cut(self, site):
        """Lose answers of etcd, and then the connections."""
        site.link.loses_answers = True
        await self._pause()
        site.link.cut()
        site.link.loses_answers = False

    async def late(self, site):
        """Cut connections, and let what was sent over them arrive afterwards."""
        site.link.holds_requests = True
        await self._pause()
        site.link.cut()
        site.link.holds_requests = False
        await self._pause()
        site.link.deliver()

    async def crash(self, site):
        await site.crash()
        await site.start()
        await site.unlock()

    async def set_clock(self, site):
        """Set the clock of one device forward or back, and later right again."""
        site.clock_is_off_by = RANDOM.uniform(-MONTH_SECONDS, MONTH_SECONDS)
        await self._pause()
        site.clock_is_off_by = 0.0

    async def full(self, site):
        """Fill the disk of an etcd, which may end of that, or be killed and not start."""
        with contextlib.closing(Filling(site.disk)):
            await self._pause()
            if RANDOM.random() < 0.5:
                await asyncio.to_thread(site.member.kill)
                site.member.start(self.cluster.members)
            await self._pause()
        if site.member.has_ended:
            self.counted["ended of a full disk"] += 1
            site.member.start(self.cluster.members)

    async def another_member(self, site):
        """Have another etcd join, promote it and remove it."""
        another = self.cluster.another()
        client = EtcdClient(str(site.member.socket))
        members = MembersService(client, quota_bytes=0)
        try:
            added = await _changed(members, "add", another.url)
            another.start([*self.cluster.members, another], state="existing")
            await _changed(members, "promote", another.url, added)
            await self._pause()
            await _changed(members, "remove", another.url, added)
        finally:
            await asyncio.to_thread(another.stop)
            await client.close()

    async def _pause(self):
        await asyncio.sleep(RANDOM.uniform(0.2, 1.5))


class Filling:
    """All that is free on a disk, taken until it is closed."""

    def __init__(self, disk):
        self._file = disk / "filling"
        with self._file.open("wb", buffering=0) as file:
            for size in (2**20, 2**12):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def close(self):
        self._file.unlink()


async def _changed(members, step, url, member_id=0):
    """Change the membership of the etcd at `url`, as soon as the others agree. Return its ID.

    A step that was refused, or of which nothing is known, may be done nevertheless: an earlier
    attempt was.
    """
    end = time.monotonic() + WAIT_SECONDS
    while True:
        urls = [url] if step == "add" else []
        answer = await members.answer(MembersStep(1, step, member_id, urls))
        if not answer.refusal:
            return answer.member_id
        listed = await members.answer(MembersStep(2, "list"))
        found = next((one for one in listed.members if one.urls == [url]), None)
        if step == "remove" and listed.members and found is None:
            return member_id
        if found is not None and (step == "add" or (step == "promote" and not found.is_learner)):
            return found.member_id
        assert time.monotonic() < end, (step, answer)
        await asyncio.sleep(0.1)


async def until_all_answer(sites, clients):
    """Wait until each member is up to date, and ask each for all that there is."""
    end = time.monotonic() + 2 * WAIT_SECONDS
    for site in sites:
        await site.unlock()
        for key in KEYS:
            while await clients.sign(site, key) not in {200, 404}:
                assert time.monotonic() < end, clients.counted
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
        await make_operator(sites[0].core)
        end = time.monotonic() + LIFE_SECONDS
        await asyncio.gather(faults.happen(end), *map(clients.work, [end] * CLIENTS))
        await until_all_answer(sites, clients)
        for site in sites:
            await site.crash()
        return sites, clients, faults


def test_what_three_members_answer_under_faults_one_hsm_could_have_answered(tmp_path):
    for number in range(ROUNDS):
        with contextlib.ExitStack() as stack:
            cluster = Cluster(3)
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
