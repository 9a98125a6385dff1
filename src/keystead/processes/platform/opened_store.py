"""What the platform gets when its store is opened."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import NamedTuple, Protocol

from keystead.platform.service import StoreService
from keystead.storage.key_value_store import KeyValueStore
from keystead.wire.cluster_messages import MembersAnswer
from keystead.wire.platform_messages import FreshnessSettings, MembersQuestion


class OpenStore(KeyValueStore, Protocol):
    """A store that has to be closed."""

    async def close(self) -> None:
        """Finish the commits already accepted, then close."""
        ...


Follow = Callable[[StoreService, FreshnessSettings], Coroutine[None, None, None]]
"""Tells the core what other members of the cluster change, until cancelled."""


AnswersMembers = Callable[[MembersQuestion], Awaitable[MembersAnswer]]


class OpenedStore(NamedTuple):
    """A store. `follow` is None if no other process can change it.

    `own` has the records of this device. `members` answers what is asked of the cluster, and is
    None if this HSM is in none and can join none.
    """

    store: OpenStore
    own: KeyValueStore
    follow: Follow | None = None
    members: AnswersMembers | None = None
