"""The etcd of this HSM, as a child of the supervisor that outlives instances.

It is started again when it ends, at once for the first few times and then with a growing delay.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from keystead.journal.log import Log
from keystead.processes import launch, sandbox
from keystead.processes.etcd.member import MemberDirectory
from keystead.processes.supervisor import ownership
from keystead.processes.supervisor.child import Child
from keystead.processes.supervisor.log_pipe import LogPipe
from keystead.processes.supervisor.peer_files import SharedFiles
from keystead.wire import control
from keystead.wire.control_messages import CannotStart

LOG_BYTES_A_SECOND: Final = 64 * 1024
"""A captured etcd must not fill the disk with its log."""
STOP_PATIENCE_SECONDS: Final = 15.0
"""How long etcd may take to hand over leadership and to close its files."""

QUICK_RESTARTS: Final = 3
FIRST_DELAY_SECONDS: Final = 0.2
LONGEST_DELAY_SECONDS: Final = 10.0
_MOST_DOUBLINGS: Final = 6
STEADY_SECONDS: Final = 60.0
"""An etcd that ran for this long was no failed start, and resets the count of restarts."""

REMOVED_STATUS: Final = 0
"""How etcd ends by itself when the other members have removed it, now and at each later start. A
failure has another status, and a signal is told as a signal."""


class EtcdMember:
    """Use it in one event loop."""

    def __init__(
        self,
        directory: MemberDirectory,
        program: Path,
        log: Log,
        options: Sequence[str],
        files: SharedFiles | None = None,
        on_removed: Callable[[], None] | None = None,
    ) -> None:
        """`options` are those of every child process. `files` are for peers, if it has any.

        `on_removed` is called when the cluster has removed this member.
        """
        self._on_removed = on_removed
        self._directory = directory
        self._files = files
        self._authority = ""
        self._program = program
        self._log = log
        self._options = options
        self._child: Child | None = None
        self._restarting: asyncio.TimerHandle | None = None
        self._restarts = 0
        self._is_stopping = False
        self._is_removed = False
        self.refusal: str | None = None
        """Why etcd could not be started the last time, if it has said so."""

    def start(self) -> None:
        """Start etcd, if this HSM is a member. It runs until `stop`."""
        self._is_stopping = False
        if self._directory.exists:
            self._start()

    async def serve(self, authority: str) -> None:
        """Start etcd, or again if the authority of its peers is another one.

        `authority` is a digest, and empty for a member without peers.
        """
        if self._child is not None and self._authority != authority:
            await self.stop()
        self._authority = authority
        if self._child is None:
            self.start()

    def moved_to(self, directory: MemberDirectory) -> None:
        """Note that the directory has another path now."""
        self._directory = directory

    async def stop(self) -> None:
        """End etcd in good order, so that a leader hands over first."""
        self._is_stopping = True
        if self._restarting is not None:
            self._restarting.cancel()
        child, self._child = self._child, None
        if child is not None:
            child.finish()
            if not await child.end_within(STOP_PATIENCE_SECONDS):
                self._log.warning(
                    "process killed: it did not end in time", name="etcd", killed_pid=child.pid
                )

    def _start(self) -> None:
        try:
            child = self._started()
        except OSError as error:
            self._log.error("cannot start a process", name="etcd", reason=error.strerror)
            self._start_later()
            return
        child.ended.add_done_callback(partial(self._ended, child))
        self._child = child

    def _started(self) -> Child:
        child = start_etcd(
            self._directory,
            self._program,
            self._options,
            files=self._peer_files(),
            on_refused=self._refused,
        )
        self._log.info("etcd started")
        return child

    def _peer_files(self) -> list[tuple[str, launch.File]]:
        return [*self._files.for_etcd()] if self._files is not None and self._authority else []

    def _refused(self, message: CannotStart) -> None:
        self.refusal = message.reason
        self._log.error("etcd cannot be started", reason=message.reason)

    def _ended(self, child: Child, ended: asyncio.Future[int]) -> None:
        if self._is_stopping:
            return
        if ended.result() == REMOVED_STATUS:
            self._removed()
        else:
            self._log.error("process ended unexpectedly", name="etcd", status=ended.result())
        if child.age_seconds > STEADY_SECONDS:
            self._restarts = 0
        self._start_later()

    def _removed(self) -> None:
        if not self._is_removed:  # It ends like this after each start.
            self._log.error("etcd has ended: the other members have removed it")
        self._is_removed = True
        if self._on_removed is not None:
            self._on_removed()

    def _start_later(self) -> None:
        self._restarts += 1
        excess = self._restarts - QUICK_RESTARTS
        doubled = FIRST_DELAY_SECONDS * 2.0 ** min(max(excess, 0), _MOST_DOUBLINGS)
        delay = 0.0 if excess <= 0 else min(doubled, LONGEST_DELAY_SECONDS)
        self._restarting = asyncio.get_running_loop().call_later(delay, self._start)


def start_etcd(
    directory: MemberDirectory,
    program: Path,
    options: Sequence[str],
    *,
    files: Sequence[tuple[str, launch.File]] = (),
    on_refused: Callable[[CannotStart], None],
) -> Child:
    """Start the process of a member. Raises OSError if the kernel does not start it.

    `options` are those of every child process, and more of the process of etcd.
    """
    user = hand_over(directory.path)
    ours, theirs = control.pair()
    pipe = LogPipe(bytes_a_second=LOG_BYTES_A_SECOND, before=b"etcd: ")
    with theirs, pipe as log:
        process = launch.start(
            "etcd",
            files=[("control", theirs), *files],
            log=log.child_end,
            options=[
                *options,
                f"--directory={directory.path}",
                f"--record={directory.record_name}",
                f"--program={program}",
                *([] if user is None else [f"--user={user}"]),
            ],
        )
    return Child("etcd", process, ours, log, says=CannotStart, on_message=on_refused)


def hand_over(directory: Path) -> int | None:
    """Give the member's directory to etcd's own user, and let the platform's reach the socket.

    Returns the user, or None if etcd has to run as the present one. Raises OSError if the directory
    is missing, or belongs to another user.
    """
    user, reader = sandbox.own_user("etcd"), ownership.hand_over(directory.parent)
    if user is None or reader is None:
        return None
    # A captured platform could have put a link here to a directory of others.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid not in {os.geteuid(), user, reader}:
            raise PermissionError(errno.EPERM, "the directory belongs to another user")
        os.fchown(descriptor, user, reader)
        # With the bit for the group, what etcd makes here is the platform's group's too.
        os.fchmod(descriptor, 0o2750)
    finally:
        os.close(descriptor)
    return user
