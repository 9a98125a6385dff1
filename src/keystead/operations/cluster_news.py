"""What other members of the cluster change: this one forgets what it remembers of it.

What is always in memory is read again, by one reading at a time: what is heard of meanwhile is read
by the next one. A confirmation that comes meanwhile counts when it is true of the memory.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from keystead.errors import InvalidInput, KeysteadError
from keystead.model.ids import NamespaceId, UserId
from keystead.operations.freshness import Freshness
from keystead.operations.hsm import Hsm
from keystead.storage import key_paths
from keystead.storage.generations import POINTER
from keystead.storage.paths import SETTINGS, VERSIONS

_USERS: Final = "/authentication/"
_NAMESPACES: Final = "/namespace/"
_APPROVALS: Final = "/approval/"
_CHECK_SECONDS: Final = 1.0
_MOST_READ: Final = 1000
"""The most records that are read one by one. If more have changed, all are read."""
_READ_AT_ONCE: Final = 32


class _Confirmation(NamedTuple):
    as_of: float
    is_alone: bool


class ClusterNews:
    """Applies the news of the platform to the HSM, in their order."""

    def __init__(self, hsm: Hsm, freshness: Freshness) -> None:
        self._hsm = hsm
        self._freshness = freshness
        self._reading: asyncio.Task[None] | None = None
        self._unread: set[str] = set()
        """The records of namespaces and approvals that are to be read."""
        self._is_all_unread = False
        self._follows = False
        """Whether another generation may be in force."""
        self._heard: _Confirmation | None = None
        """The last confirmation, while something was changed before it that is not read yet."""
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
        self._heard = _Confirmation(as_of, is_alone)
        if self._reading is None:
            self._confirm()

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
            elif path.startswith((_NAMESPACES, _APPROVALS)) and len(self._unread) < _MOST_READ:
                self._unread.add(path)
                self._read_soon()
            else:
                self._reread(follows=False)
        except InvalidInput:
            self._reread(follows=False)

    def _reread(self, *, follows: bool) -> None:
        """Forget all, and answer nothing until what is always in memory is read again."""
        if self._hsm.session is not None:
            self._hsm.session.forget()
        if not self._is_all_unread:
            self._is_all_unread = True
            self._freshness.hold()
        self._follows |= follows
        self._read_soon()

    # --- reading ---------------------------------------------------------------------------

    def _read_soon(self) -> None:
        if self._reading is None:
            self._freshness.is_behind = True
            self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        """Read what was heard of, until nothing more is heard meanwhile."""
        try:
            while self._is_all_unread or self._unread:
                # What came before this reading begins is true when it has ended.
                heard, self._heard = self._heard, None
                await self._read_heard()
                if heard is not None:
                    self._freshness.confirmed(heard.as_of, is_alone=heard.is_alone)
        finally:
            self._reading = None
            self._freshness.is_behind = False
        self._confirm()

    async def _read_heard(self) -> None:
        some, self._unread = self._unread, set()
        is_all, self._is_all_unread = self._is_all_unread, False
        follows, self._follows = self._follows, False
        try:
            if is_all:
                await self._hsm.records_changed(follows=follows)
            else:
                await self._read_some(some)
        except KeysteadError as error:
            self._hsm.recovery.changes_unreadable(error.message)
        finally:
            if is_all:
                self._freshness.release()

    async def _read_some(self, paths: set[str]) -> None:
        async with self._hsm.changing:
            session = self._hsm.session
            if session is None or not self._hsm.is_operational:
                return  # All is read when there is a session again.
            session.keys.forget_counts()  # A quota may be among them.
            approvals = _names(paths, _APPROVALS)
            namespaces = [NamespaceId(name) for name in _names(paths, _NAMESPACES)]
            for start in range(0, len(paths), _READ_AT_ONCE):
                at = slice(start, start + _READ_AT_ONCE)
                await session.known_namespaces.read_again(namespaces[at])
                _ = await asyncio.gather(*map(session.approvals.read_again, approvals[at]))

    def _confirm(self) -> None:
        heard, self._heard = self._heard, None
        if heard is not None:
            self._freshness.confirmed(heard.as_of, is_alone=heard.is_alone)


def _names(paths: Iterable[str], folder: str) -> list[str]:
    """Return the IDs of the records in a folder. A dot begins what is no ID, such as a quota's."""
    names = [path.removeprefix(folder) for path in paths if path.startswith(folder)]
    return [name for name in names if not name.startswith(".")]
