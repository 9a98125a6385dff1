"""Policies of keys: shown to users, set and removed by Administrators."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from keystead.algorithms import modes_of
from keystead.errors import Conflict, InvalidInput, NotFound
from keystead.model.keys import KeyRecord
from keystead.model.policy import Policy, require_approvers_of
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_approvals import of_key, voided
from keystead.storage.key_cache import StoredKey

_NAME_BYTES: Final = 8


class PolicyState(NamedTuple):
    """The policy of a key, and how many uses its `maxUses` still allows."""

    policy: Policy
    uses_left: int | None


def view(context: CallerContext, key: StoredKey) -> PolicyState:
    """Return the policy of a key. Raises NotFound if it has none."""
    policy = key.record.policy
    if policy is None:
        raise NotFound(f"There is no policy for key {key.path.key_id}.")
    return PolicyState(policy, context.session.keys.limits.uses_left(key.path, key.record))


async def set_policy(context: CallerContext, key: StoredKey, policy: Policy) -> None:
    """Give a key a policy, whose uses are counted from now on.

    Raises InvalidInput if the policy does not fit the key, and Conflict if the present policy is
    frozen.
    """
    _require_fit(key, policy)

    def edit(record: KeyRecord) -> KeyRecord:
        _require_open(record)
        max_uses = policy.document.max_uses
        name = None if max_uses is None else os.urandom(_NAME_BYTES).hex()
        return replace(record, policy=policy, uses_left=max_uses, uses_of=name)

    await _change(context, key, edit)


async def remove_policy(context: CallerContext, key: StoredKey) -> None:
    """Remove the policy of a key. Raises NotFound if it has none, and Conflict if it is frozen."""

    def edit(record: KeyRecord) -> KeyRecord:
        if record.policy is None:
            raise NotFound(f"There is no policy for key {key.path.key_id}.")
        _require_open(record)
        return replace(record, policy=None, uses_left=None, uses_of=None)

    await _change(context, key, edit)


async def _change(
    context: CallerContext, key: StoredKey, edit: Callable[[KeyRecord], KeyRecord]
) -> None:
    _ = edit(key.record)  # A change that is refused voids no approval.
    async with voided(context.session, of_key(key.path)):
        await context.session.keys.change_policy(key.path, edit)
    context.note("key changed", key=key.path.key_id, changed="policy")


def _require_open(record: KeyRecord) -> None:
    if record.policy is not None and record.policy.document.frozen:
        raise Conflict("The policy of the key is frozen.")


def _require_fit(key: StoredKey, policy: Policy) -> None:
    allowed = modes_of(key.algorithm, key.record.mechanisms)
    for mode in policy.document.modes or ():
        if mode not in allowed:
            raise InvalidInput(f"modes: the mechanisms of the key do not allow {mode[:64]!a}.")
    require_approvers_of(policy, key.path.namespace)
