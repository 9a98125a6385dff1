"""Finds out who calls: a user, or whoever knows the unlock passphrase, as the row asks."""

from typing import Any

from keystead import errors
from keystead.api.http.route import Authentication, Call
from keystead.model.lifecycle import State
from keystead.model.users import Caller
from keystead.operations.hsm import Hsm
from keystead.operations.shares import of_user


def knows_caller(call: Call[Any]) -> bool:
    """Return whether the caller was authenticated before. Refuse it if it may not use the row."""
    session, request = call.operational, call.request
    if session is None:
        raise errors.NotAuthenticated("Nobody can be authenticated in this state.")
    caller = session.credentials.known(request.headers.get("authorization"), request.client)
    if caller is None:
        return False
    _take_caller(call, caller)
    return True


async def authenticate(call: Call[Any]) -> None:
    """Authenticate the caller, and refuse it if it may not use the row."""
    header, address = call.request.headers.get("authorization"), call.request.client
    _take_caller(call, await call.session.credentials.authenticate(header, address))


async def authenticate_by_state(call: Call[Any]) -> None:
    """Authenticate the caller of a row for which the state of the HSM decides how.

    Raises NotAuthenticated if the credentials are wrong, TooManyAttempts soon after that,
    NotPermitted if the caller may not use the row, and WrongState if the HSM has left Failed.
    """
    hsm, authentication = call.hsm, call.route.authentication
    if authentication is Authentication.ROLE_OR_UNLOCK_PASSPHRASE_IF_FAILED:
        await _authenticate_if_failed(call)
        return
    asks_unlock_passphrase = authentication is Authentication.UNLOCK_PASSPHRASE
    if hsm.is_operational and not asks_unlock_passphrase and not knows_caller(call):
        await authenticate(call)
    # Asked only now: the HSM may have been locked while the caller was authenticated.
    if _asks_unlock_passphrase(hsm, authentication):
        header = call.request.headers.get("authorization")
        await hsm.unlocking.authenticate(header, address=call.request.client)


async def _authenticate_if_failed(call: Call[Any]) -> None:
    hsm, header = call.hsm, call.request.headers.get("authorization")
    if hsm.state is State.FAILED and hsm.unlocking.is_named(header):
        await hsm.unlocking.authenticate(header, address=call.request.client)
        if hsm.state is not State.FAILED:  # Its users can be asked again.
            raise errors.WrongState("The HSM is not Failed any more.")
    elif not knows_caller(call):
        await authenticate(call)


def _asks_unlock_passphrase(hsm: Hsm, authentication: Authentication) -> bool:
    match authentication:
        case Authentication.UNLOCK_PASSPHRASE:
            return True
        case Authentication.ROLE_OR_UNLOCK_PASSPHRASE:
            is_closed = hsm.state in {State.LOCKED, State.FAILED}
            return is_closed and not hsm.has_open_shutdown
        case _:
            return False


def _take_caller(call: Call[Any], caller: Caller) -> None:
    call.authenticated = caller
    call.require_open(call.route)
    if call.request.more:
        call.unread_body.belongs_to(of_user(caller.user_id))
