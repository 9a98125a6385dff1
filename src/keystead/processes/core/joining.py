"""Makes this HSM a member of a cluster: the supervisor starts etcd, the platform waits for it."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from keystead.errors import InvalidInput
from keystead.model.members import Member
from keystead.operations.tls import Tls
from keystead.platform.remote_members import RemoteMembers
from keystead.processes.core.peer_tls import PeerTls
from keystead.storage.key_value_store import Change
from keystead.wire.control import MAX_PACKET_BYTES
from keystead.wire.control_messages import BeginJoin, EndJoin, Peer
from keystead.wire.platform_messages import Write

_MOST_URL_BYTES = MAX_PACKET_BYTES - 1024


class Joining(msgspec.Struct):
    """What makes this HSM a member of a cluster that has declared it."""

    tls: Tls
    peer_tls: PeerTls
    members: RemoteMembers
    order: Callable[[BeginJoin | EndJoin], Awaitable[None]]
    """Gives an order to the supervisor, and returns when it is noted."""

    async def join(self, name: str, members: Sequence[Member], own: Sequence[Change]) -> None:
        """Return when this HSM is a full member.

        Raises InvalidInput if the cluster cannot be joined.
        """
        if sum(len(url) + len(one.name) for one in members for url in one.urls) > _MOST_URL_BYTES:
            raise InvalidInput("The names and URLs of the members are too long.")
        authority = self.peer_tls.write(self.tls.identity, await self.tls.cluster_ca())
        peers = [Peer(one.name, list(one.urls)) for one in members]
        is_member = False
        await self.order(BeginJoin(name, peers, authority))
        try:
            await self.members.await_promotion([Write(one.path, one.value) for one in own])
            is_member = True
        finally:
            await self.order(EndJoin(is_member))
