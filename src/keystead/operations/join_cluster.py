"""An HSM gives up its records for those of a cluster."""

from collections.abc import Sequence
from typing import Final

from keystead.errors import InvalidInput, WrongState
from keystead.model.members import Member
from keystead.model.secret import Secret
from keystead.operations import cluster
from keystead.operations.caller_context import CallerContext
from keystead.operations.hsm import Hsm
from keystead.sealing.joiner_kit import JoinerKit
from keystead.sealing.passphrase import derive_unlock_key
from keystead.storage import settings
from keystead.storage.conditional import require_allowed
from keystead.storage.key_value_store import Change

FEWEST_MEMBERS: Final = 2
"""The one that has declared this HSM, and this HSM."""


async def join(
    hsm: Hsm, context: CallerContext, members: Sequence[Member], kit_text: str, passphrase: Secret
) -> None:
    """Become a member of a cluster, as `members` list it: the one without a name is this HSM.

    Returns when a member has promoted this HSM, whose records are then gone. The device keeps its
    own settings. Raises InvalidInput if the kit does not open or the cluster cannot be joined, and
    WrongState without a cluster CA; then nothing has changed.
    """
    if hsm.joins is None:
        raise WrongState(
            "This HSM cannot join a cluster: it is in one, "
            "or its configuration file names no etcd in [cluster]."
        )
    await hsm.tls.require_authority()
    _require_sound(members)
    kit = JoinerKit(kit_text)
    key = await hsm.kdf_pool.run(lambda: derive_unlock_key(passphrase, kit.backup_salt))
    unlock_salt, locked = kit.open(key)
    name = cluster.member_name(hsm)
    named = [one if one.name else one._replace(name=name) for one in members]
    async with context.session.holding(hsm.changing):
        require_allowed()
        context.note("joining a cluster", members=" ".join(one.name for one in named))
        await hsm.joins.join(name, named, _own(hsm, unlock_salt, locked))
        await hsm.unattended_boot.forget_key()
    hsm.log.warning("this HSM is a member of a cluster: its earlier records are gone")


def _require_sound(members: Sequence[Member]) -> None:
    names = [one.name for one in members]
    urls = [url for one in members for url in one.urls]
    if not FEWEST_MEMBERS <= len(members) <= cluster.MOST_MEMBERS:
        raise InvalidInput(
            f"A cluster to join has {FEWEST_MEMBERS} to {cluster.MOST_MEMBERS} members."
        )
    if names.count("") != 1:
        raise InvalidInput("Exactly one member must have no name: this HSM.")
    if len(set(names)) < len(names) or len(set(urls)) < len(urls):
        raise InvalidInput("A name or a URL is given twice.")


def _own(hsm: Hsm, unlock_salt: bytes, locked: bytes) -> list[Change]:
    """Return the changes of this device's records with which the cluster's domain key opens."""
    local = hsm.local
    own = local.settings
    return [
        local.put_locked_domain_key(locked),
        local.remove_unbound_slot(),
        *local.remove_unattended(),
        own.put(settings.UNATTENDED_BOOT, False),
        own.put(settings.UNLOCK_SALT, unlock_salt),
        own.remove(settings.UNLOCK_SHARES),
        own.remove(settings.RESTORED_SEAL),
        own.remove(settings.RESTORED_VERSIONS),
        *hsm.audit.park(),
    ]
