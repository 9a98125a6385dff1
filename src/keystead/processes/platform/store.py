"""The store that the platform serves: SQLite alone, or with the etcd of a cluster."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from keystead.journal.log import Log
from keystead.platform.data_directory import DataDirectory
from keystead.processes.etcd.member import MemberDirectory
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.key_value_store import KeyValueStore


class OpenStore(KeyValueStore, Protocol):
    """A store that has to be closed."""

    async def close(self) -> None:
        """Finish the commits already accepted, then close."""
        ...


OpensStore = Callable[[DataDirectory, Log], Awaitable[OpenStore]]


def opener(data: DataDirectory) -> OpensStore:
    """Return what opens the store later, when no module can be loaded any more."""
    if not MemberDirectory(data.etcd).exists:
        return _open_sqlite
    # The client of etcd takes memory, and only a member needs it.
    from keystead.processes.platform.member_store import open_member_store  # noqa: PLC0415

    return open_member_store


async def _open_sqlite(data: DataDirectory, _log: Log) -> OpenStore:
    return SqliteStore(data.database)
