"""Tags: the ones a key asks for, and the ones an Operator has."""

from keystead.api.http.conditions import require_existence
from keystead.api.http.route import NO_CONTENT, NOT_MODIFIED, Call, Changed, Reply
from keystead.api.resources.users import target
from keystead.model.ids import KeyId, Tag, UserId, parse_key_id, parse_tag
from keystead.operations import manage_keys, manage_users


async def add_key_tag(call: Call[None]) -> Changed:
    """PUT /keys/{id}/restrictions/tags/{tag}: let Operators with this tag use the key."""
    key_id = parse_key_id(call.parameters["key_id"])
    call.require_content_type()
    tag = await _tag_of_key(call, key_id)
    changed = await manage_keys.add_tag(call.context, key_id, tag)
    return NO_CONTENT if changed else NOT_MODIFIED


async def remove_key_tag(call: Call[None]) -> Reply[None]:
    """DELETE /keys/{id}/restrictions/tags/{tag}: take a tag off a key."""
    key_id = parse_key_id(call.parameters["key_id"])
    tag = await _tag_of_key(call, key_id)
    await manage_keys.remove_tag(call.context, key_id, tag)
    return NO_CONTENT


async def add_user_tag(call: Call[None]) -> Changed:
    """PUT /users/{id}/tags/{tag}: give an Operator a tag."""
    user_id = target(call)
    call.require_content_type()
    tag = await _tag_of_user(call, user_id)
    changed = await manage_users.add_tag(call.context, user_id, tag)
    return NO_CONTENT if changed else NOT_MODIFIED


async def remove_user_tag(call: Call[None]) -> Reply[None]:
    """DELETE /users/{id}/tags/{tag}: take a tag off an Operator."""
    user_id = target(call)
    tag = await _tag_of_user(call, user_id)
    await manage_users.remove_tag(call.context, user_id, tag)
    return NO_CONTENT


async def _tag_of_key(call: Call[None], key_id: KeyId) -> Tag:
    """Return the tag in the path. Raises NotFound if there is no such key.

    Raises 412 if a condition says that the key has the tag, or has not, and that is wrong.
    """

    async def has_tag() -> bool:
        return tag in (await manage_keys.load(call.context, key_id)).record.tags

    await manage_keys.require(call.context, key_id)
    tag = parse_tag(call.parameters["tag"])
    await require_existence(call, has_tag)
    return tag


async def _tag_of_user(call: Call[None], user_id: UserId) -> Tag:
    """Return the tag in the path. Raises NotFound if there is no such user.

    Raises 412 if a condition says that the user has the tag, or has not, and that is wrong.
    """

    async def has_tag() -> bool:
        return tag in (await manage_users.get(call.session, user_id)).tags

    await manage_users.get(call.session, user_id)
    tag = parse_tag(call.parameters["tag"])
    await require_existence(call, has_tag)
    return tag
