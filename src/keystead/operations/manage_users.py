"""Users: made, changed and removed by the Administrators of their namespace."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from keystead.errors import AlreadyExists, InvalidInput, NotFound, NotPermitted, StoreUnavailable
from keystead.model.ids import NamespaceId, Tag, UserId, with_tag
from keystead.model.secret import Secret
from keystead.model.users import Caller, Role, User
from keystead.operations.session import Session
from keystead.operations.shares import of_user
from keystead.sealing.passphrase import make_verifier
from keystead.storage.key_value_store import MISSING

Tags = frozenset[Tag]

_GENERATED_ID_BYTES = 10


@dataclass(frozen=True, slots=True)
class NewUser:
    """What a user is made from."""

    real_name: str
    role: Role
    passphrase: Secret


def new_id(namespace: NamespaceId | None) -> UserId:
    """Return a made-up user ID in `namespace`."""
    return UserId(namespace, os.urandom(_GENERATED_ID_BYTES).hex())


async def list_users(session: Session, caller: Caller) -> list[UserId]:
    """Return the users of the caller's namespace; of all namespaces for a caller without one."""
    return await session.users.list(caller.namespace)


async def _find(session: Session, user_id: UserId) -> tuple[User, int]:
    found = await session.users.get(user_id)
    if found is None:
        raise NotFound(f"User {user_id} not found.")
    return found


async def get(session: Session, _: Caller, user_id: UserId) -> User:
    """Return a user, or raise NotFound."""
    return (await _find(session, user_id))[0]


async def get_operator(session: Session, caller: Caller, user_id: UserId) -> User:
    """Return an Operator; NotFound for anyone else: only Operators have tags."""
    user = await get(session, caller, user_id)
    if user.role is not Role.OPERATOR:
        raise NotFound(f"User {user_id} is not an Operator.")
    return user


async def add(session: Session, caller: Caller, user_id: UserId, wanted: NewUser) -> None:
    """Make a user in the caller's namespace, or, for the root, in one not created yet."""
    _require_may_create(session, caller, user_id.namespace)
    if await session.users.get(user_id) is not None:
        raise AlreadyExists(f"User {user_id} already exists.")
    verifier = await session.kdf_pool.run(
        lambda: make_verifier(wanted.passphrase), party=of_user(caller.user_id)
    )
    # The namespace may have been created while the passphrase was being hashed.
    _require_may_create(session, caller, user_id.namespace)
    user = User(user_id, wanted.real_name, wanted.role, verifier)
    await session.users.put(user, expected=MISSING)
    session.note(caller, "user created", user=str(user_id), role=wanted.role.value)


def _require_may_create(session: Session, caller: Caller, namespace: NamespaceId | None) -> None:
    if namespace == caller.namespace:
        return
    if caller.namespace is not None:
        raise NotPermitted("Users of a namespace cannot create users of another.")
    if session.is_namespace(namespace):
        raise NotPermitted("This namespace exists: its own Administrators create its users.")


async def delete(session: Session, caller: Caller, user_id: UserId) -> None:
    """Remove a user; InvalidInput when it is the caller."""
    await _find(session, user_id)
    if user_id == caller.user_id:
        raise InvalidInput("Users cannot delete themselves.")
    with _revoked_in_doubt(session, user_id):
        await session.users.delete(user_id)
    session.credentials.revoke(user_id)
    session.note(caller, "user deleted", user=str(user_id))


async def set_passphrase(
    session: Session, caller: Caller, user_id: UserId, passphrase: Secret
) -> None:
    """Give a user a new passphrase; the old one is refused from then on."""
    verifier = await session.kdf_pool.run(
        lambda: make_verifier(passphrase), party=of_user(caller.user_id)
    )
    with _revoked_in_doubt(session, user_id):
        await session.users.update(user_id, lambda user: replace(user, verifier=verifier))
    session.credentials.revoke(user_id)
    session.note(caller, "passphrase changed", user=str(user_id))


async def add_tag(session: Session, caller: Caller, user_id: UserId, tag: Tag) -> bool:
    """Give an Operator a tag; return False when it had it."""
    user = await get(session, caller, user_id)
    if user.role is not Role.OPERATOR:
        raise InvalidInput("Only Operators have tags.")
    if tag in user.tags:
        return False
    await _retag(session, user_id, lambda tags: with_tag(tags, tag))
    session.note(caller, "tag added", user=str(user_id), tag=tag)
    return True


async def remove_tag(session: Session, caller: Caller, user_id: UserId, tag: Tag) -> None:
    """Take a tag from an Operator; NotFound when it did not have it."""
    if tag not in (await get(session, caller, user_id)).tags:
        raise NotFound(f"User {user_id} has no tag {tag}.")
    await _retag(session, user_id, lambda tags: tags - {tag})
    session.note(caller, "tag removed", user=str(user_id), tag=tag)


async def _retag(session: Session, user_id: UserId, edit: Callable[[Tags], Tags]) -> None:
    """Replace a user's tags by `edit` of them, for its requests under way too."""
    with _revoked_in_doubt(session, user_id):
        user = await session.users.update(user_id, lambda user: replace(user, tags=edit(user.tags)))
    session.credentials.retag(user)


@contextmanager
def _revoked_in_doubt(session: Session, user_id: UserId) -> Iterator[None]:
    """Refuse what a user has proven before, unless a change that failed has changed nothing.

    A store that fails may have made the change; a user that is not there was deleted in such a way.
    """
    try:
        yield
    except (NotFound, StoreUnavailable):
        session.credentials.revoke(user_id)
        raise
