"""Settings of the whole HSM."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from keystead.api.http.route import NO_CONTENT, Call, Reply
from keystead.api.resources.lifecycle import UnlockShares, new_unlock, one_of, shares_reply
from keystead.api.resources.shapes import json_reply
from keystead.model.secret import Hidden
from keystead.model.timestamps import format_timestamp, parse_timestamp
from keystead.sealing.unlock_shares import MAX_SHARES, MIN_THRESHOLD, WantedShares

CurrentShares = Annotated[list[str], msgspec.Meta(min_length=MIN_THRESHOLD, max_length=MAX_SHARES)]


class UnlockPassphraseRequest(Hidden, forbid_unknown_fields=True, rename="camel"):
    """PUT /config/unlock-passphrase."""

    new_passphrase: str | UnsetType = UNSET
    unlock_shares: WantedShares | UnsetType = UNSET
    current_passphrase: str | UnsetType = UNSET
    current_shares: CurrentShares | UnsetType = UNSET


class UnattendedBoot(msgspec.Struct, forbid_unknown_fields=True):
    """GET and PUT /config/unattended-boot."""

    status: Literal["on", "off"]


class Time(msgspec.Struct, forbid_unknown_fields=True):
    """GET and PUT /config/time."""

    time: str


async def set_unlock_passphrase(
    call: Call[UnlockPassphraseRequest],
) -> Reply[UnlockShares] | Reply[None]:
    """PUT /config/unlock-passphrase: change the unlock passphrase, or have new shares made."""
    wanted = await call.json(UnlockPassphraseRequest)
    current = one_of(
        wanted.current_passphrase,
        wanted.current_shares,
        names=("currentPassphrase", "currentShares"),
    )
    new = new_unlock(call, wanted.new_passphrase, wanted.unlock_shares, name="newPassphrase")
    return shares_reply(await call.hsm.unlocking.change(call.context, new=new, current=current))


async def unattended_boot(call: Call[None]) -> Reply[UnattendedBoot]:
    """GET /config/unattended-boot: whether a restart waits for the unlock passphrase."""
    return json_reply(UnattendedBoot("on" if await call.hsm.unattended_boot.is_on() else "off"))


async def set_unattended_boot(call: Call[UnattendedBoot]) -> Reply[None]:
    """PUT /config/unattended-boot: have restarts wait for the unlock passphrase, or not."""
    wanted = await call.json(UnattendedBoot)
    if wanted.status == "on":
        await call.hsm.unattended_boot.turn_on(call.context)
    else:
        await call.hsm.unattended_boot.turn_off(call.context)
    return NO_CONTENT


async def time(call: Call[None]) -> Reply[Time]:
    """GET /config/time: the configured time."""
    return json_reply(Time(format_timestamp(call.hsm.time.now())))


async def set_time(call: Call[Time]) -> Reply[None]:
    """PUT /config/time: set the time."""
    wanted = parse_timestamp((await call.json(Time)).time)
    await call.hsm.time.set(call.context, wanted)
    return NO_CONTENT
