"""The members of the cluster, for the core, which asks another process."""

from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

from keystead.errors import (
    Conflict,
    InvalidInput,
    KeysteadError,
    NotFound,
    StoreUnavailable,
    WrongState,
)
from keystead.model.members import ClusterView, DatabaseSpace, Member
from keystead.model.peer_urls import PeerUrl
from keystead.wire.cluster_messages import MembersAnswer, MembersStep, MembersStepName
from keystead.wire.connection import ConnectionEnded
from keystead.wire.platform_messages import JoinCluster, Write

_ERRORS: Final[dict[str, type[KeysteadError]]] = {
    "input": InvalidInput,
    "missing": NotFound,
    "state": WrongState,
    "conflict": Conflict,
    "unavailable": StoreUnavailable,
}


class AsksMembers(Protocol):
    """What RemoteMembers needs of `keystead.wire.connection.Exchanges`."""

    def next_id(self) -> int:
        """Return the id of the next question."""
        ...

    def ask(self, message: MembersStep | JoinCluster, /) -> Awaitable[MembersAnswer]:
        """Send `message` and return the reply to it.

        Raises ConnectionEnded if the other process is gone.
        """
        ...


class RemoteMembers:
    """The members, at the other end of a connection.

    Every method raises StoreUnavailable if the other process is gone or no majority answers.
    """

    def __init__(self, exchanges: AsksMembers) -> None:
        self._exchanges = exchanges

    async def present(self) -> list[Member]:
        """Return all members, as far as this one knows."""
        return _members(await self._step("list"))

    async def space(self) -> DatabaseSpace:
        """Return how full the database of this member is. It needs no majority."""
        found = (await self._step("space")).space
        if found is None:
            raise StoreUnavailable("The cluster did not say how full it is.")
        complaints = tuple(found.complaints)
        return DatabaseSpace(found.size_bytes, found.used_bytes, found.quota_bytes, complaints)

    async def view(self) -> ClusterView:
        """Return how the cluster is, as this member sees it. It needs no majority."""
        answer = await self._step("status")
        found = answer.status
        if found is None:
            raise StoreUnavailable("The cluster did not say how it is.")
        connected = frozenset(found.connected)
        members = tuple(_members(answer))
        return ClusterView(members, found.own, found.leader, found.behind, connected)

    async def add(self, urls: Sequence[PeerUrl]) -> tuple[int, list[Member]]:
        """Add a learner. Return its number and all members. Raises Conflict for a second one."""
        answer = await self._step("add", urls=urls)
        return answer.member_id, _members(answer)

    async def move(self, number: int, urls: Sequence[PeerUrl]) -> None:
        """Change where others reach a member. Raises NotFound if there is no such member."""
        await self._step("move", number, urls)

    async def remove(self, number: int) -> None:
        """Remove a member. Raises NotFound, and Conflict if that would end the quorum."""
        await self._step("remove", number)

    async def promote(self, number: int) -> None:
        """Make a learner a full member. Raises WrongState if it does not have all records yet."""
        await self._step("promote", number)

    async def await_promotion(self, own: Sequence[Write]) -> None:
        """Return when the etcd that was started to join is a full member, and `own` is kept.

        Raises InvalidInput if it cannot join.
        """
        await self._ask(JoinCluster(self._exchanges.next_id(), list(own)))

    async def _step(
        self, step: MembersStepName, number: int = 0, urls: Sequence[PeerUrl] = ()
    ) -> MembersAnswer:
        return await self._ask(MembersStep(self._exchanges.next_id(), step, number, list(urls)))

    async def _ask(self, question: MembersStep | JoinCluster) -> MembersAnswer:
        try:
            answer = await self._exchanges.ask(question)
        except ConnectionEnded as error:
            raise StoreUnavailable("The cluster is out of reach.") from error
        if answer.refusal:
            raise _ERRORS[answer.refusal](answer.message)
        return answer


def _members(answer: MembersAnswer) -> list[Member]:
    return [
        Member(one.member_id, one.name, tuple(one.urls), one.is_learner) for one in answer.members
    ]
