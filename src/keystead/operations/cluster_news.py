"""What other members of the cluster change: this one forgets what it remembers of it."""

import asyncio
from collections.abc import Sequence
from typing import Final

from keystead.errors import InvalidInput, KeysteadError
from keystead.model.ids import UserId
from keystead.operations.freshness import Freshness
from keystead.operations.hsm import Hsm
from keystead.storage import key_paths
from keystead.storage.generations import POINTER
from keystead.storage.paths import SETTINGS, VERSIONS

_USERS: Final = "/authentication/"
_CHECK_SECONDS: Final = 1.0


class ClusterNews:
    """Applies the news of the platform to the HSM, in their order."""

    def __init__(self, hsm: Hsm, freshness: Freshness) -> None:
        self._hsm = hsm
        self._freshness = freshness
        self._rereading: set[asyncio.Task[None]] = set()
        self._serves_minority = False

    def changed(self, paths: Sequence[str]) -> None:
        """Forget what was read from these records."""
        for path in paths:
            logical = self._hsm.store.logical(path)
            if path == POINTER:
                self._reread(follows=True)
            elif logical is not None:
                self._record_changed(logical)

    def any_changed(self) -> None:
        """Forget everything that was read from the store."""
        self._reread(follows=True)

    def up_to_date(self, as_of: float, *, is_alone: bool) -> None:
        """Hear that all changes before `as_of` have been told, and if there are other members."""
        self._freshness.confirmed(as_of, is_alone=is_alone)

    async def notice_silence(self) -> None:
        """Become Failed when nothing was confirmed for too long. Run as a background task.

        It also logs when the HSM begins to answer without a majority, and when it ends that.
        """
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            self._log_minority()
            if self._freshness.is_lost:
                self._hsm.recovery.store_lost()

    def _log_minority(self) -> None:
        serves = self._freshness.serves_minority and self._hsm.is_operational
        if serves and not self._serves_minority:
            self._hsm.log.error(
                "answering without a majority of the cluster",
                seconds=round(self._freshness.silent_seconds),
            )
        elif self._serves_minority and not serves:
            self._hsm.log.warning("no longer answering without a majority of the cluster")
        self._serves_minority = serves

    def _record_changed(self, path: str) -> None:
        session = self._hsm.session
        if session is None or path.startswith((VERSIONS, SETTINGS)):
            return
        try:
            if path.startswith(key_paths.ROOT):
                session.keys.forget(key_paths.parse(path.removeprefix(key_paths.ROOT)))
            elif path.startswith(_USERS):
                session.credentials.revoke(UserId.parse(path.removeprefix(_USERS)))
            else:
                self._reread(follows=False)
        except InvalidInput:
            self._reread(follows=False)

    def _reread(self, *, follows: bool) -> None:
        """Forget all, and answer nothing until what is always in memory is read again."""
        if self._hsm.session is not None:
            self._hsm.session.forget()
        self._freshness.hold()
        task = asyncio.get_running_loop().create_task(self._read_again(follows=follows))
        self._rereading.add(task)
        task.add_done_callback(self._rereading.discard)

    async def _read_again(self, *, follows: bool) -> None:
        try:
            await self._hsm.records_changed(follows=follows)
        except KeysteadError as error:
            self._hsm.recovery.changes_unreadable(error.message)
        finally:
            self._freshness.release()
