"""Approvals: a sealed record each, and all of them in memory, because a use looks for its own.

A change is made durable before memory shows it, and is compared with the store: another member of
the cluster may have changed the approval. Changes of one approval in this core wait for each other.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import msgspec

from keystead.errors import (
    Conflict,
    CorruptRecord,
    InvalidInput,
    NotFound,
    StaleRevision,
)
from keystead.model import approvals as rules
from keystead.model.approvals import Approval, ApprovalState, ApprovalSubject
from keystead.model.ids import NamespaceId, UserId, parse_key_id, parse_namespace_id
from keystead.model.keys import KeyPath
from keystead.model.policy import ApprovalRule
from keystead.storage.key_value_store import MISSING, Check, KeyValueStore
from keystead.storage.parts import in_parts
from keystead.storage.records import corrupt
from keystead.storage.retry import retry_when_stale
from keystead.storage.sealed_records import AFTER_LAST_ID, FIRST_ID, SealedRecords
from keystead.storage.stored_json import StoredJson

_DELETED_AT_ONCE: Final = 100
"""The most that one commit deletes, if the store takes so many."""
_READ_BYTES: Final = 2**18
"""The approximate bytes of records that are read in one go: a few milliseconds."""

Edit: TypeAlias = Callable[[Approval], Awaitable[tuple[Approval, Sequence[Check]]]]
"""Returns an approval as it is to be, and the conditions on other records under which it may be."""


class _ApprovalJson(StoredJson, omit_defaults=True):
    namespace: str | None
    key: str
    key_digest: bytes
    policy_digest: bytes
    asker: str
    reason: str
    rule: ApprovalRule
    uses: int
    uses_left: int
    asked_at: float
    state: ApprovalState
    approved_by: tuple[str, ...] = ()
    refused_by: str | None = None
    granted_at: float | None = None


class _Entry(msgspec.Struct, eq=False):
    approval: Approval
    revision: int
    changing: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    writing: Approval | None = None
    """What the approval will be, while the store writes it."""
    is_void: bool = False
    times_shown: int = 0
    given_back: int = 0
    """Uses that were given back while the store writes, which what it writes does not have."""

    def show(self, approval: Approval, revision: int) -> None:
        """Show what the store has."""
        self.approval, self.revision = approval, revision
        self.times_shown += 1
        self._add(self.given_back)

    def give_back(self, uses: int) -> None:
        """Give uses back, unless the approval is over."""
        self._add(uses)
        if self.writing is not None:
            self.given_back += uses

    def _add(self, uses: int) -> None:
        if uses:
            with suppress(Conflict):
                self.approval = rules.give_back(self.approval, uses)

    def is_or_becomes(self, is_void: Callable[[Approval], bool]) -> bool:
        """Whether `is_void` is true of the approval as it is, or as it is being written."""
        return is_void(self.approval) or (self.writing is not None and is_void(self.writing))


@dataclass(slots=True, eq=False)
class ApprovedUses:
    """Uses that were taken from a granted approval, for one attempt."""

    uses: int
    _entry: _Entry = field(repr=False)

    @property
    def is_void(self) -> bool:
        """Whether the approval was deleted since."""
        return self._entry.is_void

    def give_back(self) -> None:
        """Give the uses back, once, because the key was not used.

        They are lost if the approval is over by now, or if the HSM is locked before the next use.
        """
        uses, self.uses = self.uses, 0
        self._entry.give_back(uses)


class ApprovalStore:
    """All approvals of all namespaces."""

    def __init__(self, store: KeyValueStore, sealed: SealedRecords) -> None:
        self._store = store
        self._sealed = sealed
        self._entries: dict[str, _Entry] = {}
        self._former: dict[str, _Entry] = {}
        """What was forgotten since `open`: a change of one may be under way."""
        self._in_namespaces: defaultdict[NamespaceId | None, dict[str, _Entry]]
        self._in_namespaces = defaultdict(dict)

    async def open(self) -> None:
        """Read all approvals. An unreadable one is left out, and so allows nothing.

        One that was forgotten keeps its entry, so that a change under way shows here, too.
        """
        self.forget()
        former, self._former = self._former, {}  # What is forgotten from now on is read next time.
        # One by one, 100,000 took 40 seconds, in which the HSM was not Operational.
        rules_read: dict[ApprovalRule, ApprovalRule] = {}
        start = FIRST_ID
        while page := await self._sealed.scan(start, AFTER_LAST_ID, limit_bytes=_READ_BYTES):
            known = [former[name] for name, _ in page if name in former]
            for name, stored in page:
                # One that was asked for since `forget` is there, and may be newer than the page.
                if name not in former and name not in self._entries:
                    with suppress(CorruptRecord):
                        approval = self._opened(name, stored.value, rules_read)
                        self._keep(_Entry(approval, stored.revision))
            for entry in known:  # Last, because the page is not the latest after a wait.
                with suppress(CorruptRecord):
                    await self._read(entry)
                    if not entry.is_void:
                        del former[entry.approval.approval_id]
                        self._keep(entry)
            start = page[-1][0] + "\0"
        for entry in former.values():
            entry.is_void |= not entry.changing.locked()  # A change finds out for itself.

    async def read_again(self, name: str) -> None:
        """Read one approval: another member of the cluster has changed it, or asked for it."""
        if name in self._former:
            return  # `open` reads it, into the entry that a change under way may have.
        entry = self._entries.get(name)
        try:
            if entry is not None:
                await self._read(entry)
            elif (found := await self._found(name)) is not None and name not in self._entries:
                self._keep(_Entry(*found))
        except CorruptRecord:
            if entry is not None:
                entry.is_void |= not entry.changing.locked()
                self._drop(entry.approval)

    def _opened(
        self, name: str, sealed: bytes, rules_read: dict[ApprovalRule, ApprovalRule]
    ) -> Approval:
        """Return a stored approval. Equal rules are one object, as they are in a key's policy."""
        approval = _decode(name, self._sealed.open(name, sealed), path=self._sealed.path(name))
        return replace(approval, rule=rules_read.setdefault(approval.rule, approval.rule))

    def forget(self) -> None:
        """Forget all approvals, until `open` reads them again."""
        self._former |= self._entries
        self._entries.clear()
        self._in_namespaces.clear()

    def namespaces(self) -> list[NamespaceId | None]:
        """Return the namespaces with approvals. None is the root."""
        return list(self._in_namespaces)

    def of_namespace(self, namespace: NamespaceId | None, now: float) -> list[Approval]:
        """Return the approvals of a namespace as they are now, the oldest first."""
        entries = self._in_namespaces.get(namespace, {}).values()
        found = [rules.at(entry.approval, now) for entry in entries]
        return sorted(found, key=lambda approval: (approval.asked_at, approval.approval_id))

    def get(self, approval_id: str, now: float) -> Approval:
        """Return an approval as it is now. Raises NotFound if there is none."""
        return rules.at(self._entry(approval_id).approval, now)

    async def add(self, approval: Approval, now: float) -> None:
        """Store a new approval. Raises Conflict if too many are open in its namespace."""
        surplus = rules.surplus(self.of_namespace(approval.namespace, now), now)
        await self._delete(self._entry(one.approval_id) for one in surplus)
        # After the wait: others may have taken the room meanwhile.
        rules.require_room(self.of_namespace(approval.namespace, now), approval)
        entry = _Entry(approval, MISSING)
        self._keep(entry)  # It counts from now on.
        try:
            async with entry.changing:
                await self._write(entry, approval, MISSING)
            self._keep(entry)  # All may have been read again while it was written.
        except BaseException:
            self._drop(approval)
            raise

    async def change(self, approval_id: str, edit: Edit) -> Approval:
        """Replace an approval by what `edit` returns, if its conditions hold.

        `edit` runs again if another member of the cluster has changed the approval or one of the
        other records. Raises NotFound, and what `edit` raises.
        """
        entry = self._entry(approval_id)
        # If the caller is cancelled, memory and store must agree nevertheless.
        return await asyncio.shield(asyncio.create_task(self._change(entry, edit)))

    async def _change(self, entry: _Entry, edit: Edit) -> Approval:
        async def attempt() -> Approval:
            if entry.is_void:
                raise NotFound("The approval is void: its key, the policy or a user has changed.")
            revision = entry.revision
            edited, checks = await edit(entry.approval)
            try:
                await self._write(entry, edited, revision, checks)
            except StaleRevision:  # Another member of the cluster has changed one of them.
                await self._read(entry)
                raise
            return edited

        async with entry.changing:
            return await retry_when_stale(attempt)

    async def _read(self, entry: _Entry) -> None:
        """Show what the store has: again, if something else was shown while it was read."""
        while True:
            times_shown = entry.times_shown
            found = await self._found(entry.approval.approval_id)
            if found is None:
                entry.is_void = True
                self._drop(entry.approval)
                return
            if entry.times_shown == times_shown:
                entry.show(*found)
                return

    async def _found(self, name: str) -> tuple[Approval, int] | None:
        """Return an approval of the store and its revision, or None if there is none."""
        opened = await self._sealed.get(name)
        if opened is None:
            return None
        return _decode(name, opened.plaintext, path=self._sealed.path(name)), opened.revision

    async def take(self, approval_id: str, uses: int, now: Callable[[], float]) -> ApprovedUses:
        """Take uses from a granted approval. The record is written before this returns.

        Raises Conflict if it does not allow them, and NotFound if it is void.
        """
        entry = self._entry(approval_id)

        async def used(approval: Approval) -> tuple[Approval, Sequence[Check]]:
            return rules.use(approval, uses, now()), ()

        _ = await self.change(approval_id, used)
        return ApprovedUses(uses, entry)

    def find_granted(
        self, asker: UserId, subject: ApprovalSubject, uses: int, now: float
    ) -> Approval | None:
        """Return the approval of these uses that ends first, or None."""
        fitting = [
            entry.approval
            for entry in self._in_namespaces.get(subject.key.namespace, {}).values()
            if entry.approval.asker == asker
            and entry.approval.subject == subject
            and rules.allows(entry.approval, uses, now)
        ]
        return min(fitting, key=lambda approval: approval.ends_at, default=None)

    async def void(
        self, namespace: NamespaceId | None, is_void: Callable[[Approval], bool]
    ) -> None:
        """Delete what `is_void` selects of a namespace, also if a change makes it so just now."""
        entries = self._in_namespaces.get(namespace, {}).values()
        await self._delete(entry for entry in entries if entry.is_or_becomes(is_void))

    async def _delete(self, entries: Iterable[_Entry]) -> None:
        # In one order: two deletions that each hold an entry of the other would wait for ever.
        in_order = sorted(entries, key=lambda entry: entry.approval.approval_id)
        _ = await in_parts(in_order, _DELETED_AT_ONCE, self._delete_at_once)

    async def _delete_at_once(self, some: Sequence[_Entry]) -> None:
        async with AsyncExitStack() as locks:
            for entry in some:  # A change that is being written must not write it again.
                await locks.enter_async_context(entry.changing)
            names = [entry.approval.approval_id for entry in some]
            _ = await self._store.commit([self._sealed.delete(name) for name in names])
            for entry in some:
                entry.is_void = True
                self._drop(entry.approval)

    def _keep(self, entry: _Entry) -> None:
        approval = entry.approval
        self._entries[approval.approval_id] = entry
        self._in_namespaces[approval.namespace][approval.approval_id] = entry

    def _drop(self, approval: Approval) -> None:
        self._entries.pop(approval.approval_id, None)
        same = self._in_namespaces.get(approval.namespace, {})
        same.pop(approval.approval_id, None)
        if not same:
            self._in_namespaces.pop(approval.namespace, None)

    def _entry(self, approval_id: str) -> _Entry:
        entry = self._entries.get(approval_id)
        if entry is None:
            raise NotFound(f"Approval {approval_id[:64]!a} not found.")
        return entry

    async def _write(
        self, entry: _Entry, approval: Approval, expected: int, checks: Sequence[Check] = ()
    ) -> None:
        change = self._sealed.put(approval.approval_id, _encode(approval), expected=expected)
        entry.writing, times_shown = approval, entry.times_shown
        try:
            revision = await self._store.commit([change], checks=checks)
            if entry.times_shown == times_shown:
                entry.show(approval, revision)
            else:  # What was read meanwhile may be older than this change, or newer.
                await self._read(entry)
        finally:
            entry.writing, entry.given_back = None, 0


def _encode(approval: Approval) -> bytes:
    key = approval.subject.key
    return msgspec.json.encode(
        _ApprovalJson(
            namespace=key.namespace,
            key=key.key_id,
            key_digest=approval.subject.key_digest,
            policy_digest=approval.subject.policy_digest,
            asker=str(approval.asker),
            reason=approval.reason,
            rule=approval.rule,
            uses=approval.uses,
            uses_left=approval.uses_left,
            asked_at=approval.asked_at,
            state=approval.state,
            approved_by=tuple(str(user) for user in approval.approved_by),
            refused_by=None if approval.refused_by is None else str(approval.refused_by),
            granted_at=approval.granted_at,
        )
    )


def _decode(approval_id: str, raw: bytes, *, path: str) -> Approval:
    try:
        stored = msgspec.json.decode(raw, type=_ApprovalJson)
        return Approval(
            approval_id=approval_id,
            subject=ApprovalSubject(_path(stored), stored.key_digest, stored.policy_digest),
            asker=UserId.parse(stored.asker),
            reason=stored.reason,
            rule=stored.rule,
            uses=stored.uses,
            uses_left=stored.uses_left,
            asked_at=stored.asked_at,
            state=stored.state,
            approved_by=tuple(UserId.parse(user) for user in stored.approved_by),
            refused_by=None if stored.refused_by is None else UserId.parse(stored.refused_by),
            granted_at=stored.granted_at,
        )
    except (msgspec.MsgspecError, InvalidInput):
        raise corrupt(path) from None


def _path(stored: _ApprovalJson) -> KeyPath:
    namespace: NamespaceId | None = None
    if stored.namespace is not None:
        namespace = parse_namespace_id(stored.namespace)
    return KeyPath(namespace, parse_key_id(stored.key))
