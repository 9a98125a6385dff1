"""What a use of a key with a policy needs before the gate is asked."""

from contextlib import suppress

import msgspec

from keystead.access.gate import Attempt, asks_for_approval
from keystead.errors import Conflict, NotFound
from keystead.model.approvals import Approval
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_approvals import subject_of
from keystead.operations.manage_keys import find
from keystead.storage.key_cache import StoredKey
from keystead.storage.leases import lease


async def current(context: CallerContext, key: StoredKey) -> StoredKey:
    """Return the key as it is now: it may have changed while a long message arrived."""
    if context.session.keys.is_current(key):
        return key
    return await find(context, key.path.key_id)


async def ready(
    context: CallerContext, attempt: Attempt, key: StoredKey
) -> tuple[Attempt, StoredKey]:
    """Return the attempt with an approval, if it needs one, and the key as it is now.

    Uses that the key's policy counts are leased for the attempt. Ask the gate before anything else
    happens, because others may take them. Raises as the gate does, so that a use that is refused
    by another rule takes nothing.
    """
    try:
        while True:
            key = await current(context, key)
            lacks_approval = attempt.approval is None and asks_for_approval(attempt, key)
            lacks_lease = key.limits is not None and key.limits.lacks(key.record, attempt.uses)
            found = _granted(context, attempt, key) if lacks_approval else None
            if (lacks_approval and found is None) or not (lacks_approval or lacks_lease):
                return attempt, key
            context.session.gate.require_permitted_once_counted(attempt, key)
            if lacks_lease:
                await lease(context.session.keys, key, attempt.uses)
            elif found is not None:
                attempt = await _approved(context, attempt, found)
    except BaseException:
        if attempt.approval is not None:
            attempt.approval.give_back()
        raise


def _granted(context: CallerContext, attempt: Attempt, key: StoredKey) -> Approval | None:
    subject = subject_of(key)
    asker = attempt.caller.user_id
    return context.session.approvals.find_granted(asker, subject, attempt.uses, attempt.now())


async def _approved(context: CallerContext, attempt: Attempt, found: Approval) -> Attempt:
    """Return the attempt with uses of the approval, or as it was if others have taken them."""
    approvals = context.session.approvals
    with suppress(Conflict, NotFound):
        taken = await approvals.take(found.approval_id, attempt.uses, attempt.now)
        return msgspec.structs.replace(attempt, approval=taken)
    return attempt
