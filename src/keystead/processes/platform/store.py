"""The store that the platform serves: SQLite alone, or with the etcd of a cluster."""

from collections.abc import Awaitable, Callable

from keystead.journal.log import Log
from keystead.platform.data_directory import DataDirectory
from keystead.processes.etcd.member import MemberDirectory
from keystead.processes.platform.opened_store import OpenedStore
from keystead.storage.backends.sqlite import SqliteStore

OpensStore = Callable[[DataDirectory, Log], Awaitable[OpenedStore]]


def opener(data: DataDirectory, *, can_join: bool) -> OpensStore:
    """Return what opens the store later, when no module can be loaded any more."""
    # The client of etcd takes memory, and only members need it.
    if MemberDirectory(data.etcd).exists:
        from keystead.processes.platform.member_store import open_member_store  # noqa: PLC0415

        return open_member_store
    if can_join:
        from keystead.processes.platform.member_store import open_store_that_joins  # noqa: PLC0415

        return open_store_that_joins
    return _open_sqlite


async def _open_sqlite(data: DataDirectory, _log: Log) -> OpenedStore:
    store = SqliteStore(data.database)
    return OpenedStore(store, store)
