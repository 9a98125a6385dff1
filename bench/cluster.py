"""A member of three on a real etcd, all on this machine: what a cluster costs, and gives.

The core is in this process, so figures are for comparison with the same core on SQLite.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path

from bench.result import Reference, Row, at_least, at_most
from bench.run import Findings, Run
from bench.signing import CONNECTIONS, SIGNING
from keystead.api.http.route import StreamedResponse
from keystead.errors import KeysteadError, NotUpToDate
from keystead.etcd import calls
from keystead.etcd.client import EtcdClient
from keystead.etcd.messages import StatusRequest
from keystead.model.secret import Secret
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.generations import GenerationStore
from keystead.storage.key_value_store import MISSING, Change
from keystead.storage.versions import Versions
from keystead.wire.edge_messages import Request
from tests.support.core import ADMIN, Core, WholeBody, basic, start_core, to_json
from tests.support.etcd import BINARY, Cluster, Member
from tests.support.member_cores import Device, core_of

_OPERATOR = ("operator", "passphrase of operator")
_KEY = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
_FRESH_SECONDS = 1.0
_RESTORED = 100_000
_RECORD_BYTES = 1_800
_BATCH_RECORDS = 145
"""As many as a restore writes in one commit."""
_FAILOVERS = 3
_WRITTEN_BYTES = (400, 300)
"""The records of a P-256 key and of the action that made it, about."""


def measure_cluster(run: Run) -> Findings:
    """Return what three members come to."""
    if not BINARY.is_file():
        return Findings(failures=["etcd is not here: scripts/add-etcd unpacks it"])
    with Cluster(3) as cluster:
        rows = asyncio.run(_beside_sqlite(run, cluster))
        rows.append(asyncio.run(_restore(cluster)))
        rows.append(asyncio.run(_failover(cluster)))
    return Findings(rows)


async def _beside_sqlite(run: Run, cluster: Cluster) -> list[Row]:
    async with AsyncExitStack() as stack:
        member = await stack.enter_async_context(_member(cluster))
        store = SqliteStore(run.folder / "beside.db")
        stack.push_async_callback(store.close)
        alone = await start_core(store=store, clock=time.monotonic)
        stack.callback(alone.close)
        stack.push_async_callback(alone.hsm.stop)
        for core in (member, alone):
            await core.provision()
            await _up_to_date(core)
            await core.add_user("operator", "Operator")
            await core.generate("bench", "EC_P256", "ECDSA_Signature")
        signed = await _alternate(run, member, alone, _SIGN.send)
        made = await _alternate(run, member, alone, _GENERATE.send)
        written, cpu_us = await _written(run, cluster, member)
    at_once = f"{CONNECTIONS} at once, on a member of three"
    return [
        Row(
            "P-256 sign in one process, on a member of three",
            "/s",
            signed[0],
            reference=Reference("on SQLite", signed[1], at_least(0.97)),
        ),
        Row(
            f"P-256 key generation in one process, durable, {at_once}",
            "/s",
            made[0],
            at_least(3_000),
            Reference("on SQLite", made[1]),
            cpu_us,
        ),
        Row(f"What such keys write, without a core, {at_once}", "/s", written),
    ]


@asynccontextmanager
async def _member(cluster: Cluster) -> AsyncIterator[Core]:
    device, member = Device("bench"), cluster.members[0]
    client = EtcdClient(str(member.socket))
    async with core_of(device, client, seconds=_FRESH_SECONDS, clock=time.monotonic) as core:
        yield core
        await core.hsm.stop()


async def _up_to_date(core: Core) -> None:
    freshness = core.hsm.freshness
    while freshness is not None:
        with suppress(NotUpToDate):
            return await freshness.require(changes_nothing=True)
    return None


async def _alternate(
    run: Run, member: Core, alone: Core, ask: Callable[[Core], Awaitable[None]]
) -> tuple[list[float], list[float]]:
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(run.rounds):
        for core, rates in zip((member, alone), found, strict=True):
            rates.append(await _rate(run.seconds, lambda core=core: ask(core)))
    return found


async def _rate(seconds: float, ask: Callable[[], Awaitable[None]]) -> float:
    """Return how often it is done in a second by as many callers as there are connections."""
    began, done = time.perf_counter(), 0

    async def call() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            await ask()
            done += 1

    await asyncio.gather(*(call() for _ in range(CONNECTIONS)))
    return done / (time.perf_counter() - began)


async def _written(
    run: Run, cluster: Cluster, member: Core
) -> tuple[list[float], dict[str, float]]:
    """Return how many commits a second etcd takes of what a key and its action write.

    And the CPU time that a key takes in this process and in all etcds together, in microseconds:
    where all share a machine, its cores have no more to give than that.
    """
    store = EtcdStore(EtcdClient(str(cluster.members[0].socket)), device="writing")
    numbers = count()

    async def write() -> None:
        number = next(numbers)
        paths = (f"/bench/key/{number}", f"/bench/action/{number}")
        changes = [
            Change(path, os.urandom(size), MISSING)
            for path, size in zip(paths, _WRITTEN_BYTES, strict=True)
        ]
        _ = await store.commit(changes)

    rates = [await _rate(run.seconds, write) for _ in range(run.rounds)]
    await store.close()
    before = (time.process_time(), _seconds_of(cluster))
    began = time.perf_counter()
    rate = await _rate(run.seconds, lambda: _GENERATE.send(member))
    keys = rate * (time.perf_counter() - began)
    after = (time.process_time(), _seconds_of(cluster))
    core, etcd = (1e6 * (end - start) / keys for start, end in zip(before, after, strict=True))
    return rates, {"core": core, "etcd": etcd}


def _seconds_of(cluster: Cluster) -> float:
    """Return the CPU time that all members together have taken."""
    ticks = 0
    for member in cluster.members:
        stat = Path(f"/proc/{member.process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(stat[11]) + int(stat[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class _Post:
    """A request that an edge would send again and again, so that no client is measured."""

    def __init__(self, path: str, body: object, status: int, *, user: tuple[str, str]) -> None:
        self._body = to_json(body)
        headers = {"content-type": "application/json", "authorization": basic(user)}
        size = len(self._body)
        self._request = Request(
            1, "POST", f"/api/v1{path}", "", headers, "192.0.2.1", self._body, content_length=size
        )
        self._status = status

    async def send(self, core: Core) -> None:
        """Have it answered. Raises RuntimeError if it is not answered as it should be."""
        answer = await core.dispatcher.answer(self._request, WholeBody(self._body))
        if isinstance(answer, StreamedResponse) or answer.status != self._status:
            raise RuntimeError(f"{self._request.path}: {answer}")


_SIGN = _Post("/keys/bench/sign", SIGNING["p256"].body, 200, user=_OPERATOR)
_GENERATE = _Post("/keys/generate", _KEY, 201, user=ADMIN)


async def _restore(cluster: Cluster) -> Row:
    """Fill a generation as a restore does, make its root, and switch to it."""
    store = EtcdStore(EtcdClient(str(cluster.members[0].socket)), device="restoring")
    generations = await GenerationStore.open(store)
    record = os.urandom(_RECORD_BYTES)
    began = time.monotonic()
    following = await generations.begin_next()
    for first in range(0, _RESTORED, _BATCH_RECORDS):
        numbers = range(first, min(first + _BATCH_RECORDS, _RESTORED))
        await following.add({f"/key/{number:06}": record for number in numbers})
    versions = Versions(store, following.number, Secret(os.urandom(32)))
    async for changes in versions.made():
        await following.write(changes)
    await following.bring_into_force([])
    seconds = time.monotonic() - began
    await store.close()
    return Row(
        f"Restore of {_RESTORED:,} keys into etcd, three members", "s", [seconds], at_most(40)
    )


async def _failover(cluster: Cluster) -> Row:
    """Kill the leader, and return how long no change is made through another member."""
    found = []
    for number in range(_FAILOVERS):
        leader = await _leader(cluster)
        other = next(one for one in cluster.members if one is not leader)
        store = EtcdStore(EtcdClient(str(other.socket)), device="writing")
        _ = await store.commit([Change("/bench", b"before")])
        leader.kill()
        began = time.monotonic()
        while True:
            try:
                _ = await store.commit([Change("/bench", b"%d" % number)])
                break
            except KeysteadError:
                continue
        found.append(time.monotonic() - began)
        await store.close()
        leader.start(cluster.members)
        await asyncio.to_thread(leader.wait)
    return Row("No change is made after the leader is killed, for", "s", found, at_most(2))


async def _leader(cluster: Cluster) -> Member:
    while True:
        for member in cluster.members:
            client = EtcdClient(str(member.socket))
            found = await client.call(calls.STATUS, StatusRequest())
            await client.close()
            if found.leader and found.leader == found.header.member_id:
                return member
        await asyncio.sleep(0.1)
