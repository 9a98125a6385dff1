"""Approvals: asked for by Operators, granted or refused by the approvers of the key's policy."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from keystead.errors import Conflict, NotAuthenticated, NotFound
from keystead.model import approvals as rules
from keystead.model.approvals import Approval, ApprovalSubject
from keystead.model.ids import NamespaceId, Tag, UserId
from keystead.model.keys import KeyPath, require_use
from keystead.model.policy import digest
from keystead.model.users import Caller, Standing
from keystead.operations.caller_context import CallerContext
from keystead.operations.session import Session
from keystead.storage.key_cache import StoredKey
from keystead.storage.key_value_store import Check

_GENERATED_ID_BYTES = 10


def subject_of(key: StoredKey) -> ApprovalSubject:
    """Return what an approval for a key is bound to. The key must have a policy."""
    private, policy = key.record.private, key.record.policy
    if policy is None:
        raise ValueError("the key has no policy")
    key_digest = hashlib.sha256(private.pem or private.raw or b"").digest()
    return ApprovalSubject(key.path, key_digest, digest(policy))


async def ask(context: CallerContext, key: StoredKey, reason: str, uses: int | None) -> Approval:
    """Ask for an approval to use a key, and return it.

    `uses` of None asks for all that the policy allows to one approval.

    Raises NotPermitted if the key's tags do not allow the caller, InvalidInput, and Conflict if the
    key's policy asks for no approval or too many approvals are open.
    """
    require_use(context.caller, key.record.tags)
    policy = key.record.policy
    rule = None if policy is None else policy.document.approvals
    if rule is None:
        raise Conflict("The key's policy asks for no approval.")
    wanted = rule.uses if uses is None else uses
    now = context.now()
    approval = rules.ask(
        Approval(
            approval_id=os.urandom(_GENERATED_ID_BYTES).hex(),
            subject=subject_of(key),
            asker=context.caller.user_id,
            reason=reason,
            rule=rule,
            uses=wanted,
            uses_left=wanted,
            asked_at=now,
        )
    )
    await context.session.approvals.add(approval, now)
    context.note("approval asked for", approval=approval.approval_id, key=key.path.key_id)
    return approval


async def list_visible(context: CallerContext) -> list[Approval]:
    """Return the approvals that the caller may see, by namespace, the oldest first."""
    caller, approvals = context.caller, context.session.approvals
    found: list[Approval] = []
    own = caller.namespace
    for namespace in approvals.namespaces() if own is None else [own]:
        same = approvals.of_namespace(namespace, context.now())
        found.extend(approval for approval in same if approval.is_visible_to(caller))
        await asyncio.sleep(0)  # There may be many namespaces, and others wait.
    return found


def get(context: CallerContext, approval_id: str) -> Approval:
    """Return an approval. Raises NotFound if the caller may not see it."""
    approval = context.session.approvals.get(approval_id, context.now())
    if not approval.is_visible_to(context.caller):
        raise NotFound(f"Approval {approval_id[:64]!a} not found.")
    return approval


async def approve(context: CallerContext, approval_id: str) -> None:
    """Approve. Raises NotFound, NotPermitted and Conflict as `model.approvals.approve` does."""
    await _decide(context, approval_id, rules.approve)
    context.note("approval approved", approval=approval_id)


async def refuse(context: CallerContext, approval_id: str) -> None:
    """Refuse. Raises as `approve` does."""
    await _decide(context, approval_id, rules.refuse)
    context.note("approval refused", approval=approval_id)


async def _decide(
    context: CallerContext,
    approval_id: str,
    decide: Callable[[Approval, Caller, float], Approval],
) -> None:
    """Decide as the user that the store has at that moment, whatever another member changes."""
    _ = get(context, approval_id)
    users = context.session.users

    async def edit(approval: Approval) -> tuple[Approval, Sequence[Check]]:
        found = await users.get(context.caller.user_id)
        context.caller.require_unrevoked()
        if found is None:
            raise NotAuthenticated("The user of this request has been deleted meanwhile.")
        user, revision = found
        caller = Caller(user.user_id, user.role, Standing(user.tags))
        decided = decide(approval, caller, context.now())
        return decided, [users.unchanged(user.user_id, revision)]

    _ = await context.session.approvals.change(approval_id, edit)


# --- what voids them ---


class Cause(NamedTuple):
    """What voids approvals. Each cause has to do with one namespace: the others' are not looked at.

    Otherwise a change of one tenant would take as long as all tenants have approvals.
    """

    namespace: NamespaceId | None
    voids: Callable[[Approval], bool]
    """Whether it voids an approval of the namespace."""


@asynccontextmanager
async def voided(session: Session, cause: Cause) -> AsyncIterator[None]:
    """Delete the approvals that `cause` voids, before and after the change in this context.

    Before, because a crash after the change must leave none. After, because one may have been
    asked for or approved meanwhile, in a cluster on another member too. Raises StoreUnavailable
    after the change if what the others have done is not known.
    """
    await session.approvals.void(cause.namespace, cause.voids)
    yield
    await session.know_others()
    await session.approvals.void(cause.namespace, cause.voids)


def of_key(path: KeyPath) -> Cause:
    """Return the cause that voids the approvals for a key."""
    return Cause(path.namespace, lambda approval: approval.subject.key == path)


def of_namespace(namespace: NamespaceId) -> Cause:
    """Return the cause that voids the approvals for keys of a namespace."""
    return Cause(namespace, lambda _: True)


def of_user(user_id: UserId) -> Cause:
    """Return the cause that voids the approvals that a user has asked for or approved."""
    return Cause(user_id.namespace, lambda approval: approval.concerns(user_id))


def of_tag(tag: Tag, user_id: UserId) -> Cause:
    """Return the cause that voids the approvals that a user approved because of a tag."""
    return Cause(user_id.namespace, lambda approval: approval.rests_on(tag, user_id))
