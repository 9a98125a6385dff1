"""Namespaces: made and removed by Administrators of the root."""

from keystead.errors import AlreadyExists, InvalidInput, NotFound, WriteRefused
from keystead.model.ids import NamespaceId
from keystead.model.quota import Quota
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_approvals import of_namespace, voided
from keystead.operations.session import Session


async def list_namespaces(session: Session) -> list[NamespaceId]:
    """Return all namespaces, in order."""
    return await session.namespaces.list()


async def create(context: CallerContext, namespace: NamespaceId) -> None:
    """Create a namespace. From then on, only its own Administrators manage its users.

    Raises InvalidInput if it exists, and Conflict if keys of an earlier one may be hidden.
    """
    try:
        await context.session.namespaces.create(namespace)
    except AlreadyExists:
        raise InvalidInput(f"Namespace {namespace} already exists.") from None
    context.session.known_namespaces.created(namespace)
    context.note("namespace created", namespace=namespace)


async def delete(context: CallerContext, namespace: NamespaceId) -> None:
    """Delete a namespace and all its keys. Its users stay, and their requests are refused."""
    if not context.session.is_namespace(namespace):
        raise NotFound(f"Namespace {namespace} not found.")
    context.session.known_namespaces.ends(namespace)
    try:
        async with voided(context.session, of_namespace(namespace)):
            left = await context.session.keys.delete_namespace(namespace)
    except WriteRefused:
        if await context.session.namespaces.exists(namespace):
            context.session.known_namespaces.created(namespace)
        raise
    finally:
        context.session.known_namespaces.ended(namespace)
    context.note("namespace deleted", namespace=namespace)
    if left:
        context.note("keys of a deleted namespace may be left", namespace=namespace, reason=left)


async def require(session: Session, namespace: NamespaceId) -> None:
    """Raise NotFound unless the namespace exists."""
    _ = await session.namespaces.require(namespace)


async def quota(session: Session, namespace: NamespaceId) -> Quota:
    """Return a namespace's quota. Raises NotFound if the namespace does not exist."""
    await require(session, namespace)
    return await session.namespaces.quota(namespace)


async def set_quota(context: CallerContext, namespace: NamespaceId, quota: Quota) -> None:
    """Set a namespace's quota. Keys and users that exceed it stay."""
    await context.session.namespaces.set_quota(namespace, quota)
    context.note("quota set", namespace=namespace)
