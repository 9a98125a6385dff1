"""Policies: the rules that each use of a key must satisfy."""

from typing import Any

import msgspec

from keystead.api.http.route import NO_CONTENT, Call, Reply
from keystead.api.resources.shapes import json_reply
from keystead.model.ids import parse_key_id
from keystead.model.policy import PolicyDocument, parse_policy
from keystead.operations import manage_keys, manage_policies
from keystead.storage.key_cache import StoredKey


class PolicyView(PolicyDocument, frozen=True, omit_defaults=True, rename="camel"):
    """GET /keys/{id}/policy."""

    uses_left: int | None = None


async def show(call: Call[None]) -> Reply[PolicyView]:
    """GET /keys/{id}/policy: the policy of a key, and how many uses are left with maxUses."""
    found = manage_policies.view(call.context, await _key(call))
    document = msgspec.structs.asdict(found.policy.document)
    return json_reply(PolicyView(**document, uses_left=found.uses_left))


async def set_policy(call: Call[PolicyDocument]) -> Reply[None]:
    """PUT /keys/{id}/policy: set the rules for the uses of a key; maxUses counts from now on."""
    key = await _key(call)
    policy = parse_policy(await call.json(PolicyDocument))
    await manage_policies.set_policy(call.context, key, policy)
    return NO_CONTENT


async def delete(call: Call[None]) -> Reply[None]:
    """DELETE /keys/{id}/policy: remove the policy of a key."""
    await manage_policies.remove_policy(call.context, await _key(call))
    return NO_CONTENT


async def _key(call: Call[Any]) -> StoredKey:
    key = parse_key_id(call.parameters["key_id"])
    return await manage_keys.load(call.context, key)
