"""The confinement of a process, in three steps that cannot be undone.

`isolate` comes first, before any secret reaches the process. `confine` comes when every module is
loaded and the platform has its device key, while there is one thread. `lock_down` comes last,
before the process reads the first byte of input.
"""

import contextlib
import os
import resource
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from keystead.errors import StartRefused
from keystead.processes.sandbox import bpf, kernel, landlock, memory, privileges, rules
from keystead.processes.sandbox.process_kind import NOTHING, AllowedAccess, ProcessKind
from keystead.processes.sandbox.system_calls import ARCHITECTURE, MACHINE

INSECURE_OPTION: Final = "--insecure-no-sandbox"

_LOG: Final = 2
_STANDARD_STREAMS: Final = frozenset({0, 1, _LOG})

FILE_BYTES: Final[dict[ProcessKind, int]] = {"core": 0, "edge": 1024 * 1024}
"""The largest file that a process may write. An edge needs it for its TLS key, in anonymous
memory."""


class Protections(msgspec.Struct, frozen=True):
    """The protections that are in force in this process, and those that are missing."""

    in_force: tuple[str, ...]
    missing: tuple[str, ...]

    def fields(self) -> dict[str, str]:
        """Return both lists as fields of a log event."""
        return {"in_force": ", ".join(self.in_force), "missing": ", ".join(self.missing)}


class Sandbox:
    """The confinement of the process that makes it."""

    def __init__(self, kind: ProcessKind, *, is_filtered: bool = True) -> None:
        """If `is_filtered` is False, seccomp and Landlock are not used."""
        self._kind = kind
        self._is_filtered = is_filtered
        self._parent = os.getppid()
        self._allowed = NOTHING
        self._in_force = ["no new privileges", "no core dumps", "not debuggable"]
        self._missing: list[str] = []

    def isolate(self, *, parent: int, keep: Iterable[int]) -> None:
        """End with the parent, forbid core files and debuggers, and close all files except `keep`.

        `parent` is the ID of the process that started this one. If it is gone, this process exits.
        """
        self._parent = parent
        # Only the supervisor stops this process. Terminals and service managers signal the whole
        # group.
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        with _refusing(self._kind):
            self._stay_private()
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            os.dup2(_LOG, 0)  # Not even /dev/null is left open.
            _close_all_but(_STANDARD_STREAMS.union(keep))
            if self._is_filtered:
                bpf.install(bpf.assemble(rules.EARLY, default=bpf.ALLOW))

    def confine(
        self,
        allowed: AllowedAccess = NOTHING,
        *,
        user: int | None = None,
        file_bytes: int | None = None,
    ) -> None:
        """Become `user`, keep `allowed` of the machine, and stay out of swap.

        None for `user` stays the same user. `file_bytes` is the largest file that the process may
        write; without it, the one in FILE_BYTES. The process must have one thread. Raises
        StartRefused if the kernel refuses a step.
        """
        self._allowed = allowed
        kernel.load_end_of_threads()
        with _refusing(self._kind):
            if self._kind != "platform":
                self._note("no network", is_in_force=privileges.leave_network())
            is_other = user is not None and privileges.become(user)
            self._note("a user of its own", is_in_force=is_other)
            self._stay_private()
            self._lock_memory()
            limit = FILE_BYTES.get(self._kind) if file_bytes is None else file_bytes
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            if self._is_filtered:
                self._restrict_files()

    def lock_down(self) -> Protections:
        """Allow only the system calls in `rules`. Return what is in force.

        Raises StartRefused if the kernel refuses the filter.
        """
        if self._is_filtered:
            with _refusing(self._kind):
                bpf.install(bpf.assemble(rules.rules_for(self._kind, self._allowed)))
            self._in_force.insert(0, "seccomp")
        else:
            self._missing[:0] = ["seccomp, as asked for", "Landlock, as asked for"]
        return Protections(tuple(self._in_force), tuple(self._missing))

    def become(
        self,
        program: Path,
        options: Sequence[str],
        *,
        environment: Mapping[str, str],
        allowed: AllowedAccess,
        user: int | None,
        memory_bytes: int,
    ) -> NoReturn:
        """Replace this process by `program`, which runs as `user` and can reach what is `allowed`.

        SIGTERM ends it again. Raises StartRefused if the kernel refuses a step, or `user` cannot
        start the program.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        with _refusing(self._kind):
            os.setsid()  # A terminal signals the whole group.
            if user is not None and not privileges.become(user):
                raise StartRefused(f"The {self._kind} cannot run as user {user}.")
            self._stay_private()
            privileges.keep_only(frozenset())
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
            if self._is_filtered:
                if landlock.version():
                    landlock.restrict(allowed)
                bpf.install(bpf.assemble(rules.PROGRAM, default=bpf.ALLOW))
            try:
                os.execve(program, [str(program), *options], environment)  # noqa: S606 - no shell
            except OSError as error:
                raise StartRefused(
                    f"The user of {self._kind} cannot start {program}: {error.strerror}."
                ) from error

    def _stay_private(self) -> None:
        """End with the parent and forbid debuggers. Repeat after each change of credentials."""
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:
            os._exit(1)
        memory.forbid_dumps()

    def _lock_memory(self) -> None:
        memory.return_large_blocks(self._kind)
        is_lifted = memory.lift_limit()
        privileges.keep_only(frozenset() if is_lifted else {privileges.IPC_LOCK})
        is_unlimited = is_lifted or privileges.IPC_LOCK in privileges.capabilities()
        self._note("memory locked", is_in_force=memory.lock_all(is_unlimited=is_unlimited))

    def _restrict_files(self) -> None:
        version = landlock.version()
        if version:
            landlock.restrict(self._allowed)
        self._note(landlock.describe(version), is_in_force=version > 0)

    def _note(self, protection: str, *, is_in_force: bool) -> None:
        (self._in_force if is_in_force else self._missing).append(protection)


@contextlib.contextmanager
def _refusing(kind: ProcessKind) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartRefused(
            f"The {kind} cannot be confined: {error}. "
            f"{INSECURE_OPTION} starts without seccomp and Landlock."
        ) from error


def require_support() -> None:
    """Raise StartRefused unless this machine can confine the processes. Changes nothing."""
    if not ARCHITECTURE:
        problem = f"the sandbox does not know the architecture {MACHINE}"
    else:
        try:
            bpf.require_support()
        except OSError as error:
            problem = f"this kernel, or what runs us, has no seccomp filters ({error.strerror})"
        else:
            return
    raise StartRefused(
        f"Cannot confine the processes: {problem}. {INSECURE_OPTION} starts them without."
    )


def allow_files(wanted: int) -> int:
    """Raise the limit on open files towards `wanted`; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def _close_all_but(keep: frozenset[int]) -> None:
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    for number in range(highest + 1):
        if number not in keep:
            with contextlib.suppress(OSError):  # Not open.
                os.close(number)
