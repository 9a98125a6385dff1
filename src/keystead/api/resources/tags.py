"""Tags: the ones a key asks for, and the ones an Operator has."""

from typing import Any

from keystead.api.http.route import NO_CONTENT, NOT_MODIFIED, Call, Changed, Reply
from keystead.api.resources.users import target
from keystead.model.ids import Tag, parse_key_id, parse_tag
from keystead.operations import manage_keys, manage_users


def _tag(call: Call[Any]) -> Tag:
    return parse_tag(call.parameters["tag"])


async def add_key_tag(call: Call[None]) -> Changed:
    """PUT /keys/{id}/restrictions/tags/{tag}: let Operators with this tag use the key."""
    key_id = parse_key_id(call.parameters["key_id"])
    call.require_content_type()
    await manage_keys.require(call.context, key_id)
    changed = await manage_keys.add_tag(call.context, key_id, _tag(call))
    return NO_CONTENT if changed else NOT_MODIFIED


async def remove_key_tag(call: Call[None]) -> Reply[None]:
    """DELETE /keys/{id}/restrictions/tags/{tag}: take a tag off a key."""
    key_id = parse_key_id(call.parameters["key_id"])
    await manage_keys.require(call.context, key_id)
    await manage_keys.remove_tag(call.context, key_id, _tag(call))
    return NO_CONTENT


async def add_user_tag(call: Call[None]) -> Changed:
    """PUT /users/{id}/tags/{tag}: give an Operator a tag."""
    user_id = target(call)
    call.require_content_type()
    await manage_users.get(call.session, user_id)
    changed = await manage_users.add_tag(call.context, user_id, _tag(call))
    return NO_CONTENT if changed else NOT_MODIFIED


async def remove_user_tag(call: Call[None]) -> Reply[None]:
    """DELETE /users/{id}/tags/{tag}: take a tag off an Operator."""
    user_id = target(call)
    await manage_users.get(call.session, user_id)
    await manage_users.remove_tag(call.context, user_id, _tag(call))
    return NO_CONTENT
