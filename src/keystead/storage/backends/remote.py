"""A store in another process: the client in the core, and the server in the platform."""

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from itertools import count
from typing import Final, NoReturn, Protocol

from keystead.errors import (
    CommitTooLarge,
    SnapshotUnavailable,
    StaleRevision,
    StoreUnavailable,
    WriteRefused,
)
from keystead.storage.key_value_store import (
    MISSING,
    Change,
    Check,
    KeyValueStore,
    Readable,
    Record,
    Snapshot,
    StoredValue,
)
from keystead.wire.connection import ConnectionEnded
from keystead.wire.frames import FrameTooLong
from keystead.wire.platform_messages import (
    AskSnapshot,
    Commit,
    Committed,
    Condition,
    Found,
    Get,
    List,
    Listed,
    Scan,
    Scanned,
    ScannedRecord,
    SnapshotKept,
    StoreRefusal,
    Write,
)

StoreQuestion = Get | List | Scan | Commit | AskSnapshot
StoreAnswer = Found | Listed | Scanned | Committed | SnapshotKept | StoreRefusal

MOST_SNAPSHOTS: Final = 16
"""The most snapshots at a time: each may need a connection and space on the disk."""


class AsksStore(Protocol):
    """What RemoteStore needs of `keystead.wire.connection.Exchanges`."""

    def next_id(self) -> int:
        """Return the id of the next question."""
        ...

    def ask(self, message: StoreQuestion, /) -> Awaitable[StoreAnswer]:
        """Send `message` and return the reply to it.

        Raises ConnectionEnded if the other process is gone.
        """
        ...


class _RemoteReads:
    """What is read over a connection: records as they are now, or as they were in a snapshot."""

    def __init__(self, exchanges: AsksStore, snapshot: int = 0) -> None:
        self._exchanges = exchanges
        self._snapshot = snapshot

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None.

        Raises StoreUnavailable if the other process is gone or cannot read.
        """
        answer = await self._ask(Get(self._exchanges.next_id(), path, self._snapshot))
        if not isinstance(answer, Found):
            _refuse(answer)
        return None if answer.value is None else StoredValue(answer.value, answer.revision)

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them.

        Raises StoreUnavailable if the other process is gone or cannot read.
        """
        number = self._exchanges.next_id()
        answer = await self._ask(Scan(number, start, stop, limit_bytes, self._snapshot))
        if not isinstance(answer, Scanned):
            _refuse(answer)
        return [Record(one.path, StoredValue(one.value, one.revision)) for one in answer.records]

    async def _ask(self, question: StoreQuestion) -> StoreAnswer:
        try:
            return await self._exchanges.ask(question)
        except ConnectionEnded as error:
            raise StoreUnavailable("The store is out of reach.") from error


class _RemoteSnapshot(_RemoteReads):
    """Records as they were, which the other end of the connection keeps."""

    async def close(self) -> None:
        """Have the other process keep the records no longer."""
        with suppress(StoreUnavailable):
            _ = await self._ask(AskSnapshot(self._exchanges.next_id(), self._snapshot))


class RemoteStore(_RemoteReads):
    """A KeyValueStore at the other end of a connection."""

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order.

        Raises StoreUnavailable if the other process is gone or cannot read.
        """
        answer = await self._ask(List(self._exchanges.next_id(), start, stop, limit))
        if not isinstance(answer, Listed):
            _refuse(answer)
        return answer.paths

    async def snapshot(self) -> Snapshot:
        """Return the records as they are now.

        Raises what `KeyValueStore.snapshot` does, and StoreUnavailable also if the other process is
        gone.
        """
        answer = await self._ask(AskSnapshot(self._exchanges.next_id()))
        if not isinstance(answer, SnapshotKept):
            _refuse(answer)
        return _RemoteSnapshot(self._exchanges, answer.number)

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Make all `changes` durable or none.

        Raises what `KeyValueStore.commit` does, and StoreUnavailable also if the other process is
        gone.
        """
        question = Commit(
            self._exchanges.next_id(),
            [Write(change.path, change.value, change.expected) for change in changes],
            [Condition(check.path, check.revision) for check in checks],
        )
        try:
            answer = await self._ask(question)
        except FrameTooLong as error:
            raise CommitTooLarge(f"The store does not take so much at once: {error}.") from None
        if not isinstance(answer, Committed):
            _refuse(answer)
        return answer.revision


_REFUSALS: Final = {
    "stale": StaleRevision,
    "unwritable": WriteRefused,
    "too large": CommitTooLarge,
    "unavailable": StoreUnavailable,
    "snapshot": SnapshotUnavailable,
}


def _refuse(answer: StoreAnswer) -> NoReturn:
    if isinstance(answer, StoreRefusal):
        raise _REFUSALS[answer.reason](answer.message)
    raise StoreUnavailable("The store gave an answer to another question.")


class StoreAnswers:
    """The server: what answers the questions to a store."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        self._snapshots: dict[int, Snapshot] = {}
        self._numbers = count(1)

    async def to(self, question: StoreQuestion) -> StoreAnswer:
        """Return the reply to one question. Errors of the store become a reply too."""
        try:
            return await self._answer(question)
        except StaleRevision as error:
            return StoreRefusal(question.id, "stale", error.message)
        except CommitTooLarge as error:
            return StoreRefusal(question.id, "too large", error.message)
        except WriteRefused as error:
            return StoreRefusal(question.id, "unwritable", error.message)
        except SnapshotUnavailable as error:
            return StoreRefusal(question.id, "snapshot", error.message)
        except StoreUnavailable as error:
            return StoreRefusal(question.id, "unavailable", error.message)

    async def _answer(self, question: StoreQuestion) -> StoreAnswer:
        match question:
            case Get():
                found = await self._seen(question.snapshot).get(question.path)
                if found is None:
                    return Found(question.id, None, MISSING)
                return Found(question.id, found.value, found.revision)
            case List(start=start, stop=stop):
                paths = await self._store.list(start, stop, limit=question.limit)
                return Listed(question.id, paths)
            case Scan(start=start, stop=stop, limit_bytes=limit_bytes):
                seen = self._seen(question.snapshot)
                records = await seen.scan(start, stop, limit_bytes=limit_bytes)
                return Scanned(
                    question.id, [ScannedRecord(path, e.value, e.revision) for path, e in records]
                )
            case Commit():
                changes = [Change(w.path, w.value, w.expected) for w in question.writes]
                checks = [Check(c.path, c.revision) for c in question.conditions]
                return Committed(question.id, await self._store.commit(changes, checks=checks))
            case AskSnapshot():
                return SnapshotKept(question.id, await self._keep(question.number))

    def _seen(self, number: int) -> Readable:
        if not number:
            return self._store
        if number not in self._snapshots:
            raise SnapshotUnavailable("There is no such snapshot.")
        return self._snapshots[number]

    async def _keep(self, number: int) -> int:
        """Take a snapshot for number 0, or end the one of another number. Return its number."""
        if number:
            ended = self._snapshots.pop(number, None)
            if ended is not None:
                await ended.close()
            return number
        if len(self._snapshots) >= MOST_SNAPSHOTS:
            raise SnapshotUnavailable("Too many backups are being made.")
        taken = await self._store.snapshot()
        number = next(self._numbers)
        self._snapshots[number] = taken
        return number
