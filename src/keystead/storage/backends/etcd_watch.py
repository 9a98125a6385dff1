"""What other members of a cluster change, as soon as this one knows, and up to when it knows all.

What this device changes, it knows already: it would forget its own leases and logins.

The watch is over what each device writes with its last transaction, which names the records that
are changed, and over the record that says which generation is in force. The changes themselves
would be many events for each transaction. A watch that is cut off stays silent, so silence says
nothing. Every quarter of the time that a member may answer from its caches, a majority
is asked for its revision, and then etcd for whether the watch has reached that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from keystead.deadlines import within
from keystead.etcd import calls
from keystead.etcd.client import EtcdClient, Stream
from keystead.etcd.errors import AnswerTooLarge, EtcdError, EtcdUnavailable
from keystead.etcd.messages import (
    KeyValue,
    MemberListRequest,
    RangeRequest,
    WatchCreateRequest,
    WatchProgressRequest,
    WatchRequest,
    WatchResponse,
)
from keystead.storage.backends.etcd import ROOT
from keystead.storage.backends.etcd_writer import AFTER_WRITERS, LAST, WRITERS, changed_keys
from keystead.storage.generations import POINTER

_POINTER_KEY: Final = (ROOT + POINTER).encode()
_POINTER_WATCH: Final = 1
_WRITERS_WATCH: Final = 2
_RANGES: Final = (
    (_POINTER_WATCH, _POINTER_KEY, b""),
    (_WRITERS_WATCH, WRITERS, AFTER_WRITERS),
)
_ALL_WATCHES: Final = 2**64 - 1
"""The number, -1, in an answer about the progress of all watches."""

_PAUSE_SECONDS: Final = 0.1
_PROGRESS_SECONDS: Final = 2.0
"""How long the watch may take to reach a revision, before it is begun again. If that happens twice
in a row, it starts over: to tell what is long past could take for ever."""
_ASK_AGAIN_SECONDS: Final = 0.05
"""etcd does not answer a question for the progress while a watch lags behind."""


class Follower(Protocol):
    """What is told of changes, in order."""

    def changed(self, paths: Sequence[str]) -> None:
        """Hear that these records were changed or deleted."""
        ...

    def lost(self) -> None:
        """Hear that any record may have changed."""
        ...

    def up_to_date(self, as_of: float, *, is_alone: bool) -> None:
        """Hear that everything acknowledged before `as_of` has been told.

        `is_alone` says that the cluster had no other member then.
        """
        ...


class EtcdWatch:
    """Tells a follower what changes. `run` is its task."""

    def __init__(
        self,
        client: EtcdClient,
        follower: Follower,
        clock: Callable[[], float],
        *,
        every_seconds: float,
        is_own: Callable[[int], Awaitable[bool]],
    ) -> None:
        """`every_seconds` is the time between two confirmations. `clock` is monotonic.

        The follower is not told of revisions that are its own, as `is_own` says.
        """
        self._client = client
        self._follower = follower
        self._clock = clock
        self._every_seconds = every_seconds
        self._is_own = is_own
        self._seen: int | None = None
        """The revision up to which all changes were told. None if the next watch starts over."""
        self._known = 0
        """The revision that the watches begin with, whose changes were told before."""
        self._generation = b""
        self._cluster = 0
        self._reached = 0
        self._has_lagged = False
        """Whether the watch before this one has not reached its revision in time."""
        self._progressed = asyncio.Event()
        self._wanted = asyncio.Event()

    def confirm_now(self) -> None:
        """Confirm before the next quarter is over. Questions at the same time share an answer."""
        self._wanted.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except AnswerTooLarge:
                self._seen = None
            except EtcdError:
                pass  # The follower notices by itself that it is no longer up to date.
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow(self) -> None:
        """Watch until the generation changes or the watch ends.

        Raises EtcdError if etcd refuses the watch or is out of reach.
        """
        # Not the next revision: etcd 3.5.30 is silent about how far a watch is that begins with a
        # revision to come.
        self._known = await self._start()
        generation = self._generation
        async with self._client.open(calls.WATCH) as stream:
            for number, key, stop in _RANGES:
                create = WatchCreateRequest(key, stop, self._known, watch_id=number, fragment=True)
                stream.send(WatchRequest(create_request=create))
                await self._created(stream)
            if self._generation != generation:
                return  # Another one came into force before both watches had begun.
            if self._seen is None:
                self._follower.lost()
                self._seen = self._known
            self._reached = 0
            tasks = [
                asyncio.create_task(self._read(stream)),
                asyncio.create_task(self._confirm_forever(stream)),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _start(self) -> int:
        """Return the revision to watch from: the last seen, or the present one to start over."""
        found = await self._client.call(calls.RANGE, RangeRequest(_POINTER_KEY))
        generation = found.kvs[0].value if found.kvs else b"0"
        if (generation, found.header.cluster_id) != (self._generation, self._cluster):
            self._seen = None
        self._generation, self._cluster = generation, found.header.cluster_id
        return found.header.revision if self._seen is None else self._seen

    async def _created(self, stream: Stream[WatchRequest, WatchResponse]) -> None:
        """Wait for the answer to a new watch, and take what the one before has to tell."""
        while not await self._take(await stream.receive()):
            continue

    async def _read(self, stream: Stream[WatchRequest, WatchResponse]) -> None:
        generation = self._generation
        while self._generation == generation:
            await self._take(await stream.receive())

    async def _take(self, answer: WatchResponse | None) -> bool:
        """Tell what an answer tells. Return whether it says that a watch was created."""
        if answer is None or answer.canceled:
            self._seen = None if answer and answer.compact_revision else self._seen
            raise EtcdUnavailable("the watch has ended.")
        if answer.events:
            await self._changed(answer)
        elif answer.watch_id == _ALL_WATCHES:
            self._reached = answer.header.revision
            self._seen = self._reached
            self._progressed.set()
        return answer.created

    async def _changed(self, answer: WatchResponse) -> None:
        unseen = [event.kv for event in answer.events if event.kv.mod_revision > self._known]
        if not unseen:
            return
        paths: list[str] = []
        for one in unseen:
            if not await self._is_own(one.mod_revision):
                paths += self._named(one)
        if paths:
            self._follower.changed(paths)
        if answer.watch_id == _POINTER_WATCH:
            self._seen, self._generation = None, b""
        elif self._seen is not None:
            # A fragment may have a part of its last revision, and all of those before.
            told = unseen[-1].mod_revision - 1 if answer.fragment else unseen[-1].mod_revision
            self._seen = max(self._seen, told)

    def _named(self, event: KeyValue) -> Sequence[str]:
        """Return the paths of records in the generation in force that an event is about."""
        if event.key == _POINTER_KEY:
            return [POINTER]
        if not event.key.endswith(LAST):
            return []
        changed = changed_keys(event.value)
        if changed is None:
            self._follower.lost()
            return []
        generation = self._generation.decode(errors="replace")
        below = f"{ROOT}/{generation}/"
        return [path.removeprefix(ROOT) for path in changed if path.startswith(below)]

    async def _confirm_forever(self, stream: Stream[WatchRequest, WatchResponse]) -> None:
        while True:
            self._wanted.clear()
            asked = self._clock()
            try:
                found = await self._client.call(
                    calls.RANGE, RangeRequest(_POINTER_KEY, count_only=True)
                )
                cluster = await self._client.call(calls.MEMBER_LIST, MemberListRequest(True))
            except EtcdUnavailable:  # There is no majority now. The watch may still be sound.
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            await self._until_reached(found.header.revision, stream)
            if self._seen is None:
                return  # Another generation is in force, and is not watched yet.
            self._follower.up_to_date(asked, is_alone=len(cluster.members) == 1)
            await _set_within(self._every_seconds, self._wanted)

    async def _until_reached(
        self, revision: int, stream: Stream[WatchRequest, WatchResponse]
    ) -> None:
        end = self._clock() + _PROGRESS_SECONDS
        while self._reached < revision:
            if self._clock() > end:
                if self._has_lagged:
                    self._seen = None
                self._has_lagged = not self._has_lagged
                raise EtcdUnavailable("the watch lags behind.")
            self._progressed.clear()
            stream.send(WatchRequest(progress_request=WatchProgressRequest()))
            await _set_within(_ASK_AGAIN_SECONDS, self._progressed)
        self._has_lagged = False


async def _set_within(seconds: float, event: asyncio.Event) -> None:
    """Wait until `event` is set, or for so many seconds."""
    with suppress(TimeoutError):
        _ = await within(seconds, event.wait())
