"""Namespaces, as root Administrators make and remove them."""

from keystead.errors import AlreadyExists, InvalidInput, NotFound, WriteRefused
from keystead.model.ids import NamespaceId
from keystead.model.quota import Quota
from keystead.model.users import Caller
from keystead.operations.session import Session


async def list_namespaces(session: Session) -> list[NamespaceId]:
    """Return all namespaces, in order."""
    return await session.namespaces.list()


async def create(session: Session, caller: Caller, namespace: NamespaceId) -> None:
    """Create a namespace; from then on only its own Administrators manage its users."""
    try:
        await session.namespaces.create(namespace)
    except AlreadyExists:
        raise InvalidInput(f"Namespace {namespace} already exists.") from None
    session.namespace_created(namespace)
    session.note(caller, "namespace created", namespace=namespace)


async def delete(session: Session, caller: Caller, namespace: NamespaceId) -> None:
    """Delete a namespace and all its keys. Its users stay and can do nothing."""
    if not session.is_namespace(namespace):
        raise NotFound(f"Namespace {namespace} not found.")
    session.namespace_deleted(namespace)
    try:
        await session.keys.delete_namespace(namespace)
    except WriteRefused:
        if await session.namespaces.exists(namespace):
            session.namespace_created(namespace)
        raise
    session.note(caller, "namespace deleted", namespace=namespace)


async def quota(session: Session, namespace: NamespaceId) -> Quota:
    """Return what a namespace may hold; NotFound when it does not exist."""
    await session.namespaces.require(namespace)
    return await session.namespaces.quota(namespace)


async def set_quota(session: Session, caller: Caller, namespace: NamespaceId, quota: Quota) -> None:
    """Change what a namespace may hold. What it holds beyond that stays."""
    await session.namespaces.set_quota(namespace, quota)
    session.note(caller, "quota set", namespace=namespace)
