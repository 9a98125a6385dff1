"""The core process, which makes all decisions and holds all keys, without files and network."""

import asyncio
import socket
import sys
import time
from collections import deque
from functools import partial
from typing import Final

import msgspec
import uvloop

from keystead.api.dispatch import Dispatcher
from keystead.certificates.tls_identity import fingerprint
from keystead.errors import StoreUnavailable
from keystead.journal.log import Log
from keystead.journal.pace import Pace
from keystead.operations.cluster_news import ClusterNews
from keystead.operations.freshness import Freshness
from keystead.operations.hsm import Hsm
from keystead.operations.session import CoreContext
from keystead.operations.system_actions import SystemAction
from keystead.operations.use_counters import flush_counters_forever
from keystead.processes import launch, sandbox
from keystead.processes.core.body_budget import TOO_MANY, BodyBudget
from keystead.processes.core.edge_link import EdgeLink
from keystead.processes.core.edges import Edges
from keystead.processes.core.facts import Facts
from keystead.processes.core.joining import Joining
from keystead.processes.core.peer_tls import PEER_FILE_BYTES, PeerTls
from keystead.processes.core.platform_link import PlatformLink
from keystead.processes.core.pools import Pools
from keystead.processes.core.refusals import RefusalLog
from keystead.processes.sandbox import Sandbox
from keystead.processes.stderr_log import log_bugs, log_to_stderr
from keystead.sealing.update_image import UpdateKey
from keystead.self_tests import first_failure
from keystead.wire import control
from keystead.wire.clock import seconds_since_boot
from keystead.wire.control_messages import (
    AttachEdge,
    BeginJoin,
    EndJoin,
    Noted,
    Ping,
    Pong,
    RemovedFromCluster,
    Started,
    SupervisorToCore,
    Wanted,
)

BODY_BUDGET_BYTES: Final = 288 * 1024 * 1024
"""The memory for all bodies that do not come with their requests: four of the largest."""
EDGE_BODY_BYTES: Final = 208 * 1024 * 1024
"""The memory for bodies of one edge: three of the largest. A captured edge leaves room for
others."""
CUTS_AT_ONCE, CUTS_A_SECOND = 60, 1
"""Answers cut for others' sake that are logged, at once and each second after."""


class _Options(launch.Options, frozen=True, kw_only=True):
    platform: socket.socket
    checks: int
    peer_identity: int | None = None
    peer_authority: int | None = None


class Core:
    """The HSM and the edges it serves."""

    def __init__(self, hsm: Hsm, supervisor: socket.socket, log: Log) -> None:
        self._hsm = hsm
        self._supervisor = supervisor
        self._log = log
        self._dispatcher = Dispatcher(hsm)
        self._budget = BodyBudget(BODY_BUDGET_BYTES)
        self.edges = Edges(hsm.tls.identity, log)
        self._refusals = RefusalLog(hsm.metrics, log)
        self._cuts = Pace(time.monotonic, at_once=CUTS_AT_ONCE, a_second=CUTS_A_SECOND)
        self._attaching: set[asyncio.Task[None]] = set()
        self._orders = msgspec.msgpack.Decoder[SupervisorToCore](SupervisorToCore)
        self._unnoted = deque[asyncio.Future[None]]()
        """The callers that wait for the supervisor to note a request, in the order of its
        replies."""
        self.stop = asyncio.Event()
        hsm.actions.carry_out = self._want
        hsm.tls.servers = self.edges
        hsm.metrics.edges = self.edges.__len__

    def join_clusters(self, platform: PlatformLink, peer_tls: PeerTls) -> None:
        """Let the HSM be a member of a cluster, or become one."""
        hsm, settings = self._hsm, platform.settings
        if settings.is_member:
            hsm.members, hsm.tls.peers = platform.members, peer_tls
        elif settings.can_join:
            hsm.joins = Joining(hsm.tls, peer_tls, platform.members, self.order)

    def listen(self) -> None:
        """Tell the supervisor that the core has started, and follow its messages."""
        chain = self._hsm.tls.identity.chain
        control.send(self._supervisor, Started(self._hsm.state.value, fingerprint(chain)))
        asyncio.get_running_loop().add_reader(self._supervisor, self._ordered)

    # --- the supervisor --------------------------------------------------------------------

    async def _want(self, action: SystemAction) -> None:
        await self.order(Wanted(action))

    async def order(self, order: Wanted | BeginJoin | EndJoin) -> None:
        """Ask the supervisor for something, and wait until it has noted that."""
        noted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unnoted.append(noted)
        control.send(self._supervisor, order)
        await noted

    def _ordered(self) -> None:
        received = control.receive(self._supervisor, self._orders)
        if received is None:
            asyncio.get_running_loop().remove_reader(self._supervisor)
            self.stop.set()
            return
        order: SupervisorToCore = received[0]
        match order:
            case Noted():
                if self._unnoted and not (noted := self._unnoted.popleft()).done():
                    noted.set_result(None)
            case Ping():
                control.send(self._supervisor, Pong())
            case RemovedFromCluster():
                self._hsm.recovery.removed_from_cluster()
            case AttachEdge():
                task = asyncio.get_running_loop().create_task(
                    self._attach(order.edge, received[1][0])
                )
                self._attaching.add(task)
                task.add_done_callback(self._attaching.discard)

    async def _attach(self, number: int, end: socket.socket) -> None:
        def lost(session: EdgeLink, reason: str) -> None:
            self.edges.discard(session)
            self._log.info("edge disconnected", edge=number, reason=reason)

        end.setblocking(False)
        budget = BodyBudget(EDGE_BODY_BYTES, part_of=self._budget)
        session = EdgeLink(self._dispatcher.answer, budget=budget, on_lost=lost)
        session.on_refusals = self._refusals.note
        session.on_cut = self._cut
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: session.connection, sock=end)
        self.edges.add(session)

    def _cut(self) -> None:
        if (unlogged := self._cuts.step()) is not None:
            self._log.warning("response cut short", reason=TOO_MANY, unlogged=unlogged)


async def _context(
    platform: PlatformLink, supervisor: socket.socket, pools: Pools, log: Log, facts: Facts
) -> CoreContext:
    failure = await pools.keygen.run(first_failure)
    device_key = await platform.device_key
    settings = platform.settings
    update_key_pem = settings.update_key_pem
    return CoreContext(
        store=platform.store,
        device_key=device_key,
        wall_clock=time.time,  # noqa: TID251 - the core's one clock is given to it here
        monotonic=time.monotonic,
        crypto_pool=pools.crypto,
        keygen_pool=pools.keygen,
        kdf_pool=pools.kdf,
        unlock_pool=pools.unlock,
        log=log,
        aim_syslog=platform.aim_syslog,
        unattended_key=platform.unattended_key,
        update_slot=platform.update_slot,
        free_bytes=platform.free_bytes,
        update_key=None if update_key_pem is None else UpdateKey(update_key_pem),
        pkcs1_padding_errors=settings.pkcs1_padding_errors,
        open_shutdown=settings.open_shutdown,
        common_passphrases=settings.common_passphrases,
        key_cache=settings.key_cache,
        freshness=_freshness(platform),
        keeps_head=settings.keeps_head,
        keeps_count=settings.keeps_count,
        warnings=settings.warnings,
        set_machine=partial(control.send, supervisor) if settings.configures_machine else None,
        software_digest=facts.software,
        measurements=facts.measurements,
        device_key_provider=settings.device_key_provider,
        quotes=platform.quotes if settings.attestation_key else None,
        self_test_failure=failure,
    )


def _freshness(platform: PlatformLink) -> Freshness | None:
    wanted = platform.settings.freshness
    return None if wanted is None else Freshness(wanted, seconds_since_boot, platform.confirm_now)


def _follow_cluster(hsm: Hsm, platform: PlatformLink) -> list[asyncio.Task[None]]:
    """Let the HSM hear what other members of its cluster change. Return the tasks for that."""
    if hsm.freshness is None:
        return []
    platform.news = ClusterNews(hsm, hsm.freshness)
    platform.news.any_changed()  # Changes since the start were not heard.
    return [asyncio.get_running_loop().create_task(platform.news.notice_silence())]


async def serve(
    platform_end: socket.socket,
    supervisor: socket.socket,
    log: Log,
    confinement: Sandbox,
    *,
    facts: Facts,
    peer_tls: PeerTls | None,
) -> int:
    """Run the core until the supervisor closes its end or the platform is gone.

    `peer_tls` is for etcd. Returns the exit status. Raises KeysteadError if it cannot start.
    """
    loop = asyncio.get_running_loop()
    log_bugs(loop, log)
    log.gather(loop.call_soon)
    platform = PlatformLink()
    pools = Pools.start(facts.checks)
    protections = confinement.lock_down()
    await loop.create_unix_connection(lambda: platform.connection, sock=platform_end)
    log.forward = platform.syslog
    try:
        context = await _context(platform, supervisor, pools, log, facts)
        if peer_tls is not None and platform.settings.is_member:
            await peer_tls.serve_stored(platform.store, context.device_key)
        hsm = await Hsm.start(context)
    except StoreUnavailable:
        return 1  # The platform has told the supervisor why, if it could.
    core = Core(hsm, supervisor, log)
    if peer_tls is not None:
        core.join_clusters(platform, peer_tls)
    log.info(
        "core started",
        state=hsm.state.value,
        passphrases_at_once=facts.checks,
        **protections.fields(),
    )
    if platform.settings.pkcs1_padding_errors:
        log.warning("pkcs1_padding_errors is on: PKCS1 decryption is a padding oracle")
    core.listen()
    tasks = [
        loop.create_task(flush_counters_forever(hsm)),
        loop.create_task(hsm.audit.run_forever(hsm.recovery.store_lost)),
        loop.create_task(core.edges.renew_forever()),
        *_follow_cluster(hsm, platform),
    ]
    ends = [loop.create_task(core.stop.wait()), loop.create_task(platform.lost.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    if platform.lost.is_set():
        log.error("the core lost its connection to the platform")
        return 1
    await hsm.stop()
    platform.connection.close()
    log.info("core stopped")
    return 0


def main() -> None:
    """Run the core, with options from the supervisor."""
    given = launch.read_options(_Options, sys.argv[1:])
    log = log_to_stderr("core")
    facts = Facts.read(given.checks)
    confinement = Sandbox("core", is_filtered=given.is_filtered)
    with launch.telling_refusal(given.control):
        peer_tls, file_bytes = None, None
        keep = [given.platform.fileno(), given.control.fileno()]
        if given.peer_identity is not None and given.peer_authority is not None:
            peer_tls = PeerTls(given.peer_identity, given.peer_authority, given.control)
            keep += [peer_tls.identity, peer_tls.authority]
            file_bytes = PEER_FILE_BYTES
        confinement.isolate(parent=given.parent, keep=keep)
        confinement.confine(user=sandbox.own_user("core"), file_bytes=file_bytes)
        launch.run(
            serve(
                given.platform,
                given.control,
                log,
                confinement,
                facts=facts,
                peer_tls=peer_tls,
            ),
            loop_factory=uvloop.new_event_loop,
            at_end=log.flush,
        )
