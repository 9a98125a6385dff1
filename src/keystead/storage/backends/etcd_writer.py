"""What commits to etcd: many commits in one transaction, and a certain answer after a doubt.

One transaction is under way at a time. Each commit is a transaction inside of it, with its own
conditions. A transaction that etcd does not answer may still be made seconds later, so reading back
is not enough. ADR 41 has the reasons:

    /writer/<device>/fence           each transaction compares its revision
    /writer/<device>/last            which transaction was made last, and what it changed
    /writer/<device>/stale/<place>   written by a commit whose conditions did not hold
"""

import asyncio
import os
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from keystead.errors import (
    CommitTooLarge,
    KeysteadError,
    StaleRevision,
    StoreUnavailable,
    WriteRefused,
)
from keystead.etcd import calls
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import EtcdInDoubt, EtcdRefused, EtcdUnavailable
from keystead.etcd.messages import (
    Compare,
    DeleteRangeRequest,
    InnerTxnResponse,
    PutRequest,
    RangeRequest,
    RangeResponse,
    RequestOp,
    TxnRequest,
    TxnResponse,
)
from keystead.etcd.protobuf import Malformed, ProtobufMessage, decode, encode
from keystead.storage.key_value_store import Change, Check

MAX_OPERATIONS: Final = 512
"""What etcd must allow in a transaction (--max-txn-ops)."""
_MAX_REQUEST_BYTES: Final = 1536 * 1024
"""What etcd takes in a request (--max-request-bytes, which is left as it is)."""
_TOO_LARGE: Final = "request is too large"
_MAX_GROUP: Final = 100
_MAX_GROUP_BYTES: Final = 512 * 1024
_COMMIT_BYTES: Final = 64
"""About what a commit or a record in it takes besides paths and values."""

PATIENCE_SECONDS: Final = 6.0
"""How long a group is tried again. An election of a new leader takes one or two seconds."""
_PAUSE_SECONDS: Final = 0.1
_TOKEN_BYTES: Final = 16
WRITERS: Final = b"/writer/"
AFTER_WRITERS: Final = b"/writer0"
LAST: Final = b"/last"
"""The end of the key where a device keeps its last transaction."""
_REMEMBERED: Final = 4096
"""Revisions that are remembered as this device's. A watch is never so far behind for long."""


class LastTransaction(ProtobufMessage, frozen=True):
    """What each transaction writes, so that one small record tells the members what it changes.

    Commits in it that are stale have changed nothing. Their paths are here nevertheless.
    """

    token: Annotated[bytes, 1] = b""
    changed: Annotated[tuple[str, ...], 2] = ()


def changed_keys(record: bytes) -> Sequence[str] | None:
    """Return the keys in etcd that a device's last transaction names, or None if that is not known.

    Earlier software writes a token alone, and later software may say more than is understood here.
    """
    try:
        last = decode(LastTransaction, record)
    except Malformed:
        return None
    is_understood = len(last.token) == _TOKEN_BYTES and encode(last) == record
    return last.changed if is_understood else None


@dataclass(frozen=True, slots=True)
class EtcdJob:
    """A commit, with the keys that records have in etcd, and the future for its outcome."""

    changes: Sequence[Change]
    checks: Sequence[Check]
    revision: asyncio.Future[int]

    @property
    def size(self) -> int:
        """About how many bytes it takes in a transaction."""
        records = sum(3 * len(one.path) + len(one.value or b"") for one in self.changes)
        conditions = sum(len(one.path) for one in self.checks)
        more = _COMMIT_BYTES * (1 + len(self.changes) + len(self.checks))
        return records + conditions + more

    @property
    def operations(self) -> int:
        """How many operations etcd counts."""
        expectations = sum(change.expected is not None for change in self.changes)
        return max(len(self.changes), expectations + len(self.checks))

    @property
    def is_too_large(self) -> bool:
        """Whether a transaction with this commit alone may be more than etcd takes."""
        return self.size > _MAX_REQUEST_BYTES or self.operations + 2 > MAX_OPERATIONS

    def transaction(self, if_stale: bytes) -> RequestOp:
        """Return the commit as an operation. It writes to `if_stale` if it is stale."""
        compare = [_compare(one.path, one.revision) for one in self.checks]
        compare += [
            _compare(one.path, one.expected) for one in self.changes if one.expected is not None
        ]
        success = tuple(_operation(change) for change in self.changes)
        stale = RequestOp(request_put=PutRequest(if_stale))
        return RequestOp(request_txn=TxnRequest(tuple(compare), success, (stale,)))

    def settle(self, outcome: int | KeysteadError) -> None:
        """Tell the caller, unless it has gone."""
        if self.revision.done():
            return
        if isinstance(outcome, KeysteadError):
            self.revision.set_exception(outcome)
        else:
            self.revision.set_result(outcome)


@dataclass(slots=True)
class Group:
    """Commits that can be made in any order, so that one transaction can make them all.

    etcd evaluates the conditions of all of them before it changes anything.
    """

    jobs: list[EtcdJob] = field(default_factory=list)
    _changed: set[str] = field(default_factory=set)
    _checked: set[str] = field(default_factory=set)
    _size: int = 0
    _widest: int = 0

    def takes(self, job: EtcdJob) -> bool:
        """Whether the commit fits in, and touches nothing that another one here changes."""
        if not self.jobs:
            return True
        widest = max(self._widest, job.operations)
        if len(self.jobs) >= min(_MAX_GROUP, MAX_OPERATIONS - 2 - widest):
            return False
        if self._size + job.size > _MAX_GROUP_BYTES:
            return False
        changed = {change.path for change in job.changes}
        checked = {check.path for check in job.checks}
        return not (changed & (self._changed | self._checked) or checked & self._changed)

    def add(self, job: EtcdJob) -> None:
        """Take the commit in."""
        self.jobs.append(job)
        self._changed |= {change.path for change in job.changes}
        self._checked |= {check.path for check in job.checks}
        self._size += job.size
        self._widest = max(self._widest, job.operations)


class EtcdWriter:
    """Makes commits in the order of their arrival. One event loop at a time may use it."""

    def __init__(self, client: EtcdClient, *, device: str) -> None:
        """`device` is the name of this device. No other may write under it at the same time."""
        self._client = client
        own = WRITERS + device.encode()
        self._fence = own + b"/fence"
        self._last = own + LAST
        self._stale = own + b"/stale/"
        self._fence_revision: int | None = None
        """The revision of the fence, or None if it must be raised before the next commit."""
        self._is_in_doubt = False
        """Whether a transaction could still be made that nobody waits for."""
        self._queue: deque[EtcdJob] = deque()
        self._running: asyncio.Task[None] | None = None
        self._revisions = OrderedDict[int, None]()
        """The last revisions that this device has made, and knows to be made."""
        self._is_answered = asyncio.Event()
        """Whether no transaction is under way."""
        self._is_answered.set()

    def add(self, job: EtcdJob) -> None:
        """Queue a commit."""
        self._queue.append(job)
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def finish(self) -> None:
        """Wait until nothing is queued."""
        while self._running is not None:
            await asyncio.wait([self._running])

    async def has_made(self, revision: int) -> bool:
        """Return whether the changes of this revision, which has been seen, are of this device.

        The answer to the transaction may come later than the changes. False if this device does not
        know that it has made them.
        """
        if revision not in self._revisions:
            await self._is_answered.wait()
        return revision in self._revisions

    async def _run(self) -> None:
        try:
            while self._queue:
                self._is_answered.clear()
                await self._write(self._next_group().jobs)
                self._is_answered.set()
        finally:
            self._running = None
            self._is_answered.set()

    def _next_group(self) -> Group:
        group = Group()
        while self._queue and group.takes(self._queue[0]):
            group.add(self._queue.popleft())
        return group

    async def _write(self, jobs: Sequence[EtcdJob]) -> None:
        """Make the commits, or tell each caller why not."""
        try:
            outcomes = await self._outcomes(jobs)
        except EtcdRefused as error:
            if len(jobs) > 1:  # One that is too large must not make the others fail.
                for job in jobs:
                    await self._write([job])
                return
            outcomes = [_refusal(error, jobs[0])]
        except EtcdUnavailable as error:
            # The same whatever it is: the caller must not take it for certain.
            outcomes = [_unknown(error) for _ in jobs]
        except Exception as error:  # noqa: BLE001 - whatever it is, callers must hear of it
            self._fence_revision = None
            outcomes = [_unknown(error) for _ in jobs]
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.settle(outcome)

    async def _outcomes(self, jobs: Sequence[EtcdJob]) -> Sequence[int | KeysteadError]:
        """Return the revision or the error of each commit.

        After EtcdUnavailable, the commits may have been made, and can still be made until the fence
        is raised. Raises EtcdRefused if etcd refuses them, and EtcdUnavailable if it does not
        answer for PATIENCE_SECONDS.
        """
        now = asyncio.get_running_loop().time
        changed = tuple([change.path for job in jobs for change in job.changes])
        record = encode(LastTransaction(os.urandom(_TOKEN_BYTES), changed))
        end = None
        while True:
            try:
                made = await self._attempt(jobs, record)
            except EtcdUnavailable:
                self._fence_revision = None
                end = end or now() + PATIENCE_SECONDS
                if now() > end:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if made is not None:
                return made
            end = end or now() + PATIENCE_SECONDS
            if now() > end:
                raise EtcdUnavailable("another process writes in the name of this device.")

    async def _attempt(
        self, jobs: Sequence[EtcdJob], record: bytes
    ) -> Sequence[int | KeysteadError] | None:
        """Make the commits, or find out that an earlier attempt has. Return None if neither."""
        if self._fence_revision is None:
            made = await self._raise_fence(jobs, record)
            if made is not None:
                return made
        try:
            answer = await self._client.call(calls.TXN, self._transaction(jobs, record))
        except EtcdInDoubt:
            self._is_in_doubt = True
            raise
        except EtcdRefused:
            # For space, etcd also refuses what it has made, if that was checked a moment before.
            made = await self._remove_fence(jobs, record)
            if made is None:
                raise
            return made
        if not answer.succeeded:
            self._fence_revision = None
            return None
        inner = [one.response_txn or InnerTxnResponse() for one in answer.responses[1:]]
        revision = answer.header.revision
        self._remember(revision)
        return [revision if one.succeeded else _stale() for one in inner]

    def _transaction(self, jobs: Sequence[EtcdJob], record: bytes) -> TxnRequest:
        fence = Compare(key=self._fence, mod_revision=self._fence_revision)
        last = RequestOp(request_put=PutRequest(self._last, record))
        inner = [job.transaction(self._stale_key(place)) for place, job in enumerate(jobs)]
        return TxnRequest((fence,), (last, *inner))

    async def _raise_fence(
        self, jobs: Sequence[EtcdJob], record: bytes
    ) -> Sequence[int | KeysteadError] | None:
        """Make sure that no earlier transaction can be made any more. Return what `_made` does."""
        try:
            answer = await self._change_fence(RequestOp(request_put=PutRequest(self._fence)))
        except EtcdRefused:
            if not self._is_in_doubt:
                raise
            # The refusal is about the fence, not about what came before.
            made = await self._remove_fence(jobs, record)
            if made is None:
                raise
            return made
        self._fence_revision = answer.header.revision
        return self._made(jobs, record, answer)

    async def _remove_fence(
        self, jobs: Sequence[EtcdJob], record: bytes
    ) -> Sequence[int | KeysteadError] | None:
        """Do as `_raise_fence`, also without space: a deletion takes none.

        The fence must be raised before the next commit.
        """
        self._fence_revision = None
        self._is_in_doubt = True
        gone = RequestOp(request_delete_range=DeleteRangeRequest(self._fence))
        try:
            answer = await self._change_fence(gone)
        except EtcdRefused as error:
            raise EtcdUnavailable(str(error)) from error
        return self._made(jobs, record, answer)

    async def _change_fence(self, change: RequestOp) -> TxnResponse:
        """Change the fence, so that no earlier transaction can be made, and read what was made."""
        stop = self._stale[:-1] + b"0"
        last = RequestOp(request_range=RangeRequest(self._last))
        stale = RequestOp(request_range=RangeRequest(self._stale, stop))
        answer = await self._client.call(calls.TXN, TxnRequest(success=(change, last, stale)))
        self._is_in_doubt = False
        return answer

    def _made(
        self, jobs: Sequence[EtcdJob], record: bytes, answer: TxnResponse
    ) -> Sequence[int | KeysteadError] | None:
        """Return the outcomes of the transaction with this record, or None if it was not made."""
        last, stale = (one.response_range or RangeResponse() for one in answer.responses[1:3])
        if not last.kvs or last.kvs[0].value != record:
            return None
        revision = last.kvs[0].mod_revision
        self._remember(revision)
        refused = {one.key for one in stale.kvs if one.mod_revision == revision}
        return [
            _stale() if self._stale_key(place) in refused else revision
            for place in range(len(jobs))
        ]

    def _remember(self, revision: int) -> None:
        self._revisions[revision] = None
        if len(self._revisions) > _REMEMBERED:
            self._revisions.popitem(last=False)

    def _stale_key(self, place: int) -> bytes:
        return self._stale + b"%d" % place


def _refusal(error: EtcdRefused, job: EtcdJob) -> WriteRefused:
    if job.is_too_large or _TOO_LARGE in str(error):
        return CommitTooLarge(f"The cluster's store does not take so much at once: {error}.")
    return WriteRefused(f"The cluster's store cannot be written: {error}")


def _unknown(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"It is not known whether the change was made: {error}")


def _stale() -> StaleRevision:
    return StaleRevision("The record was changed by someone else.")


def _compare(path: str, revision: int) -> Compare:
    return Compare(key=path.encode(), mod_revision=revision)


def _operation(change: Change) -> RequestOp:
    key = change.path.encode()
    if change.value is None:
        return RequestOp(request_delete_range=DeleteRangeRequest(key))
    return RequestOp(request_put=PutRequest(key, change.value))
