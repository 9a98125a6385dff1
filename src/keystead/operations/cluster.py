"""The members of the cluster, and how this HSM is with them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from keystead.errors import Conflict, NotFound, StoreUnavailable, WrongState
from keystead.model.ids import MemberId
from keystead.model.lifecycle import State
from keystead.model.members import ALMOST_FULL, ClusterView, DatabaseSpace, Member
from keystead.model.peer_urls import PeerUrl
from keystead.operations.caller_context import CallerContext
from keystead.operations.hsm import Hsm
from keystead.operations.members import Members
from keystead.operations.recovery import Recovery
from keystead.sealing.joiner_kit import make_kit
from keystead.storage.conditional import require_allowed
from keystead.storage.settings import BACKUP_KEY, BACKUP_SALT, UNLOCK_SALT, UNLOCK_SHARES

MOST_MEMBERS: Final = 5
_ALONE: Final = (
    "This HSM is the only member there is, with its records in SQLite: "
    "`keystead cluster init` makes it a cluster that others can join."
)

_MINORITY: Final = (
    "no majority of the cluster is in reach: what was revoked on other members works here"
)

_WARNED_OF: Final = timedelta(days=30)
"""How long before a certificate of the cluster expires the diagnosis warns of it."""

_EXPIRES: Final = (
    "the certificate by which other members know this one, or that of the cluster's authority, "
    "expires on {}: after that they do not connect any more"
)

_FORCED_ON_MACHINE: Final = (
    "The HSM recovers by itself once a majority of the cluster is back. If the others are lost for "
    "ever, stop its server and run `keystead cluster force-new` on its machine."
)

_REMOVED: Final = (
    "The other members have removed this HSM from the cluster. "
    "A factory reset (in this state by the user unlock, with the unlock passphrase) makes it an "
    "HSM that can join again."
)


@dataclass(frozen=True, slots=True)
class StoreDiagnosis:
    """Whether the store can be read, and why it cannot be written, if so."""

    store_answers: bool
    complaints: tuple[str, ...]
    warnings: Sequence[str] | None = None
    """What protects the machine less than it could. None unless the HSM is Operational, because
    anyone may ask in other states."""
    space: DatabaseSpace | None = None
    """How full etcd's database is. None without a cluster, while etcd does not answer, and in
    other states."""
    view: ClusterView | None = None
    """How the cluster is, as this member sees it. None as for `space`."""


async def diagnose(hsm: Hsm) -> StoreDiagnosis:
    """Return the health of the store."""
    if hsm.state is State.FAILED:
        return StoreDiagnosis(store_answers=False, complaints=(_why_failed(hsm.recovery),))
    reason = hsm.alarm.reason
    complaints = () if reason is None else (reason,)
    if not hsm.is_operational:
        return StoreDiagnosis(store_answers=True, complaints=complaints)
    warnings = list(hsm.warnings)
    if hsm.freshness is not None and hsm.freshness.serves_minority:
        warnings.append(_MINORITY)
    found = StoreDiagnosis(store_answers=True, complaints=complaints, warnings=warnings)
    return found if hsm.members is None else await _with_cluster(hsm, found)


async def _with_cluster(hsm: Hsm, found: StoreDiagnosis) -> StoreDiagnosis:
    found = replace(found, warnings=[*(found.warnings or ()), *await _of_certificates(hsm)])
    return replace(_with_database(found, await database_space(hsm)), view=await _view(hsm))


async def _of_certificates(hsm: Hsm) -> Sequence[str]:
    end = await hsm.tls.trusted_until()
    if end is None or end - datetime.fromtimestamp(hsm.time.now(), UTC) > _WARNED_OF:
        return []
    return [_EXPIRES.format(f"{end:%Y-%m-%d}")]


async def _view(hsm: Hsm) -> ClusterView | None:
    try:
        return await hsm.members.view() if hsm.members is not None else None
    except StoreUnavailable:
        return None


def _why_failed(recovery: Recovery) -> str:
    if recovery.is_removed:
        return _REMOVED
    return f"The store is out of reach. {recovery.reason}".rstrip()


def _with_database(found: StoreDiagnosis, space: DatabaseSpace | None) -> StoreDiagnosis:
    if space is None:
        complaint = "etcd does not say how full its database is."
        return replace(found, complaints=(*found.complaints, complaint))
    return replace(
        found,
        complaints=(*found.complaints, *(f"etcd says: {one}" for one in space.complaints)),
        warnings=[*(found.warnings or ()), *([ALMOST_FULL] if space.is_almost_full else ())],
        space=space,
    )


async def database_space(hsm: Hsm) -> DatabaseSpace | None:
    """Return how full etcd's database is, or None without a cluster or an answer of etcd."""
    if hsm.members is None:
        return None
    try:
        return await hsm.members.space()
    except StoreUnavailable:
        return None


async def members(hsm: Hsm) -> list[Member]:
    """Return all members, as far as this one knows: it answers without a majority too."""
    if hsm.members is not None:
        return await hsm.members.present()
    digest = hashlib.sha256(b"cluster member " + hsm.device_id.encode())
    return [Member(int.from_bytes(digest.digest()[:8]), member_name(hsm), ())]


def member_name(hsm: Hsm) -> str:
    """Return the name of this HSM among members."""
    return f"keystead-{hsm.device_id.lower()}"


async def find(hsm: Hsm, member_id: MemberId) -> Member:
    """Return a member. Raises NotFound if the cluster has no such member."""
    for member in await members(hsm):
        if member.member_id == member_id:
            return member
    raise NotFound(f"There is no cluster member {member_id}.")


async def add(
    hsm: Hsm, context: CallerContext, urls: Sequence[PeerUrl]
) -> tuple[list[Member], str]:
    """Declare a new member, a learner. Return all members, and the kit that it joins with.

    Raises WrongState without a backup passphrase or a cluster CA, and Conflict if there is a
    learner already.
    """
    cluster = _cluster(hsm)
    await hsm.tls.require_authority()
    kit = await _kit(hsm, context)
    present = await cluster.present()
    if len(present) >= MOST_MEMBERS:
        raise Conflict(f"The cluster has {MOST_MEMBERS} members, and cannot have more.")
    require_allowed()
    number, found = await cluster.add(urls)
    context.note("cluster member added", member=f"{number:x}", urls=" ".join(urls))
    return found, kit


async def _kit(hsm: Hsm, context: CallerContext) -> str:
    local, config = hsm.local.settings, context.session.config
    if await local.get(UNLOCK_SHARES) is not None:
        raise WrongState("The HSM has unlock shares: give it an unlock passphrase first.")
    # The salt belongs to this wrapped domain key.
    async with context.session.holding(hsm.changing):
        backup_key, backup_salt = await config.get(BACKUP_KEY), await config.get(BACKUP_SALT)
        unlock_salt = await local.get(UNLOCK_SALT)
        locked = await hsm.local.locked_domain_key()
    if backup_key is None or backup_salt is None or unlock_salt is None:
        raise WrongState("No backup passphrase is set yet: a new member joins with it.")
    return make_kit(backup_key, backup_salt, unlock_salt=unlock_salt, locked_domain_key=locked)


async def move(hsm: Hsm, context: CallerContext, member: Member, urls: Sequence[PeerUrl]) -> None:
    """Change where others reach a member. Raises Conflict for a learner."""
    if member.is_learner:
        raise Conflict(
            "A member that is still joining cannot be moved: etcd would count it as a full member. "
            "Remove it, and declare it with its new URLs."
        )
    require_allowed()
    await _cluster(hsm).move(member.number, urls)
    context.note("cluster member moved", member=member.member_id, urls=" ".join(urls))


async def remove(hsm: Hsm, context: CallerContext, member: Member) -> None:
    """Remove a member for ever, this HSM too. Raises Conflict for the last full one."""
    cluster = _cluster(hsm)
    others = [one for one in await cluster.present() if one.number != member.number]
    if not member.is_learner and all(one.is_learner for one in others):
        raise Conflict("The last full member cannot be removed: nothing would be left.")
    require_allowed()
    context.note("cluster member removed", member=member.member_id)
    await cluster.remove(member.number)


async def promote(hsm: Hsm, context: CallerContext, member: Member) -> None:
    """Make a learner a full member. Raises WrongState while it is behind."""
    require_allowed()
    await _cluster(hsm).promote(member.number)
    context.note("cluster member promoted", member=member.member_id)


def refuse_force(hsm: Hsm) -> NoReturn:
    """Raise WrongState, with what can be done instead."""
    if hsm.members is not None:
        raise WrongState(_FORCED_ON_MACHINE)
    raise WrongState(
        f"There is no cluster to force. {_ALONE} "
        "The HSM recovers by itself once the disk and the file system work."
    )


def _cluster(hsm: Hsm) -> Members:
    if hsm.members is None:
        raise WrongState(_ALONE)
    return hsm.members
