"""Whether this HSM is a member of a cluster, and how it becomes one: what the core may order."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from keystead.journal.log import Log
from keystead.platform import durable
from keystead.platform.data_directory import DataDirectory
from keystead.processes.etcd.member import InitialPeer, MemberDirectory, MemberRecord
from keystead.processes.supervisor.etcd_member import EtcdMember
from keystead.processes.supervisor.peer_files import make_shared_files
from keystead.wire.control_messages import BeginJoin


class Membership:
    """Runs etcd for an HSM that is a member, and for one that joins."""

    def __init__(
        self, data: DataDirectory, program: Path, log: Log, child_options: tuple[str, ...]
    ) -> None:
        """Remove what a join, or an attempt to go on alone, has left at an interruption."""
        self.files: Final = make_shared_files()
        self._data = data
        self._log = log
        self._program = program
        self._options = child_options
        self.on_removed: Callable[[], None] | None = None
        """Called when the cluster has removed this HSM, again after each later start of etcd."""
        self._member = self._etcd(data.etcd)
        self._joining: EtcdMember | None = None
        self._one_at_a_time = asyncio.Lock()
        durable.remove_tree(data.joining)
        if MemberDirectory(data.etcd).exists:
            MemberDirectory(data.etcd).remove_leftovers()

    async def serve(self, authority: str) -> None:
        """Start etcd. With another authority than before, start it again."""
        async with self._one_at_a_time:
            await self._member.serve(authority)

    async def begin_join(self, order: BeginJoin) -> None:
        """Start an etcd that joins a cluster. Raises OSError if its directory cannot be written."""
        async with self._one_at_a_time:
            await self._give_up()
            directory = MemberDirectory(self._data.joining)
            peers = [InitialPeer(one.name, one.urls) for one in order.peers]
            directory.begin(MemberRecord(order.name, peers, "existing"))
            self._joining = self._etcd(directory.path)
            await self._joining.serve(order.authority)

    async def end_join(self, *, is_member: bool) -> None:
        """Make the joined etcd this HSM's, in one step, or remove it.

        Raises OSError if its directory cannot be renamed or removed.
        """
        async with self._one_at_a_time:
            if not is_member or self._joining is None:
                await self._give_up()
                return
            durable.sync_directory(self._data.joining)
            # etcd goes on meanwhile: it has its directory open.
            self._data.joining.rename(self._data.etcd)
            durable.sync_directory(self._data.path)
            self._joining.moved_to(MemberDirectory(self._data.etcd))
            self._member, self._joining = self._joining, None

    async def stop(self) -> None:
        """End etcd in good order."""
        async with self._one_at_a_time:
            await self._give_up()
            await self._member.stop()

    async def _give_up(self) -> None:
        if self._joining is not None:
            await self._joining.stop()
        self._joining = None
        durable.remove_tree(self._data.joining)

    def _etcd(self, path: Path) -> EtcdMember:
        return EtcdMember(
            MemberDirectory(path),
            self._program,
            self._log,
            self._options,
            self.files,
            self._removed,
        )

    def _removed(self) -> None:
        if self.on_removed is not None:
            self.on_removed()
