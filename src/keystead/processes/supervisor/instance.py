"""One instance of {platform, core, edges}: started together, ended together.

An edge that dies is replaced alone. When the core or the platform dies, the instance is over.
"""

import asyncio
import math
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, assert_never

from keystead.edge.limits import MAX_CONNECTIONS
from keystead.journal.log import Log
from keystead.platform.data_directory import DataDirectory
from keystead.processes import launch
from keystead.processes.platform.settings import SettingsFile
from keystead.processes.sandbox import ProcessKind
from keystead.processes.supervisor import ownership
from keystead.processes.supervisor.child import Child
from keystead.processes.supervisor.log_pipe import LogPipe
from keystead.processes.supervisor.membership import Membership
from keystead.processes.supervisor.memory import MOST_CHECKS
from keystead.processes.supervisor.outcome import Decision, Outcome
from keystead.wire import control
from keystead.wire.control_messages import (
    AttachEdge,
    BeginJoin,
    CannotStart,
    CoreToSupervisor,
    EdgeReady,
    EdgeToSupervisor,
    EndJoin,
    KeyWaits,
    MachineSetting,
    Noted,
    Ping,
    PlatformToSupervisor,
    Pong,
    RemovedFromCluster,
    ServePeers,
    Started,
    SupervisorToCore,
    Wanted,
)

EDGE_PATIENCE_SECONDS: Final = 30.0
"""How long edges may take to finish running requests. They give up earlier by themselves."""
CRASH_PATIENCE_SECONDS: Final = 5.0
"""How long edges may take to tell their clients that the core is gone."""
STOP_PATIENCE_SECONDS: Final = 15.0
"""How long the core may take to forget its keys, and the platform to close the store."""

EDGE_LOG_BYTES_A_SECOND: Final = 64 * 1024
"""The log of an edge is short. A captured edge must not fill the disk with it."""

QUICK_REPLACEMENTS: Final = 3
"""The number of edges that are replaced at once. Later replacements wait longer and longer."""
FIRST_DELAY_SECONDS: Final = 0.2
MOST_DOUBLINGS: Final = 6
LONGEST_DELAY_SECONDS: Final = 10.0
STEADY_SECONDS: Final = 60.0
"""An edge that ran for this long was no failed start, and resets the count of replacements."""


_ACTIONS: Final = {
    "reboot": Outcome.REBOOT,
    "shutdown": Outcome.SHUTDOWN,
    "factory-reset": Outcome.FACTORY_RESET,
}


@dataclass(frozen=True, slots=True)
class Resources:
    """What outlives an instance."""

    data: DataDirectory
    listeners: Sequence[socket.socket]
    edges: int
    log: Log
    settings: SettingsFile
    """For the platform."""
    child_options: Sequence[str] = ()
    """For every process."""
    proxies: Sequence[str] = ()
    """Networks whose connections begin with a PROXY protocol header."""
    membership: Membership | None = None
    """None stands for an HSM that has no etcd."""
    checks: int = MOST_CHECKS
    """How many passphrases are checked at once."""


class Instance:
    """Use `run` once."""

    def __init__(
        self,
        resources: Resources,
        *,
        on_ready: Callable[[Started], None],
        on_alive: Callable[[], None],
        on_setting: Callable[[MachineSetting], None],
    ) -> None:
        """`on_ready` is called when every edge accepts connections.

        `on_alive` is called when the core answers a `ping`, and `on_setting` when there is a
        setting for process 1 of the appliance.
        """
        self._resources = resources
        self._log = resources.log
        self._on_ready = on_ready
        self._on_alive = on_alive
        self._on_setting = on_setting
        self._decision = Decision()
        self._platform: Child | None = None
        self._core: Child | None = None
        self._edges: dict[int, Child] = {}
        self._ready_edges: set[int] = set()
        self._replacements = 0
        self._orders: set[asyncio.Task[None]] = set()
        self._started: Started | None = None
        self.was_ready = False
        self.refusal: str | None = None
        """Why the server cannot start on this data, if the platform or the core has said so."""

    async def run(self, stop: asyncio.Event) -> Outcome:
        """Start all processes, wait for a reason to end or for `stop`, and end all processes.

        Return what comes next. A factory reset may have begun whatever that is.
        """
        waiting = asyncio.get_running_loop().create_task(stop.wait())
        waiting.add_done_callback(self._stopped)
        if self._resources.membership is not None:
            self._resources.membership.on_removed = partial(self._tell_core, RemovedFromCluster())
        try:
            self._start_all()
            await self._end(await self._decision.first())
        finally:
            waiting.cancel()
        return self._decision.outcome

    def _stopped(self, waiting: asyncio.Task[Any]) -> None:
        if not waiting.cancelled():
            self._decision.add(Outcome.STOPPED)

    # --- starting --------------------------------------------------------------------------

    def _start_all(self) -> None:
        try:
            self._platform, self._core = self._start_vital()
        except OSError as error:
            self._log.error("cannot start a process", reason=error.strerror)
            self._decision.add(Outcome.CRASHED)
            return
        for number in range(self._resources.edges):
            self._start_edge(number)

    def _start_vital(self) -> tuple[Child, Child]:
        core_end, platform_end = socket.socketpair()
        with core_end, platform_end:
            platform = self._start_child(
                "platform",
                [
                    ("core", platform_end),
                    ("data-lock", self._resources.data),
                    ("settings", self._resources.settings),
                ],
                self._platform_options(),
                says=PlatformToSupervisor,
                on_message=self._platform_said,
            )
            core = self._start_child(
                "core",
                [("platform", core_end), *self._peer_files()],
                [f"--checks={self._resources.checks}"],
                says=CoreToSupervisor,
                on_message=self._core_said,
            )
        for child in (platform, core):
            child.ended.add_done_callback(partial(self._vital_child_ended, child))
        return platform, core

    def _peer_files(self) -> list[tuple[str, launch.File]]:
        membership = self._resources.membership
        return [] if membership is None else [*membership.files.for_core()]

    def _platform_options(self) -> list[str]:
        data, user = self._resources.data, ownership.hand_over(self._resources.data.path)
        needs_tls = self._resources.settings.needs_tls
        own_user = [] if user is None else [f"--user={user}"]
        return [f"--data={data.path}", *own_user, *(["--tls"] if needs_tls else [])]

    def _start_edge(self, number: int) -> None:
        if self._decision.is_made:
            return
        try:
            self._edges[number] = self._started_edge(number)
        except OSError as error:
            self._log.error("cannot start an edge", edge=number, reason=error.strerror)
            self._replace_edge(number)

    def _started_edge(self, number: int) -> Child:
        core_end, edge_end = socket.socketpair()
        with core_end, edge_end:
            listeners = [("listen", listener) for listener in self._resources.listeners]
            edge = self._start_child(
                "edge",
                [("core", edge_end), *listeners],
                [f"--proxy={network}" for network in self._resources.proxies],
                says=EdgeToSupervisor,
                on_message=partial(self._edge_said, number),
            )
            self._tell_core(AttachEdge(number), descriptor=core_end.fileno())
        edge.ended.add_done_callback(partial(self._edge_ended, number))
        return edge

    def _start_child(
        self,
        kind: ProcessKind,
        files: Sequence[tuple[str, launch.File]],
        options: Sequence[str] = (),
        *,
        says: object,
        on_message: Callable[[Any], None],
    ) -> Child:
        ours, theirs = control.pair()
        limit = EDGE_LOG_BYTES_A_SECOND if kind == "edge" else math.inf
        with theirs, LogPipe(bytes_a_second=limit) as log:
            process = launch.start(
                kind,
                files=[("control", theirs), *files],
                log=log.child_end,
                options=[*self._resources.child_options, *options],
            )
        return Child(kind, process, ours, log, says=says, on_message=on_message)

    def ping(self) -> None:
        """Ask the core whether its event loop runs."""
        self._tell_core(Ping())

    def _tell_core(self, message: SupervisorToCore, *, descriptor: int | None = None) -> None:
        if self._core is not None:
            self._core.tell(message, descriptor=descriptor)

    # --- what the others say ---------------------------------------------------------------

    def _platform_said(self, message: PlatformToSupervisor) -> None:
        match message:
            case CannotStart():
                self._refused(message)
            case KeyWaits():
                self._on_setting(MachineSetting("DEVICE_KEY", "waits"))

    def _refused(self, message: CannotStart) -> None:
        self.refusal = message.reason
        self._decision.add(Outcome.CRASHED)

    def _core_said(self, message: CoreToSupervisor) -> None:
        match message:
            case CannotStart():
                self._refused(message)
            case Started():
                self._started = message
                self._note_readiness()
            case Pong():
                self._on_alive()
            case MachineSetting():
                self._on_setting(message)
            case Wanted():
                self._wanted(_ACTIONS[message.action])
            case ServePeers() | BeginJoin() | EndJoin():
                task = asyncio.get_running_loop().create_task(self._order_member(message))
                self._orders.add(task)
                task.add_done_callback(self._orders.discard)
            case _:
                assert_never(message)

    def _wanted(self, outcome: Outcome) -> None:
        if outcome is Outcome.FACTORY_RESET:
            try:
                self._resources.data.begin_reset()
            except OSError as error:
                # Without Noted, the core never acknowledges the reset.
                self._log.error("cannot begin the factory reset", reason=error.strerror)
                self._decision.add(Outcome.CRASHED)
                return
        self._tell_core(Noted())
        self._decision.add(outcome)

    async def _order_member(self, order: ServePeers | BeginJoin | EndJoin) -> None:
        membership = self._resources.membership
        if membership is None:
            return
        try:
            match order:
                case ServePeers():
                    await membership.serve(order.authority)
                    return
                case BeginJoin():
                    await membership.begin_join(order)
                case EndJoin():
                    await membership.end_join(is_member=order.is_member)
        except OSError as error:
            self._log.error("cannot join the cluster", reason=error.strerror)
            self._decision.add(Outcome.CRASHED)
            return
        self._tell_core(Noted())
        if isinstance(order, EndJoin) and order.is_member:
            self._decision.add(Outcome.JOINED)

    def _edge_said(self, number: int, message: EdgeReady | CannotStart) -> None:
        if number in self._ready_edges:
            return  # A ready edge may be captured by a client, so its messages are ignored.
        if isinstance(message, CannotStart):
            self._refused(message)
            return
        self._log.info(
            "edge started",
            edge=number,
            in_force=", ".join(message.in_force),
            missing=", ".join(message.missing),
        )
        if message.max_connections < MAX_CONNECTIONS:
            self._log.warning(
                "the limit on open files (RLIMIT_NOFILE) allows few connections",
                edge=number,
                connections=message.max_connections,
                wanted=MAX_CONNECTIONS,
            )
        self._ready_edges.add(number)
        self._note_readiness()

    def _note_readiness(self) -> None:
        if self.was_ready or self._started is None:
            return
        if len(self._ready_edges) == self._resources.edges:
            self.was_ready = True
            self._on_ready(self._started)

    # --- ends ------------------------------------------------------------------------------

    def _vital_child_ended(self, child: Child, ended: asyncio.Future[int]) -> None:
        # A killed process may be noticed only after another one that ended because of it.
        if not self._decision.is_made or ended.result() < 0:
            self._log.error("process ended unexpectedly", name=child.kind, **_how(ended.result()))
        self._decision.add(Outcome.CRASHED)

    def _edge_ended(self, number: int, ended: asyncio.Future[int]) -> None:
        self._ready_edges.discard(number)
        if not self._decision.is_made:
            self._log.error("edge ended unexpectedly", edge=number, **_how(ended.result()))
            if self._edges[number].age_seconds > STEADY_SECONDS:
                self._replacements = 0
            self._replace_edge(number)

    def _replace_edge(self, number: int) -> None:
        """Start another edge, at once for the first few times and then with a growing delay."""
        self._replacements += 1
        excess = self._replacements - QUICK_REPLACEMENTS
        doubled = FIRST_DELAY_SECONDS * 2 ** min(excess, MOST_DOUBLINGS)
        delay = 0.0 if excess <= 0 else min(doubled, LONGEST_DELAY_SECONDS)
        asyncio.get_running_loop().call_later(delay, self._start_edge, number)

    async def _end(self, reason: Outcome) -> None:
        """End the edges, so that all responses are sent, then the core, and last the platform."""
        crashed = reason is Outcome.CRASHED
        patience = CRASH_PATIENCE_SECONDS if crashed else EDGE_PATIENCE_SECONDS
        edges = list(self._edges.values())
        for edge in edges:
            edge.finish()
        await asyncio.gather(*(self._end_child(edge, patience) for edge in edges))
        for child in (self._core, self._platform):
            if child is not None:
                child.finish()
                await self._end_child(child, STOP_PATIENCE_SECONDS)

    async def _end_child(self, child: Child, patience_seconds: float) -> None:
        if not await child.end_within(patience_seconds):
            self._log.warning(
                "process killed: it did not end in time", name=child.kind, killed_pid=child.pid
            )


def _how(status: int) -> dict[str, int | str]:
    """Return how a process ended, as fields of a log event."""
    if status == -signal.SIGSYS:
        return {"status": status, "reason": "a system call that its sandbox does not allow"}
    return {"status": status}
