"""What goes wrong in a cluster that clients use: etcds, links, disks, clocks, cores and more."""

import asyncio
import contextlib
import time
from collections import Counter
from secrets import SystemRandom

from keystead.etcd.client import EtcdClient
from keystead.platform.members import MembersService
from keystead.wire.cluster_messages import MembersStep
from tests.support.core import ADMIN
from tests.support.etcd import WAIT_SECONDS

RANDOM = SystemRandom()
CLOCK_SECONDS = [3600, 30 * 86_400, 3653 * 86_400]
"""How far clocks are set. Ten years ago, the members' certificates were not valid yet."""
SHARE_WITH_TWO = 0.3
"""How often the members change while something else goes wrong, too."""
SHARE_PROMOTED = 0.7
"""How often a new member becomes a full one before it is removed."""
PEM = {"content-type": "application/x-pem-file"}


class Faults:
    """What goes wrong, one thing at a time or two.

    The second is then a change of the members.
    """

    def __init__(self, cluster, sites):
        self.cluster, self.sites = cluster, sites
        self.counted = Counter()
        self._in_trouble = set()
        """The etcds that a fault may end and start again."""

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
            self.certificate,
        ]
        if self.cluster.network:
            kinds += [self.unheard, self.deaf, self.parted]
        if all(site.disk for site in self.sites):
            kinds.append(self.full)
        if all(site.member.clock for site in self.sites):
            kinds += [self.set_clock] * len(kinds)  # Half of all faults.
        while time.monotonic() < end:
            self.start_ended()
            kind = RANDOM.choice(kinds)
            is_single = kind in {self.another_member, self.alone}
            changing = not is_single and RANDOM.random() < SHARE_WITH_TWO
            site, other = RANDOM.sample(self.sites, 2)
            await asyncio.gather(
                self._happens(kind, site),
                *([self._happens(self.another_member, other)] if changing else []),
            )
            await asyncio.sleep(RANDOM.uniform(0.1, 0.8))

    def start_ended(self):
        """Start etcds that have ended by themselves, as the supervisor does."""
        for site in self.sites:
            if site.member not in self._in_trouble and site.member.has_ended:
                self.counted["ended by itself"] += 1
                site.member.start(self.cluster.members)

    async def _happens(self, kind, site):
        self.counted[kind.__name__] += 1
        if kind != self.another_member:
            self._in_trouble.add(site.member)
        await kind(site)
        self._in_trouble.discard(site.member)

    async def killed(self, site):
        await asyncio.to_thread(site.member.kill)
        await self.pause()
        site.member.start(self.cluster.members)

    async def stopped(self, site):
        await asyncio.to_thread(site.member.stop)
        await self.pause()
        site.member.start(self.cluster.members)

    async def paused(self, site):
        await asyncio.to_thread(site.member.pause)
        await self.pause()
        site.member.resume()

    async def alone(self, site):
        """Take the majority away."""
        others = [one.member for one in self._others(site)]
        for member in others:
            await asyncio.to_thread(member.pause)
        await self.pause()
        for member in others:
            member.resume()

    async def cut(self, site):
        """Lose answers of etcd, and then the connections."""
        site.link.loses_answers = True
        await self.pause()
        site.link.cut()
        site.link.loses_answers = False

    async def late(self, site):
        """Cut connections, and let what was sent over them arrive afterwards."""
        site.link.holds_requests = True
        await self.pause()
        site.link.cut()
        site.link.holds_requests = False
        await self.pause()
        site.link.deliver()

    async def crash(self, site):
        await site.crash()
        await site.start()
        await site.unlock()

    async def unheard(self, site):
        """Lose what a member sends to the others, but not what they send to it."""
        await self._cut([(site, other) for other in self._others(site)])

    async def deaf(self, site):
        """Lose what the others send to a member, but not what it sends."""
        await self._cut([(other, site) for other in self._others(site)])

    async def parted(self, site):
        """Cut two members off from each other. All others hear both."""
        other = RANDOM.choice(self._others(site))
        await self._cut([(site, other), (other, site)])

    async def _cut(self, ways):
        numbers = [tuple(map(self.sites.index, way)) for way in ways]
        for way in numbers:
            await asyncio.to_thread(self.cluster.network.cut, *way)
        await self.pause(3.0)  # An election begins after a second.
        for way in numbers:
            await asyncio.to_thread(self.cluster.network.heal, *way)

    def _others(self, site):
        return [one for one in self.sites if one is not site]

    async def certificate(self, site):
        """Replace the certificate of a device, which its clients and the other members see."""
        subject = {"commonName": "member", "subjectAltNames": [f"IP:{site.member.address}"]}
        path = "/config/tls/csr.pem"
        asked = await site.ask("POST", path, user=ADMIN, json=subject)
        if asked is None or asked.status != 200:
            return None
        pem = self.cluster.authority.sign(asked.body)
        path = "/config/tls/cert.pem"
        answer = await site.ask("PUT", path, user=ADMIN, body=pem, headers=PEM)
        self.counted["certificate", None if answer is None else answer.status] += 1
        return answer

    async def set_clock(self, site):
        """Set the clock of one device, or of all, forward or back, and later right again."""
        where = RANDOM.choice([[site], self.sites])
        seconds = RANDOM.choice([-1, 1]) * RANDOM.choice(CLOCK_SECONDS)
        for one in where:
            one.set_clock(seconds)
        await self.pause()
        if RANDOM.random() < 0.5:
            await self.killed(site)
            await self.pause()
        for one in where:
            one.set_clock(0)

    async def full(self, site):
        """Fill the disk of an etcd, which may end of that, or be killed and not start."""
        with contextlib.closing(Filling(site.disk)):
            await self.pause()
            if RANDOM.random() < 0.5:
                await asyncio.to_thread(site.member.kill)
                site.member.start(self.cluster.members)
            await self.pause()

    async def another_member(self, site):
        """Have another etcd join, promote it or not, and remove it."""
        another = self.cluster.another()
        client = EtcdClient(str(site.member.socket))
        members = MembersService(client, quota_bytes=0)

        def go_on():
            """Start what has ended by itself, as supervisors do."""
            self.start_ended()
            if another.process is not None and another.has_ended:
                self.counted["joined at a second start"] += 1
                another.start([*self.cluster.members, another], state="existing")

        try:
            added = await _changed(members, "add", another.url, go_on)
            another.start([*self.cluster.members, another], state="existing")
            if RANDOM.random() < SHARE_PROMOTED:
                await _changed(members, "promote", another.url, go_on, added)
                self.counted["promoted"] += 1
            await self.pause()
            await _changed(members, "remove", another.url, self.start_ended, added)
        finally:
            await asyncio.to_thread(another.stop)
            await client.close()

    async def pause(self, most_seconds=1.5):
        await asyncio.sleep(RANDOM.uniform(0.2, most_seconds))


class Filling:
    """All that is free on a disk, taken until it is closed."""

    def __init__(self, disk):
        assert disk.is_mount(), "it would fill the disk below"
        self._file = disk / "filling"
        with self._file.open("wb", buffering=0) as file:
            for size in (2**20, 2**12):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def close(self):
        self._file.unlink()


async def _changed(members, step, url, go_on, member_id=0):
    """Change the membership of the etcd at `url`, as soon as the others agree. Return its ID.

    `go_on` is called before each further attempt.

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
        assert time.monotonic() < end, (step, answer.message, listed)
        go_on()
        await asyncio.sleep(0.1)
