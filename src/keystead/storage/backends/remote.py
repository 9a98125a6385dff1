"""A store in another process: the core's half, and the half that answers for it in the platform."""

from collections.abc import Awaitable, Sequence
from typing import NoReturn, Protocol

from keystead.errors import StaleRevision, StoreUnavailable
from keystead.storage.key_value_store import MISSING, Change, Check, Entry, KeyValueStore
from keystead.wire.connection import ConnectionEnded
from keystead.wire.messages import (
    Commit,
    Committed,
    Condition,
    Found,
    Get,
    List,
    Listed,
    Refused,
    Write,
)

Question = Get | List | Commit
Answer = Found | Listed | Committed | Refused


class Calls(Protocol):
    """What RemoteStore needs of a connection; `keystead.wire.connection.Calls` is one."""

    def next_id(self) -> int:
        """Return the id to make the next call with."""
        ...

    def call(self, message: Question, /) -> Awaitable[Answer]:
        """Send `message` and return the reply to it. Raises ConnectionEnded."""
        ...


class RemoteStore:
    """A KeyValueStore at the other end of a connection."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get(self, path: str) -> Entry | None:
        """Return the record at `path`, or None. Raises StoreUnavailable."""
        answer = await self._ask(Get(self._calls.next_id(), path))
        if not isinstance(answer, Found):
            _refuse(answer)
        return None if answer.value is None else Entry(answer.value, answer.revision)

    async def list(self, start: str, stop: str, *, limit: int) -> list[str]:
        """Return at most `limit` paths in [start, stop), in order. Raises StoreUnavailable."""
        answer = await self._ask(List(self._calls.next_id(), start, stop, limit))
        if not isinstance(answer, Listed):
            _refuse(answer)
        return answer.paths

    async def commit(self, changes: Sequence[Change], *, checks: Sequence[Check] = ()) -> int:
        """Make all `changes` durable or none. Raises StaleRevision, StoreUnavailable."""
        answer = await self._ask(
            Commit(
                self._calls.next_id(),
                [Write(change.path, change.value, change.expected) for change in changes],
                [Condition(check.path, check.revision) for check in checks],
            )
        )
        if not isinstance(answer, Committed):
            _refuse(answer)
        return answer.revision

    async def _ask(self, question: Question) -> Answer:
        try:
            return await self._calls.call(question)
        except ConnectionEnded as error:
            raise StoreUnavailable("The store is out of reach.") from error


def _refuse(answer: Answer) -> NoReturn:
    if isinstance(answer, Refused) and answer.reason == "stale":
        raise StaleRevision(answer.message)
    if isinstance(answer, Refused):
        raise StoreUnavailable(answer.message)
    raise StoreUnavailable("The store gave an answer to another question.")


async def answer(store: KeyValueStore, question: Question) -> Answer:
    """Return the reply to one question, put to `store`. Raises nothing of its own."""
    try:
        if isinstance(question, Get):
            entry = await store.get(question.path)
            if entry is None:
                return Found(question.id, None, MISSING)
            return Found(question.id, entry.value, entry.revision)
        if isinstance(question, List):
            paths = await store.list(question.start, question.stop, limit=question.limit)
            return Listed(question.id, paths)
        changes = [Change(w.path, w.value, w.expected) for w in question.writes]
        checks = [Check(c.path, c.revision) for c in question.conditions]
        return Committed(question.id, await store.commit(changes, checks=checks))
    except StaleRevision as error:
        return Refused(question.id, "stale", error.message)
    except StoreUnavailable as error:
        return Refused(question.id, "unavailable", error.message)
