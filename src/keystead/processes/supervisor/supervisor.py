"""The supervisor: starts instance after instance, and holds what must outlive them.

It parses nothing that comes from outside, and holds no secret.
"""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from keystead.deadlines import within
from keystead.edge.limits import LEAST_EDGE_FILES
from keystead.errors import StartRefused
from keystead.journal.log import Log
from keystead.platform.data_directory import DataDirectory
from keystead.processes import sandbox
from keystead.processes.etcd.member import MemberDirectory
from keystead.processes.platform.settings import PlatformSettings, SettingsFile
from keystead.processes.stderr_log import log_to_stderr
from keystead.processes.supervisor import etcd_version, memory
from keystead.processes.supervisor.instance import Instance, Resources
from keystead.processes.supervisor.listening import Address, listen
from keystead.processes.supervisor.membership import Membership
from keystead.processes.supervisor.notify import RESTART_STATUS, ServiceManager
from keystead.processes.supervisor.outcome import Outcome
from keystead.processes.supervisor.outputs import never_waiting
from keystead.wire.control_messages import MachineSetting, Started

MAX_FAILED_STARTS: Final = 5
"""Instances in a row that may die before they serve; then the server gives up."""
RETRY_SECONDS: Final = 0.5
PINGS_WITHIN_LIMIT: Final = 4
"""How often the core is asked within the time after which the service manager ends the server."""

FILES_OF_A_CHILD: Final = 8
"""Open files of the supervisor for each process, also while the process is being replaced."""
FILES_OF_ITS_OWN: Final = 64
"""Standard streams, listeners, the event loop's own, and what libraries open for a moment."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options that the operator chose."""

    data: Path
    address: Address
    edges: int
    platform: PlatformSettings
    is_sandboxed: bool = True
    proxies: tuple[str, ...] = ()
    """Networks whose connections begin with a PROXY protocol header."""
    etcd: Path | None = None
    """The operator's etcd, for a member of a cluster."""
    restarts_machine: bool = False
    """Whether a reboot ends the server with RESTART_STATUS."""


class Supervisor:
    """Runs one server, from its first instance to its last."""

    def __init__(
        self,
        resources: Resources,
        *,
        address: Address,
        service_manager: ServiceManager,
        restarts_machine: bool,
    ) -> None:
        self._restarts_machine = restarts_machine
        self._resources = resources
        self._log = resources.log
        self._address = address
        self._service_manager = service_manager
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Serve until a signal or an administrator ends it. Return the exit status.

        Raises StartRefused if the first instance does not start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_by, number)
        try:
            return await self._run_instances()
        finally:
            await self._stop_member()

    async def _run_instances(self) -> int:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            instance = Instance(
                self._resources,
                on_ready=self._ready,
                on_alive=self._alive,
                on_setting=self._set_machine,
            )
            pinging = loop.create_task(self._ping(instance))
            outcome = await instance.run(self._stop)
            pinging.cancel()
            if instance.refusal is not None:
                raise StartRefused(instance.refusal)
            failures = 0 if instance.was_ready else failures + 1
            await self._finish_reset()
            if outcome is Outcome.REBOOT and self._restarts_machine:
                self._log.info("the machine restarts: an Administrator asked for a reboot")
                return RESTART_STATUS
            if not await self._goes_on(outcome, failures):
                return 0

    async def _goes_on(self, outcome: Outcome, failures: int) -> bool:
        """Do what comes between two instances; return whether there is a next one."""
        match outcome:
            case Outcome.STOPPED | Outcome.SHUTDOWN:
                self._log.info("server stopped")
                return False
            case Outcome.REBOOT:
                self._log.info("restarting: an Administrator asked for a reboot")
            case Outcome.JOINED:
                self._log.info("restarting: this HSM has joined a cluster")
            case Outcome.FACTORY_RESET:
                pass  # It is done already.
            case Outcome.CRASHED:
                if failures >= MAX_FAILED_STARTS:
                    raise StartRefused(f"Gave up: {failures} starts in a row have failed.")
                self._log.error(
                    "restarting after a crash: the HSM is Locked unless unattended boot is on"
                )
                with contextlib.suppress(TimeoutError):
                    await within(RETRY_SECONDS * failures, self._stop.wait())
        return not self._stop.is_set()

    async def _finish_reset(self) -> None:
        """Erase everything if a factory reset has begun, whatever else ended the instance."""
        if self._resources.data.is_reset_begun:
            await self._stop_member()
            self._resources.data.reset()
            self._log.warning("factory reset done: all keys and records are destroyed")

    async def _stop_member(self) -> None:
        if self._resources.membership is not None:
            await self._resources.membership.stop()

    def _ready(self, started: Started) -> None:
        line = f"ready on https://{self._address} state={started.state}"
        print(f"keystead: {line} tls-sha256={started.tls_fingerprint}", flush=True)  # noqa: T201 - the ready line
        self._service_manager.tell(READY="1", STATUS=line)

    async def _ping(self, instance: Instance) -> None:
        """Ask the core again and again whether it runs, where a service manager wants to know."""
        limit = self._service_manager.watchdog_seconds
        while limit is not None:
            await asyncio.sleep(limit / PINGS_WITHIN_LIMIT)
            instance.ping()

    def _alive(self) -> None:
        self._service_manager.tell_alive()

    def _set_machine(self, setting: MachineSetting) -> None:
        """Hand a setting to process 1 of the appliance. Other service managers ignore it."""
        self._service_manager.tell(**{f"X_KEYSTEAD_{setting.name}": setting.value})

    def _stop_by(self, number: signal.Signals) -> None:
        self._log.info("server stopping", signal=number.name)
        self._service_manager.tell(STOPPING="1")
        self._stop.set()


def serve(options: ServeOptions) -> int:
    """Run the server in the foreground until it is told to stop. Return the exit status.

    Raises StartRefused if the server cannot start.

    The port is bound and the data directory locked before anything is written.
    """
    os.umask(0o077)
    _require_files(options.edges)
    sandbox.forbid_dumps()
    if options.is_sandboxed:
        sandbox.require_support()
    listeners, address = listen(options.address)
    log = log_to_stderr("supervisor")
    with (
        contextlib.closing(DataDirectory.open(options.data.absolute())) as data,
        never_waiting(partial(_warn_of_loss, log)),
    ):
        _warn_of_others(data, log)
        settings = SettingsFile.of(options.platform)
        child_options = () if options.is_sandboxed else (sandbox.INSECURE_OPTION,)
        if not options.is_sandboxed:
            log.warning("the sandbox is off", asked_for_by=sandbox.INSECURE_OPTION)
        _require_etcd(options, data, log)
        resources = Resources(
            data,
            listeners,
            options.edges,
            log,
            settings,
            child_options,
            options.proxies,
            None if options.etcd is None else Membership(data, options.etcd, log, child_options),
            checks=passphrase_checks(options, log),
        )
        return asyncio.run(_run(options, resources, address))


def _warn_of_loss(log: Log, lines: int) -> None:
    log.warning("lines of the log are lost: stderr did not take them", lines=lines)


def _warn_of_others(data: DataDirectory, log: Log) -> None:
    if data.were_open:
        log.warning(
            "files were open to other users and are private again: a user may have read them",
            files=", ".join(data.were_open),
        )
    if data.owner_elsewhere is not None:
        log.warning(
            "the data directory belongs to another user, who can replace what is in it",
            owner=data.owner_elsewhere,
        )


def _require_files(edges: int) -> None:
    """Raise the soft limit on open files as far as it is needed. Raises StartRefused if it cannot.

    The limit applies to each process. An edge with a higher limit accepts more connections.
    """
    needed = max(LEAST_EDGE_FILES, FILES_OF_ITS_OWN + FILES_OF_A_CHILD * (edges + 2))
    allowed = sandbox.allow_files(needed)
    if allowed < needed:
        raise StartRefused(
            f"The hard limit on open files (RLIMIT_NOFILE) is {allowed}; "
            f"{edges} edges need at least {needed}."
        )


def passphrase_checks(options: ServeOptions, log: Log) -> int:
    """Return how many passphrases are checked at once: one also where none fits."""
    room = memory.room(edges=options.edges, has_tpm=options.platform.has_tpm)
    if not room.checks:
        log.warning(
            "the memory is not enough to check a passphrase beside all else",
            has_mib=room.available_bytes >> 20,
            needs_mib=room.needed_bytes >> 20,
        )
    return max(1, room.checks)


def _require_etcd(options: ServeOptions, data: DataDirectory, log: Log) -> None:
    """Raise StartRefused if the operator's etcd is needed or named, and cannot be used."""
    directory = MemberDirectory(data.etcd)
    if options.etcd is not None:
        version = etcd_version.require_version(options.etcd)
        log.info(
            "etcd found",
            version=etcd_version.text(version),
            is_member="yes" if directory.exists else "no",
        )
    elif directory.exists:
        raise StartRefused(
            f"The records of this HSM are in {directory.path}: "
            "the configuration file must name the etcd, in [cluster]."
        )


async def _run(options: ServeOptions, resources: Resources, address: Address) -> int:
    supervisor = Supervisor(
        resources,
        address=address,
        service_manager=ServiceManager.of_environment(os.environ),
        restarts_machine=options.restarts_machine,
    )
    return await supervisor.run()
