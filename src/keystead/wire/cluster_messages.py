"""The messages between core and platform that only a cluster has."""

from typing import Literal

import msgspec

from keystead.wire.message import Message


class RecordsChanged(Message, tag=40, frozen=True):
    """platform → core: any member of the cluster has changed or deleted these records."""

    paths: list[str]


class AnyRecordChanged(Message, tag=41, frozen=True):
    """platform → core: any record may have been changed since the last message of this kind."""


class UpToDate(Message, tag=42, frozen=True):
    """platform → core: every change that was acknowledged before `as_of` has been told.

    `as_of` is a time of `wire.clock`. With `is_alone`, the cluster had no other member
    then.
    """

    as_of: float
    is_alone: bool = False


class ConfirmNow(Message, tag=43, frozen=True):
    """core → platform: ask a majority now, and send UpToDate. No reply by number."""


class ClusterMember(Message, frozen=True):
    """A member of the cluster. Its name is empty until it has started."""

    member_id: int
    name: str
    urls: list[str]
    is_learner: bool


class DatabaseStatus(Message, frozen=True):
    """How full the database of this member's etcd is, and what etcd reports as wrong."""

    size_bytes: int
    used_bytes: int
    quota_bytes: int
    complaints: list[str]


class ClusterStatus(Message, frozen=True):
    """How the cluster is, as this member's etcd sees it. Members are told by their IDs."""

    own: int
    leader: int
    """0 if it knows none."""
    behind: int
    """The changes that it has received and not made yet."""
    connected: list[int]
    """The other members that it has a connection with."""


MembersStepName = Literal["list", "add", "move", "remove", "promote", "space", "status"]
MembersRefusal = Literal["", "input", "missing", "state", "conflict", "unavailable"]


class MembersStep(Message, tag=44, frozen=True):
    """core → platform: list the members of the cluster, or change them, or ask for the `space`.

    `add` a learner with `urls`, `move` a member to other `urls`, `remove` or `promote` it.
    """

    id: int
    step: MembersStepName
    member_id: int = 0
    urls: list[str] = msgspec.field(default_factory=list)


class MembersAnswer(Message, tag=45, frozen=True):
    """platform → core: the members after the step, or why it was refused.

    `member_id` is that of the member that was added. `unavailable` leaves open whether the step
    was done.
    """

    id: int
    members: list[ClusterMember] = msgspec.field(default_factory=list)
    member_id: int = 0
    refusal: MembersRefusal = ""
    message: str = ""
    space: DatabaseStatus | None = None
    """The answer to `space`."""
    status: ClusterStatus | None = None
    """The answer to `status`, besides the members."""


News = RecordsChanged | AnyRecordChanged | UpToDate
