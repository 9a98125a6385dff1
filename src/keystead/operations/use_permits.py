"""What a use of a key with a policy needs before the gate is asked."""

from keystead.access.gate import Attempt
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_keys import find
from keystead.storage.key_cache import StoredKey
from keystead.storage.leases import lease


async def current(context: CallerContext, key: StoredKey) -> StoredKey:
    """Return the key as it is now: it may have changed while a long message arrived."""
    if context.session.keys.is_current(key):
        return key
    return await find(context, key.path.key_id)


async def ready(context: CallerContext, attempt: Attempt, key: StoredKey) -> StoredKey:
    """Return the key as it is now, with leased uses for the attempt if its policy counts them.

    Ask the gate before anything else happens, because others may take the leased uses. Raises as
    the gate does, except for the counted rules, so that a use that is refused leases nothing.
    """
    while True:
        key = await current(context, key)
        if key.limits is None or not key.limits.lacks(key.record, attempt.uses):
            return key
        context.session.gate.require_still_permitted(attempt, key)
        await lease(context.session.keys, key, attempt.uses)
