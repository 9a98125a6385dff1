"""The cluster API for one member, this HSM."""

import hashlib
from dataclasses import dataclass
from typing import NoReturn

from keystead.errors import NotFound, WrongState
from keystead.model.ids import MemberId
from keystead.model.lifecycle import State
from keystead.operations.hsm import Hsm

_ALONE = "This HSM is the only member there is. This version does not offer to add others."


@dataclass(frozen=True, slots=True)
class Member:
    """One HSM of a cluster. `member_id` is 64 bits as etcd writes them: hexadecimal, not padded."""

    member_id: MemberId
    name: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Whether the store can be read, and why it cannot be written, if so."""

    store_answers: bool
    complaints: tuple[str, ...]


def diagnose(hsm: Hsm) -> Diagnosis:
    """Return the health of the store."""
    if hsm.state is State.FAILED:
        return Diagnosis(store_answers=False, complaints=("The store is out of reach.",))
    reason = hsm.alarm.reason
    return Diagnosis(store_answers=True, complaints=() if reason is None else (reason,))


def members(hsm: Hsm) -> list[Member]:
    """Return all members."""
    digest = hashlib.sha256(b"cluster member " + hsm.device_id.encode())
    return [
        Member(
            MemberId(f"{int.from_bytes(digest.digest()[:8]):x}"),
            f"keystead-{hsm.device_id.lower()}",
        )
    ]


def require_member(hsm: Hsm, member_id: MemberId) -> None:
    """Raise NotFound unless the cluster has this member."""
    if member_id not in {member.member_id for member in members(hsm)}:
        raise NotFound(f"There is no cluster member {member_id}. {_ALONE}")


def refuse_change() -> NoReturn:
    """Raise WrongState: members cannot be added, promoted, moved or removed."""
    raise WrongState(_ALONE)


def refuse_force() -> NoReturn:
    """Raise WrongState: the state Failed was not caused by a cluster."""
    raise WrongState(
        f"There is no cluster to force. {_ALONE} "
        "The HSM recovers by itself once the disk and the file system work."
    )
