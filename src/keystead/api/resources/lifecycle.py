"""Provision, unlock, lock."""

from typing import Annotated

from keystead.api.http.route import NO_CONTENT, Call, Reply
from keystead.model.secret import Hidden
from keystead.model.timestamps import parse_timestamp


class ProvisionRequest(Hidden, forbid_unknown_fields=True, rename="camel"):
    """POST /provision."""

    unlock_passphrase: str
    admin_passphrase: str
    system_time: str


class UnlockRequest(Hidden, forbid_unknown_fields=True):
    """POST /unlock."""

    passphrase: str


async def provision(call: Call[ProvisionRequest]) -> Reply[None]:
    """POST /provision: Unprovisioned → Operational."""
    wanted = await call.json(ProvisionRequest)
    await call.hsm.provision(
        unlock=call.new_passphrase(wanted.unlock_passphrase, name="unlockPassphrase"),
        admin=call.new_passphrase(wanted.admin_passphrase, name="adminPassphrase"),
        system_time=parse_timestamp(wanted.system_time),
    )
    return NO_CONTENT


async def unlock(call: Call[UnlockRequest]) -> Annotated[Reply[None], 403, 429]:
    """POST /unlock: Locked → Operational."""
    wanted = await call.json(UnlockRequest)
    await call.hsm.unlock(wanted.passphrase, address=call.request.client)
    return NO_CONTENT


async def lock(call: Call[None]) -> Reply[None]:
    """POST /lock: Operational → Locked; the domain key is forgotten before the answer."""
    await call.hsm.lock()
    return NO_CONTENT
