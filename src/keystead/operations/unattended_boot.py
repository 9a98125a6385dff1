"""Unattended boot: whether a restart opens the domain key by itself, with the device key alone."""

from keystead.model.users import Caller
from keystead.operations.hsm import Hsm
from keystead.operations.session import Session
from keystead.storage.settings import UNATTENDED_BOOT


async def is_on(hsm: Hsm) -> bool:
    """Return whether a restart comes up Operational."""
    return await hsm.local.settings.get(UNATTENDED_BOOT) or False


async def turn_on(hsm: Hsm, session: Session, caller: Caller) -> None:
    """Keep the domain key where this device opens it alone."""
    # In the session's own store: a restore may bring another domain key at any moment.
    await session.store.commit(
        [
            hsm.local.settings.put(UNATTENDED_BOOT, True),
            hsm.local.put_unattended(session.require_domain_key()),
        ]
    )
    session.note(caller, "unattended boot on")


async def turn_off(hsm: Hsm, session: Session, caller: Caller) -> None:
    """Have every restart wait for the unlock passphrase.

    An older copy of the database still has the slot, and the device key still opens it. What keeps
    the device key may be within reach of a stopped server only, so that replacing it is for the
    operator; the log says so.
    """
    await hsm.store.commit(
        [hsm.local.settings.put(UNATTENDED_BOOT, False), hsm.local.remove_unattended()]
    )
    session.note(caller, "unattended boot off")
    hsm.log.warning(
        "an older copy of the database still boots unattended until the device key is replaced",
        command="keystead device-key rewrap",
    )
