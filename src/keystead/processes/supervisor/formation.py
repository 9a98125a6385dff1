"""Makes an HSM a cluster of one, and a cluster of one an HSM with records in SQLite again.

All or nothing: the records are copied and compared, and then a directory is renamed. That is the
only step that counts; an earlier one that was interrupted is done again, and what is left of the
other copy is deleted at the next start.
"""

import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keystead.deadlines import within
from keystead.errors import CommitTooLarge, StartRefused
from keystead.etcd import calls
from keystead.etcd.client import EtcdClient
from keystead.etcd.messages import MemberListRequest
from keystead.journal.log import Log
from keystead.model.peer_urls import PeerUrl
from keystead.platform import durable
from keystead.platform.data_directory import DataDirectory
from keystead.processes.etcd.member import InitialPeer, MemberDirectory, MemberRecord
from keystead.processes.platform.member_store import majority
from keystead.processes.supervisor.etcd_member import EtcdMember
from keystead.storage.backends.etcd import EtcdStore
from keystead.storage.backends.split import MOVABLE, SplitStore, remove_movable
from keystead.storage.backends.sqlite import SqliteStore
from keystead.storage.key_value_store import Change, KeyValueStore, Record
from keystead.storage.paths import devices

START_SECONDS: Final = 60
"""How long etcd may take to serve."""
_PAGE_BYTES: Final = 256 * 1024
_PAGE_RECORDS: Final = 400
"""Less than etcd takes in one transaction."""


@dataclass(frozen=True, slots=True)
class Formation:
    """The data directory of a stopped server, and the operator's etcd."""

    data: DataDirectory
    program: Path
    log: Log
    child_options: tuple[str, ...] = ()

    async def form(self, url: PeerUrl) -> int:
        """Bring the shared records into a new etcd. Return how many there are.

        `url` is where other members will reach this one. Raises StartRefused if this HSM is a
        member already, or etcd does not start.
        """
        if MemberDirectory(self.data.etcd).exists:
            raise StartRefused("This HSM is a member of a cluster already.")
        fresh = self.data.etcd.with_suffix(".new")
        durable.remove_tree(fresh)
        async with self._own() as own:
            name = await _name(own)
            record = MemberRecord(name, [InitialPeer(name, [url])], token=secrets.token_hex(16))
            directory = MemberDirectory(fresh)
            directory.begin(record)
            async with self._running(directory) as (_, shared):
                count = await _copy(own, shared)
            fresh.rename(self.data.etcd)
            durable.sync_directory(self.data.path)
            await remove_movable(own)
        return count

    async def dissolve(self) -> int:
        """Bring the shared records back into SQLite, and delete the etcd. Return how many.

        Raises StartRefused, also if the cluster has other members.
        """
        directory = MemberDirectory(self.data.etcd)
        if not directory.exists:
            raise StartRefused("This HSM is not a member of a cluster.")
        async with self._own() as own, self._running(directory) as (client, shared):
            found = await client.call(calls.MEMBER_LIST, MemberListRequest())
            if len(found.members) > 1:
                raise StartRefused(f"The cluster has {len(found.members)} members. Remove others.")
            # A commit to both that was interrupted is finished by the first read.
            _ = await SplitStore(shared, own, device=directory.record().name).get("/local/")
            await remove_movable(own)
            count = await _copy(shared, own)
        gone = self.data.etcd.with_suffix(".old")
        durable.remove_tree(gone)
        self.data.etcd.rename(gone)
        durable.sync_directory(self.data.path)
        durable.remove_tree(gone)
        return count

    @contextlib.asynccontextmanager
    async def _own(self) -> AsyncIterator[SqliteStore]:
        if not self.data.database.exists():
            raise StartRefused("There is no store yet: start the server once first.")
        store = SqliteStore(self.data.database)
        try:
            yield store
        finally:
            await store.close()

    def _running(
        self, directory: MemberDirectory
    ) -> contextlib.AbstractAsyncContextManager[tuple[EtcdClient, EtcdStore]]:
        return serving(directory, self.program, self.log, self.child_options)


@contextlib.asynccontextmanager
async def serving(
    directory: MemberDirectory, program: Path, log: Log, child_options: tuple[str, ...]
) -> AsyncIterator[tuple[EtcdClient, EtcdStore]]:
    """Run the etcd of a cluster of one, and stop it in good order at the end.

    Raises StartRefused if it does not serve within START_SECONDS.
    """
    member = EtcdMember(directory, program, log, child_options)
    client = EtcdClient(str(directory.socket))
    store = EtcdStore(client, device=directory.record().name)
    member.start()
    try:
        await within(START_SECONDS, majority(client, log))
        yield client, store
    except TimeoutError:
        why = member.refusal or "Its log says why."
        raise StartRefused(f"etcd does not serve after {START_SECONDS} s. {why}") from None
    finally:
        await store.close()
        await member.stop()


async def _name(own: SqliteStore) -> str:
    found = await devices(own)
    if found is None or len(found) != 1:
        raise StartRefused("There is no store yet: start the server once first.")
    (device,) = found
    return f"keystead-{device.lower()}"


async def _copy(source: KeyValueStore, target: KeyValueStore) -> int:
    """Copy all records that move, and compare them. Return how many there are."""
    count = 0
    for start, stop in MOVABLE:
        begin = start
        while page := await source.scan(begin, stop, limit_bytes=_PAGE_BYTES):
            for first in range(0, len(page), _PAGE_RECORDS):
                await _put(target, page[first : first + _PAGE_RECORDS])
            count += len(page)
            begin = page[-1].path + "\0"
    if await _digest(source) != await _digest(target):
        raise StartRefused("The copy of the records is not the same as the records.")
    return count


async def _put(target: KeyValueStore, part: Sequence[Record]) -> None:
    try:
        _ = await target.commit([Change(one.path, one.entry.value) for one in part])
    except CommitTooLarge:
        largest = max(part, key=lambda one: len(one.entry.value))
        raise StartRefused(
            f"The record {largest.path} has {len(largest.entry.value)} bytes, which is more than "
            "etcd takes. Nothing has changed. Start the server, make it smaller "
            "(a certificate, tags), and repeat the command."
        ) from None


async def _digest(store: KeyValueStore) -> bytes:
    digest = hashlib.sha256()
    for start, stop in MOVABLE:
        begin = start
        while page := await store.scan(begin, stop, limit_bytes=_PAGE_BYTES):
            for path, entry in page:
                digest.update(b"%d %d " % (len(path.encode()), len(entry.value)))
                digest.update(path.encode() + entry.value)
            begin = page[-1].path + "\0"
    return digest.digest()
