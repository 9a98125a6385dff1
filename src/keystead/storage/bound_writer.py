"""The commits of a bound store: each writes the root, so those that wait are made as one."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from keystead.errors import CorruptRecord, KeysteadError, StaleRevision, WriteRefused
from keystead.storage.conditional import present_conditions
from keystead.storage.key_value_store import Change, Check, KeyValueStore
from keystead.storage.turn import LOST_ATTEMPTS
from keystead.storage.versions import Versions

MOST_TOGETHER: Final = 64
"""The most commits that are made as one."""
_TOGETHER_BYTES: Final = 256 * 1024
_TOGETHER_WITH_PAGES_BYTES: Final = 1024 * 1024
"""With the pages of their versions, which grow with the number of records. etcd takes 1.5 MiB, and
the platform 8 MiB."""


class _Job:
    """A commit, and the future for its revision or for the error that refused it."""

    __slots__ = (
        "changed",
        "changes",
        "checks",
        "conditions",
        "done",
        "pages",
        "read",
        "size",
        "versions",
    )

    def __init__(
        self,
        versions: Versions,
        changes: Sequence[Change],
        checks: Sequence[Check],
        done: asyncio.Future[int],
    ) -> None:
        self.versions = versions
        self.changes = changes
        self.checks = checks
        self.done = done
        self.conditions = present_conditions()
        """Of the request that makes the commit, asked again when its turn comes."""
        self.changed = {change.path for change in changes}
        """The paths that the commit changes."""
        self.read = self.changed | {check.path for check in checks}
        """The paths whose revisions the commit may depend on."""
        self.size = sum([len(change.value or b"") for change in changes])
        """The bytes of the values that the commit writes."""
        self.pages = sum(map(versions.covers, self.changed))
        """The most pages that it writes."""

    def refusal(self) -> Exception | None:
        """Return why the request may not make the commit any more, or None if it may."""
        if self.conditions is None:
            return None
        try:
            self.conditions.require_allowed()
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
            return error
        return None


class BoundWriter:
    """Writes records with their versions, one commit after the other."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        self._waiting: deque[_Job] = deque()
        self._task: asyncio.Task[None] | None = None
        self.turn: Final = asyncio.Lock()
        """Held by a commit, and by a read that must not meet a commit under way."""

    async def commit(
        self, versions: Versions, changes: Sequence[Change], checks: Sequence[Check]
    ) -> int:
        """Apply all `changes` or none. Raises what the store does.

        Raises CorruptRecord if a page of the versions does not fit the root. If the caller is
        cancelled, the commit is made nevertheless.
        """
        job = _Job(versions, changes, checks, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all())
        return await job.done

    async def _write_all(self) -> None:
        while self._waiting:
            async with self.turn:
                if jobs := self._next_jobs():
                    await self._write(jobs)

    def _next_jobs(self) -> list[_Job]:
        """Return the first jobs that can be made as one commit: none depends on another."""
        jobs: list[_Job] = []
        changed, read = set[str](), set[str]()
        size = with_pages = page_bytes = 0
        while len(jobs) < MOST_TOGETHER and (job := self._next_allowed()) is not None:
            if not jobs:
                page_bytes = job.versions.page_bytes
            size += job.size
            with_pages += job.size + job.pages * page_bytes
            if jobs and (
                size > _TOGETHER_BYTES
                or with_pages > _TOGETHER_WITH_PAGES_BYTES
                or job.versions is not jobs[0].versions
                or not job.changed.isdisjoint(read)
                or not job.read.isdisjoint(changed)
            ):
                break
            jobs.append(self._waiting.popleft())
            changed |= job.changed
            read |= job.read
        return jobs

    def _next_allowed(self) -> _Job | None:
        """Return the first job, after refusing those whose requests are not allowed any more."""
        while self._waiting:
            job = self._waiting[0]
            refusal = job.refusal()
            if refusal is None:
                return job
            _refuse([self._waiting.popleft()], refusal)
        return None

    async def _write(self, jobs: Sequence[_Job]) -> None:
        try:
            revision = await self._commit(jobs)
        except (StaleRevision, WriteRefused, CorruptRecord) as error:
            if len(jobs) == 1:
                return _refuse(jobs, error)
            # Most of them can be made together, and only a few are to blame.
            half = len(jobs) // 2
            for some in (jobs[:half], jobs[half:]):
                await self._write(some)
        except Exception as error:  # noqa: BLE001  whatever it is, callers must hear of it
            _refuse(jobs, error)
        else:
            for job in jobs:
                if not job.done.done():
                    job.done.set_result(revision)
        return None

    async def _commit(self, jobs: Sequence[_Job]) -> int:
        """Commit the jobs with their versions, again while other devices change the root."""
        versions = jobs[0].versions
        changes = [change for job in jobs for change in job.changes]
        checks = list(dict.fromkeys(check for job in jobs for check in job.checks))
        lost = 0
        is_again = False
        try:
            while True:
                try:
                    return await self._attempt(versions, changes, checks)
                except (StaleRevision, CorruptRecord):
                    if versions.is_first:
                        raise
                    if await _is_lost_to_another(versions):
                        lost += 1
                    elif is_again:
                        raise
                    else:  # Another device may have given back its turn.
                        is_again = True
                if lost >= LOST_ATTEMPTS:
                    await versions.turn.take()
        except KeysteadError:
            await versions.turn.give_back()
            raise

    async def _attempt(
        self, versions: Versions, changes: Sequence[Change], checks: Sequence[Check]
    ) -> int:
        turn = versions.turn
        following = await versions.after(changes)
        revision = await self._store.commit(
            [*changes, *following.changes, *turn.changes()], checks=[*checks, *turn.checks()]
        )
        turn.is_over()
        versions.take(following, revision)
        return revision


async def _is_lost_to_another(versions: Versions) -> bool:
    # The root last: a turn that is over by now ended with a commit, which has changed the root.
    had_turn = await versions.turn.has_refused()
    return await versions.load() or had_turn


def _refuse(jobs: Sequence[_Job], error: Exception) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(error)
