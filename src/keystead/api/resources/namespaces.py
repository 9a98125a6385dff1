"""Namespaces: separate sets of users and keys."""

from functools import partial

from keystead.api.http.conditions import require_existence
from keystead.api.http.route import NO_CONTENT, Call, Reply
from keystead.api.resources.shapes import Item, id_list, json_reply
from keystead.model.ids import NamespaceId, parse_namespace_id
from keystead.model.quota import Quota
from keystead.operations import manage_namespaces


async def list_all(call: Call[None]) -> Reply[list[Item]]:
    """GET /namespaces: the namespaces."""
    found = await manage_namespaces.list_namespaces(call.session)
    return Reply(200, await id_list("id", found))


async def create(call: Call[None]) -> Reply[None]:
    """PUT /namespaces/{id}: create a namespace."""
    namespace = await _named(call)
    call.require_content_type()
    await manage_namespaces.create(call.context, namespace)
    return NO_CONTENT


async def delete(call: Call[None]) -> Reply[None]:
    """DELETE /namespaces/{id}: delete a namespace; its keys go with it, its users stay."""
    namespace = await _named(call)
    await manage_namespaces.delete(call.context, namespace)
    return NO_CONTENT


async def _named(call: Call[None]) -> NamespaceId:
    """Return the namespace in the path.

    Raises 412 if a condition says that there is one, or is none, and that is wrong.
    """
    namespace = parse_namespace_id(call.parameters["namespace_id"])
    await require_existence(call, partial(call.session.namespaces.exists, namespace))
    return namespace


async def quota(call: Call[None]) -> Reply[Quota]:
    """GET /namespaces/{id}/quota: how much the namespace may hold."""
    namespace = parse_namespace_id(call.parameters["namespace_id"])
    return json_reply(await manage_namespaces.quota(call.session, namespace))


async def set_quota(call: Call[Quota]) -> Reply[None]:
    """PUT /namespaces/{id}/quota: limit what the namespace may hold; what is not given is free."""
    namespace = parse_namespace_id(call.parameters["namespace_id"])
    await manage_namespaces.require(call.session, namespace)
    wanted = await call.json(Quota)
    await manage_namespaces.set_quota(call.context, namespace, wanted)
    return NO_CONTENT
