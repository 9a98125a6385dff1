"""What the core asks of its cluster."""

from collections.abc import Sequence
from typing import Protocol

from keystead.model.members import ClusterView, DatabaseSpace, Member
from keystead.model.peer_urls import PeerUrl
from keystead.storage.key_value_store import Change


class Members(Protocol):
    """The cluster that this HSM is a member of.

    Every method raises StoreUnavailable if no majority can be reached, and changes raise Conflict
    if they would end the quorum.
    """

    async def present(self) -> list[Member]:
        """Return all members, as far as this one knows."""
        ...

    async def space(self) -> DatabaseSpace:
        """Return how full the database of this member is. It needs no majority."""
        ...

    async def view(self) -> ClusterView:
        """Return how the cluster is, as this member sees it. It needs no majority."""
        ...

    async def add(self, urls: Sequence[PeerUrl]) -> tuple[int, list[Member]]:
        """Add a learner. Return its number and all members. Raises Conflict for a second one."""
        ...

    async def move(self, number: int, urls: Sequence[PeerUrl]) -> None:
        """Change where others reach a member. Raises NotFound if there is no such member."""
        ...

    async def remove(self, number: int) -> None:
        """Remove a member. Raises NotFound if there is no such member."""
        ...

    async def promote(self, number: int) -> None:
        """Make a learner a full member. Raises WrongState if it does not have all records yet."""
        ...


class JoinsCluster(Protocol):
    """What makes this HSM a member of a cluster that has declared it."""

    async def join(self, name: str, members: Sequence[Member], own: Sequence[Change]) -> None:
        """Return when this HSM is a full member. With the next start its records are the cluster's.

        `own` are changes of this device's records that are then made. Raises InvalidInput if the
        cluster cannot be joined: then nothing has changed.
        """
        ...
