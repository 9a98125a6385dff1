"""Provision, unlock, lock."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from keystead.api.http.route import NO_CONTENT, Call, Reply
from keystead.api.resources.shapes import ErrorMessage, json_reply
from keystead.errors import InvalidInput
from keystead.model.secret import Hidden, Secret
from keystead.model.timestamps import parse_timestamp
from keystead.sealing.unlock_shares import WantedShares

First = TypeVar("First")
Second = TypeVar("Second")


class ProvisionRequest(Hidden, forbid_unknown_fields=True, rename="camel"):
    """POST /provision."""

    admin_passphrase: str
    system_time: str
    unlock_passphrase: str | UnsetType = UNSET
    unlock_shares: WantedShares | UnsetType = UNSET


class UnlockRequest(Hidden, forbid_unknown_fields=True, rename="camel"):
    """POST /unlock: the passphrase, or one of its shares."""

    passphrase: str | UnsetType = UNSET
    share: str | UnsetType = UNSET
    acknowledge_rollback: str = ""
    """The code of a 409: opens a store that is older, or has older settings, than it should be."""


class UnlockShares(Hidden):
    """The shares of the unlock passphrase, which are shown this once."""

    shares: list[str]


class UnlockProgress(msgspec.Struct):
    """How many shares were given, and how many are needed."""

    have: int
    need: int


def one_of(
    first: First | UnsetType, second: Second | UnsetType, *, names: tuple[str, str]
) -> First | Second:
    """Return the one of two fields that is set. Raises InvalidInput, with `names`, otherwise."""
    if not isinstance(first, UnsetType) and isinstance(second, UnsetType):
        return first
    if isinstance(first, UnsetType) and not isinstance(second, UnsetType):
        return second
    raise InvalidInput(f"Give either `{names[0]}` or `{names[1]}`.")


def shares_reply(shares: Sequence[str]) -> Reply[UnlockShares] | Reply[None]:
    """Return a 200 with shares, or a 204 if there are none."""
    return json_reply(UnlockShares([*shares])) if shares else NO_CONTENT


def new_unlock(
    call: Call[Any],
    passphrase: str | UnsetType,
    shares: WantedShares | UnsetType,
    *,
    name: str,
) -> Secret | WantedShares:
    """Return the new unlock passphrase, which is in the field `name`, or the shares to make.

    Raises InvalidInput unless just one of the two is given, and if the passphrase does not fit.
    """
    new = one_of(passphrase, shares, names=(name, "unlockShares"))
    return call.new_passphrase(new, name=name) if isinstance(new, str) else new


class UnlockConflict(ErrorMessage, rename="camel"):
    """Why the HSM stays Locked.

    With `acknowledgeRollback`, the store is not the one that was written last: `message` says what
    is wrong with it, and POST /unlock with this code opens it nevertheless.
    """

    acknowledge_rollback: str | UnsetType = UNSET


async def provision(call: Call[ProvisionRequest]) -> Reply[UnlockShares] | Reply[None]:
    """POST /provision: Unprovisioned → Operational; answers unlock shares, if they are wanted."""
    wanted = await call.json(ProvisionRequest)
    shares = await call.hsm.provision(
        unlock=new_unlock(
            call, wanted.unlock_passphrase, wanted.unlock_shares, name="unlockPassphrase"
        ),
        admin=call.new_passphrase(wanted.admin_passphrase, name="adminPassphrase"),
        system_time=parse_timestamp(wanted.system_time),
    )
    return shares_reply(shares)


async def unlock(
    call: Call[UnlockRequest],
) -> (
    Annotated[Reply[UnlockProgress], 202]
    | Annotated[Reply[None], 204, 403, 429]
    | Annotated[Reply[UnlockConflict], 409]
):
    """POST /unlock: Locked → Operational; with shares, once enough of them were given."""
    wanted = await call.json(UnlockRequest)
    given = one_of(wanted.passphrase, wanted.share, names=("passphrase", "share"))
    client, acknowledged = call.request.client, wanted.acknowledge_rollback
    if isinstance(wanted.share, UnsetType):
        await call.hsm.unlock(given, address=client, acknowledged=acknowledged)
        return NO_CONTENT
    progress = await call.hsm.unlock_with_share(given, address=client, acknowledged=acknowledged)
    if progress.is_enough:
        return NO_CONTENT
    return Reply(202, msgspec.json.encode(UnlockProgress(*progress)))


async def lock(call: Call[None]) -> Reply[None]:
    """POST /lock: Operational → Locked; the domain key is forgotten before the answer."""
    await call.hsm.lock()
    return NO_CONTENT
