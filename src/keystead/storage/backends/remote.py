"""A store in another process: the client in the core, and the server in the platform."""

from collections.abc import Awaitable, Sequence
from typing import NoReturn, Protocol

from keystead.errors import StaleRevision, StoreUnavailable, WriteRefused
from keystead.storage.key_value_store import (
    MISSING,
    Change,
    Check,
    KeyValueStore,
    Record,
    StoredValue,
)
from keystead.wire.connection import ConnectionEnded
from keystead.wire.platform_messages import (
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
    StoreRefusal,
    Write,
)

StoreQuestion = Get | List | Scan | Commit
StoreAnswer = Found | Listed | Scanned | Committed | StoreRefusal


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


class RemoteStore:
    """A KeyValueStore at the other end of a connection."""

    def __init__(self, exchanges: AsksStore) -> None:
        self._exchanges = exchanges

    async def get(self, path: str) -> StoredValue | None:
        """Return the record at `path`, or None.

        Raises StoreUnavailable if the other process is gone or cannot read.
        """
        answer = await self._ask(Get(self._exchanges.next_id(), path))
        if not isinstance(answer, Found):
            _refuse(answer)
        return None if answer.value is None else StoredValue(answer.value, answer.revision)

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order.

        Raises StoreUnavailable if the other process is gone or cannot read.
        """
        answer = await self._ask(List(self._exchanges.next_id(), start, stop, limit))
        if not isinstance(answer, Listed):
            _refuse(answer)
        return answer.paths

    async def scan(self, start: str, stop: str, *, limit_bytes: int) -> Sequence[Record]:
        """Return the first records in [start, stop), about `limit_bytes` of them.

        Raises StoreUnavailable if the other process is gone or cannot read.
        """
        answer = await self._ask(Scan(self._exchanges.next_id(), start, stop, limit_bytes))
        if not isinstance(answer, Scanned):
            _refuse(answer)
        return [Record(one.path, StoredValue(one.value, one.revision)) for one in answer.records]

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Make all `changes` durable or none.

        Raises what `KeyValueStore.commit` does, and StoreUnavailable also if the other process is
        gone.
        """
        answer = await self._ask(
            Commit(
                self._exchanges.next_id(),
                [Write(change.path, change.value, change.expected) for change in changes],
                [Condition(check.path, check.revision) for check in checks],
            )
        )
        if not isinstance(answer, Committed):
            _refuse(answer)
        return answer.revision

    async def _ask(self, question: StoreQuestion) -> StoreAnswer:
        try:
            return await self._exchanges.ask(question)
        except ConnectionEnded as error:
            raise StoreUnavailable("The store is out of reach.") from error


def _refuse(answer: StoreAnswer) -> NoReturn:
    if isinstance(answer, StoreRefusal) and answer.reason == "stale":
        raise StaleRevision(answer.message)
    if isinstance(answer, StoreRefusal) and answer.reason == "unwritable":
        raise WriteRefused(answer.message)
    if isinstance(answer, StoreRefusal):
        raise StoreUnavailable(answer.message)
    raise StoreUnavailable("The store gave an answer to another question.")


async def answer(store: KeyValueStore, question: StoreQuestion) -> StoreAnswer:
    """Return the reply of `store` to one question. Errors of the store become a reply too."""
    try:
        return await _answer(store, question)
    except StaleRevision as error:
        return StoreRefusal(question.id, "stale", error.message)
    except WriteRefused as error:
        return StoreRefusal(question.id, "unwritable", error.message)
    except StoreUnavailable as error:
        return StoreRefusal(question.id, "unavailable", error.message)


async def _answer(store: KeyValueStore, question: StoreQuestion) -> StoreAnswer:
    match question:
        case Get():
            found = await store.get(question.path)
            if found is None:
                return Found(question.id, None, MISSING)
            return Found(question.id, found.value, found.revision)
        case List(start=start, stop=stop):
            paths = await store.list(start, stop, limit=question.limit)
            return Listed(question.id, paths)
        case Scan(start=start, stop=stop):
            records = await store.scan(start, stop, limit_bytes=question.limit_bytes)
            return Scanned(
                question.id, [ScannedRecord(path, e.value, e.revision) for path, e in records]
            )
        case Commit():
            changes = [Change(w.path, w.value, w.expected) for w in question.writes]
            checks = [Check(c.path, c.revision) for c in question.conditions]
            return Committed(question.id, await store.commit(changes, checks=checks))
