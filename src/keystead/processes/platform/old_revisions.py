"""Has etcd forget old revisions before they fill its database, and keeps room for deletions.

etcd forgets what is older than an hour by itself. In an hour, changes of a large store can write
more than the database may have: each brings the page of its version along.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from keystead.etcd import calls
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import EtcdError
from keystead.etcd.messages import CompactionRequest, StatusRequest
from keystead.journal.log import Log

GROWN_BYTES: Final = 2**30
"""By how much the database grows before old revisions are forgotten."""
KEPT_SECONDS: Final = 60.0
"""Younger revisions are kept. A backup reads at one revision."""
_LOOK_SECONDS: Final = 5.0


class OldRevisions:
    """The old revisions in etcd. Each member looks after them while it leads the others."""

    def __init__(
        self,
        client: EtcdClient,
        log: Log,
        now: Callable[[], float],
        *,
        used: Callable[[int], None],
        grown_bytes: int = GROWN_BYTES,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        """`now` is a monotonic clock, in seconds. `used` is told how many bytes are in use."""
        self._client = client
        self._log = log
        self._now = now
        self._used = used
        self._grown_bytes = grown_bytes
        self._kept_seconds = kept_seconds
        self._least_bytes = 0
        """The least that was in use since revisions were last forgotten."""
        self._forgotten = 0
        """What was before this revision is forgotten."""
        self._seen: deque[tuple[float, int]] = deque()
        """When the store had which revision: the last one that may be forgotten, and later ones."""

    async def look_forever(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with suppress(EtcdError):
                await self.look()

    async def look(self) -> None:
        """Have etcd forget old revisions if its database has grown.

        Raises EtcdError if etcd refuses or does not answer.
        """
        status = await self._client.call(calls.STATUS, StatusRequest())
        self._seen.append((self._now(), status.header.revision))
        while len(self._seen) > 1 and self._seen[1][0] <= self._now() - self._kept_seconds:
            _ = self._seen.popleft()
        used = status.db_size_in_use
        self._used(used)
        self._least_bytes = min(self._least_bytes, used)
        since, revision = self._seen[0]
        if (
            used < self._least_bytes + self._grown_bytes
            or since > self._now() - self._kept_seconds
            or revision <= self._forgotten
            or status.leader != status.header.member_id
        ):
            return
        _ = await self._client.call(calls.COMPACT, CompactionRequest(revision))
        self._least_bytes, self._forgotten = used, revision
        self._log.info("etcd forgets old revisions", used=str(used), before=str(revision))
