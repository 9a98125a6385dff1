"""Users: made, changed and removed by the Administrators of their namespace."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec

from keystead.errors import AlreadyExists, InvalidInput, NotFound, NotPermitted, StoreUnavailable
from keystead.model.ids import NamespaceId, Tag, UserId, with_tag
from keystead.model.secret import Secret
from keystead.model.users import Role, User
from keystead.operations.caller_context import CallerContext
from keystead.operations.manage_approvals import of_tag, of_user, voided
from keystead.operations.session import Session
from keystead.sealing.passphrase import make_verifier
from keystead.storage.key_value_store import MISSING
from keystead.storage.retry import Unchanged, or_unchanged

Tags = frozenset[Tag]

_GENERATED_ID_BYTES = 10


class NewUser(msgspec.Struct, frozen=True):
    """The data of a new user."""

    real_name: str
    role: Role
    passphrase: Secret


def new_id(namespace: NamespaceId | None) -> UserId:
    """Return a random user ID in `namespace`."""
    return UserId(namespace, os.urandom(_GENERATED_ID_BYTES).hex())


async def list_users(context: CallerContext) -> list[UserId]:
    """Return the users of the caller's namespace, or all users for a caller without a namespace."""
    return await context.session.users.list(context.caller.namespace)


async def _find(session: Session, user_id: UserId) -> tuple[User, int]:
    return _found(user_id, await session.users.get(user_id))


def _found(user_id: UserId, found: tuple[User, int] | None) -> tuple[User, int]:
    if found is None:
        raise NotFound(f"User {user_id} not found.")
    return found


async def get(session: Session, user_id: UserId) -> User:
    """Return a user. Raises NotFound if it does not exist."""
    return (await _find(session, user_id))[0]


async def get_operator(session: Session, user_id: UserId) -> User:
    """Return an Operator. Raises NotFound for any other user, because only Operators have tags."""
    user = await get(session, user_id)
    if user.role is not Role.OPERATOR:
        raise NotFound(f"User {user_id} is not an Operator.")
    return user


async def add(context: CallerContext, user_id: UserId, wanted: NewUser) -> None:
    """Make a user in the caller's namespace, or, for the root, in a namespace not yet created."""
    await _require_may_create(context, user_id.namespace)
    if await context.session.users.get(user_id) is not None:
        raise AlreadyExists(f"User {user_id} already exists.")
    verifier = await context.session.kdf_pool.run(
        lambda: make_verifier(wanted.passphrase), party=context.party
    )
    # The namespace may have been created while the passphrase was being hashed.
    await _require_may_create(context, user_id.namespace)
    user = User(user_id, wanted.real_name, wanted.role, verifier)
    await context.session.users.put(user, expected=MISSING)
    context.note("user created", user=str(user_id), role=wanted.role.value)


async def _require_may_create(context: CallerContext, namespace: NamespaceId | None) -> None:
    if namespace == context.caller.namespace:
        return
    if context.caller.namespace is not None:
        raise NotPermitted("Users of a namespace cannot create users of another.")
    if context.session.is_namespace(namespace):
        raise NotPermitted("This namespace exists: its own Administrators create its users.")
    await _require_may_change(context, namespace)


async def _require_may_change(context: CallerContext, namespace: NamespaceId | None) -> None:
    """Raise NotPermitted if the caller has no namespace, and this one exists.

    The namespaces in memory come from a list, which lacks those that the store hides. So the one is
    asked for by name before its users are changed.
    """
    if namespace == context.caller.namespace or namespace is None:
        return
    if await context.session.namespaces.exists(namespace):
        raise NotPermitted("This namespace exists: its own Administrators change its users.")


async def delete(context: CallerContext, user_id: UserId) -> None:
    """Remove a user. Raises InvalidInput if it is the caller."""
    await _require_may_change(context, user_id.namespace)
    await _find(context.session, user_id)
    if user_id == context.caller.user_id:
        raise InvalidInput("Users cannot delete themselves.")
    async with voided(context.session, of_user(user_id)):
        with _revoked_in_doubt(context.session, user_id):
            await context.session.users.delete(user_id)
        context.session.credentials.revoke(user_id)
    context.note("user deleted", user=str(user_id))


async def set_passphrase(context: CallerContext, user_id: UserId, passphrase: Secret) -> None:
    """Give a user a new passphrase. The old passphrase is refused from then on."""
    await _require_may_change(context, user_id.namespace)
    verifier = await context.session.kdf_pool.run(
        lambda: make_verifier(passphrase), party=context.party
    )
    with _revoked_in_doubt(context.session, user_id):
        await context.session.users.update(user_id, lambda user: replace(user, verifier=verifier))
    context.session.credentials.revoke(user_id)
    context.note("passphrase changed", user=str(user_id))


async def add_tag(context: CallerContext, user_id: UserId, tag: Tag) -> bool:
    """Give an Operator a tag. Return False if it had the tag already."""
    await _require_may_change(context, user_id.namespace)
    user = await get(context.session, user_id)
    if user.role is not Role.OPERATOR:
        raise InvalidInput("Only Operators have tags.")
    if not await _retag(context.session, user_id, lambda tags: with_tag(tags, tag)):
        return False
    context.note("tag added", user=str(user_id), tag=tag)
    return True


async def remove_tag(context: CallerContext, user_id: UserId, tag: Tag) -> None:
    """Take a tag from an Operator. Raises NotFound if it did not have the tag."""
    await _require_may_change(context, user_id.namespace)
    async with voided(context.session, of_tag(tag, user_id)):
        has_changed = await _retag(context.session, user_id, lambda tags: tags - {tag})
    if not has_changed:
        raise NotFound(f"User {user_id} has no tag {tag}.")
    context.note("tag removed", user=str(user_id), tag=tag)


async def _retag(session: Session, user_id: UserId, edit: Callable[[Tags], Tags]) -> bool:
    """Replace a user's tags by `edit(tags)`, also for its running requests.

    Return False, without a write, if they stay as they are.
    """

    def retagged(user: User) -> User:
        return replace(user, tags=edit(user.tags))

    changes = session.credentials.changes
    try:
        with _revoked_in_doubt(session, user_id):
            user = await session.users.update(user_id, or_unchanged(retagged))
            if changes != session.credentials.changes:
                # Another member of the cluster may have changed the user since.
                user, _ = _found(user_id, await session.credentials.latest(user_id))
    except Unchanged:
        return False
    session.credentials.retag(user)
    return True


@contextmanager
def _revoked_in_doubt(session: Session, user_id: UserId) -> Iterator[None]:
    """Refuse credentials that were verified before, if a failed change may have been made.

    A store that fails may have made the change. A user that is missing may have been deleted by
    an earlier change of this kind.
    """
    try:
        yield
    except (NotFound, StoreUnavailable):
        session.credentials.revoke(user_id)
        raise
