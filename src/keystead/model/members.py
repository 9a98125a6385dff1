"""Members of a cluster."""

from typing import Final, NamedTuple

from keystead.model.ids import MemberId

_MUCH: Final = 0.75
"""The part of the quota from which on a database is said to be almost full."""
ALMOST_FULL: Final = "the database of etcd is almost full: defragment it"


class Member(NamedTuple):
    """One HSM of a cluster, or a witness. Its name is empty until it has started."""

    number: int
    """Its ID as etcd has it: 64 bits."""
    name: str
    urls: tuple[str, ...]
    is_learner: bool = False

    @property
    def member_id(self) -> MemberId:
        """The ID as etcd writes it: hexadecimal digits, not padded."""
        return MemberId(f"{self.number:x}")


class ClusterView(NamedTuple):
    """How the cluster is, as one of its members sees it. Members are told by their numbers."""

    members: tuple[Member, ...]
    own: int
    """The member that sees it."""
    leader: int
    """0 if it knows none: then there is no majority, or an election."""
    behind: int
    """The changes that it has received and not made yet."""
    connected: frozenset[int]
    """The other members that it has a connection with."""


class DatabaseSpace(NamedTuple):
    """How full the database of a member's etcd is."""

    size_bytes: int
    used_bytes: int
    """The part of it that records need. The rest is free for new ones."""
    quota_bytes: int
    """The size from which on etcd refuses every change."""
    complaints: tuple[str, ...] = ()
    """The alarms, and what else etcd reports as wrong."""

    @property
    def is_almost_full(self) -> bool:
        """Whether someone should make room."""
        return self.size_bytes > self.quota_bytes * _MUCH
