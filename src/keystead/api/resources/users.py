"""Users: role, tags and passphrase, and the rules on which users a caller may change."""

from typing import Any

import msgspec

from keystead.api.http.route import NO_CONTENT, Call, Created, Reply
from keystead.api.resources.shapes import Item, id_list, json_reply
from keystead.errors import InvalidInput, NotPermitted
from keystead.model.ids import NAMESPACE_SEPARATOR, UserId, parse_namespace_id
from keystead.model.secret import Hidden
from keystead.model.users import Role
from keystead.operations import manage_users
from keystead.operations.manage_users import NewUser

_LOCATION = "/api/v1/users/"


class UserRequest(Hidden, forbid_unknown_fields=True, rename="camel"):
    """POST /users and PUT /users/{id}."""

    real_name: str
    role: Role
    passphrase: str


class PassphraseRequest(Hidden, forbid_unknown_fields=True):
    """POST /users/{id}/passphrase."""

    passphrase: str


class UserItem(msgspec.Struct):
    """A user in a list."""

    user: str


class UserView(msgspec.Struct, rename="camel"):
    """GET /users/{id}."""

    real_name: str
    role: Role


def target(call: Call[Any]) -> UserId:
    """Return the user in the path. Raises InvalidInput if the ID is malformed."""
    return UserId.parse(call.parameters["user_id"])


# --- guards: which users a caller may change ---


def same_namespace(call: Call[Any]) -> None:
    """Refuse users of another namespace, except to the root if that is not created yet."""
    namespace = target(call).namespace
    if namespace == call.caller.namespace:
        return
    if call.caller.namespace is None and not call.session.is_namespace(namespace):
        return
    raise NotPermitted("This user is in another namespace.")


def self_or_administrator(call: Call[Any]) -> None:
    """Refuse Operators anyone but themselves, and Administrators other namespaces' users."""
    same_namespace(call)
    _require_self_or_administrator(call)


def self_or_administrator_or_root(call: Call[Any]) -> None:
    """As self_or_administrator, but a caller without a namespace reaches into all of them."""
    if call.caller.namespace is not None:
        same_namespace(call)
    _require_self_or_administrator(call)


def _require_self_or_administrator(call: Call[Any]) -> None:
    if target(call) != call.caller.user_id and not call.caller.is_administrator:
        raise NotPermitted("Your role does not allow this for another user.")


# --- handlers ---


async def list_all(call: Call[None]) -> Reply[list[UserItem]]:
    """GET /users: the users."""
    found = await manage_users.list_users(call.context)
    return Reply(200, await id_list("user", found))


async def _new_user(call: Call[UserRequest]) -> NewUser:
    """Return what is asked for. Raises InvalidInput for a passphrase that will not do."""
    wanted = await call.json(UserRequest)
    return NewUser(wanted.real_name, wanted.role, call.new_passphrase(wanted.passphrase))


async def create(call: Call[UserRequest]) -> Created[Item]:
    """POST /users: add a user; the ID is generated, the namespace is the caller's."""
    wanted = await _new_user(call)
    user_id = manage_users.new_id(call.caller.namespace)
    await manage_users.add(call.context, user_id, wanted)
    return _created(user_id)


async def create_in(call: Call[UserRequest]) -> Created[Item]:
    """POST /users/{namespace}~: add a user to a namespace; the ID is generated."""
    namespace, separator, name = call.parameters["user_id"].partition(NAMESPACE_SEPARATOR)
    if not separator or name:
        raise InvalidInput(
            "POST here takes a namespace and '~'; for users without one, POST /users."
        )
    user_id = manage_users.new_id(parse_namespace_id(namespace))
    wanted = await _new_user(call)
    await manage_users.add(call.context, user_id, wanted)
    return _created(user_id)


async def create_as(call: Call[UserRequest]) -> Created[None]:
    """PUT /users/{id}: add a user."""
    user_id = target(call)
    wanted = await _new_user(call)
    await manage_users.add(call.context, user_id, wanted)
    return Reply(201, headers=[("Location", f"{_LOCATION}{user_id}")])


async def show(call: Call[None]) -> Reply[UserView]:
    """GET /users/{id}: a user."""
    user = await manage_users.get(call.session, target(call))
    return json_reply(UserView(user.real_name, user.role))


async def delete(call: Call[None]) -> Reply[None]:
    """DELETE /users/{id}: delete a user."""
    await manage_users.delete(call.context, target(call))
    return NO_CONTENT


async def set_passphrase(call: Call[PassphraseRequest]) -> Reply[None]:
    """POST /users/{id}/passphrase: change a passphrase."""
    user_id = target(call)
    await manage_users.get(call.session, user_id)
    passphrase = call.new_passphrase((await call.json(PassphraseRequest)).passphrase)
    await manage_users.set_passphrase(call.context, user_id, passphrase)
    return NO_CONTENT


async def tags(call: Call[None]) -> Reply[list[str]]:
    """GET /users/{id}/tags: the tags of an Operator."""
    user = await manage_users.get_operator(call.session, target(call))
    return json_reply(sorted(user.tags))


def _created(user_id: UserId) -> Created[Item]:
    body = msgspec.json.encode(Item(str(user_id)))
    return Reply(201, body, [("Location", f"{_LOCATION}{user_id}")])
