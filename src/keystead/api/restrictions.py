"""Tags: the ones a key asks for, and the ones an Operator has."""

from keystead.api.route import NO_CONTENT, NOT_MODIFIED, Call, Reply
from keystead.api.users import target
from keystead.model.ids import Tag, parse_key_id, parse_tag
from keystead.operations import manage_keys, manage_users


def _tag(call: Call) -> Tag:
    return parse_tag(call.parameters["tag"])


async def add_key_tag(call: Call) -> Reply:
    """PUT /keys/{id}/restrictions/tags/{tag}."""
    key_id = parse_key_id(call.parameters["key_id"])
    call.require_content_type()
    await manage_keys.require(call.session, call.caller, key_id)
    changed = await manage_keys.add_tag(call.session, call.caller, key_id, _tag(call))
    return NO_CONTENT if changed else NOT_MODIFIED


async def remove_key_tag(call: Call) -> Reply:
    """DELETE /keys/{id}/restrictions/tags/{tag}."""
    key_id = parse_key_id(call.parameters["key_id"])
    await manage_keys.require(call.session, call.caller, key_id)
    await manage_keys.remove_tag(call.session, call.caller, key_id, _tag(call))
    return NO_CONTENT


async def add_user_tag(call: Call) -> Reply:
    """PUT /users/{id}/tags/{tag}."""
    user_id = target(call)
    call.require_content_type()
    await manage_users.get(call.session, call.caller, user_id)
    changed = await manage_users.add_tag(call.session, call.caller, user_id, _tag(call))
    return NO_CONTENT if changed else NOT_MODIFIED


async def remove_user_tag(call: Call) -> Reply:
    """DELETE /users/{id}/tags/{tag}."""
    user_id = target(call)
    await manage_users.get(call.session, call.caller, user_id)
    await manage_users.remove_tag(call.session, call.caller, user_id, _tag(call))
    return NO_CONTENT
