"""Makes a member of a cluster whose others are lost for ever a cluster of one, with all records.

1. The member is started without its peers. It does what it knows to be committed, and serves
   nothing. Then it is stopped in good order, so that all of it is in its database.
2. etcdutl makes another member of that database, the only one of a cluster with another ID. The
   members of the old cluster, if any are left after all, have nothing to do with it.
3. The new member is started, to see that it serves, and stopped.
4. Its record replaces the old one: this rename is the step that counts.

What was interrupted before that has changed nothing. The next start, or the next attempt, removes
what is left of it, and what is left of the old member.
"""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from keystead.deadlines import within
from keystead.errors import StartRefused
from keystead.etcd.errors import EtcdUnavailable
from keystead.etcd.pages import page
from keystead.etcd.write_ahead_log import committed_index
from keystead.journal.log import Log
from keystead.platform.data_directory import DataDirectory
from keystead.processes.etcd.member import (
    InitialPeer,
    MemberDirectory,
    MemberRecord,
    new_directory_name,
)
from keystead.processes.supervisor.etcd_member import EtcdMember, start_etcd
from keystead.processes.supervisor.formation import serving
from keystead.wire.control_messages import CannotStart

REPLAY_SECONDS: Final = 600
"""How long etcd may take until it has done what it knows to be committed."""
RESTORE_SECONDS: Final = 600
CONTACT_SECONDS: Final = 3.0
"""How long another member may take to accept a connection."""
_POLL_SECONDS: Final = 0.1
_APPLIED: Final = b"etcd_server_proposals_applied_total "
_REMOVED: Final = (
    "The other members have removed this one, so it does not have what they did later. "
    "Go on with the others, or restore a backup."
)


class PublishedMember(msgspec.Struct, frozen=True, rename="camel"):
    """A member as etcd lists it for other members."""

    id: int
    name: str = ""
    peer_urls: list[str] = msgspec.field(name="peerURLs", default_factory=list)
    is_learner: bool = False

    @property
    def member_id(self) -> str:
        """Its ID as `keystead cluster status` shows it."""
        return f"{self.id:x}"


class Present(NamedTuple):
    """The members of the old cluster: this one, and the others."""

    own: PublishedMember
    others: Sequence[PublishedMember]


@dataclass(frozen=True, slots=True)
class LoneMember:
    """The data directory of a stopped server that is a member, and the operator's etcd."""

    data: DataDirectory
    program: Path
    log: Log
    child_options: tuple[str, ...] = ()

    async def settle(self) -> Present:
        """Bring all that this member knows to be committed into its database. Return the members.

        It stays a member of its cluster. Raises StartRefused if this HSM is no member, if others
        have removed it, if it is a learner or the only member, or if its etcd does not start.
        """
        directory = MemberDirectory(self.data.etcd)
        if not directory.exists:
            raise StartRefused("This HSM is not a member of a cluster.")
        self._require_restorer()
        directory.remove_leftovers()
        record = directory.record()
        committed = committed_index(directory.path / record.directory)
        removed = asyncio.Event()
        member = EtcdMember(
            directory, self.program, self.log, self.child_options, on_removed=removed.set
        )
        member.start()
        try:
            members = await within(REPLAY_SECONDS, _settled(directory, committed, removed))
        except TimeoutError:
            raise StartRefused(
                f"etcd has not done its work after {REPLAY_SECONDS} s. {_why(member)}"
            ) from None
        finally:
            await member.stop()
        return _present(members, record.name)

    async def go_on(self, present: Present) -> None:
        """Become the only member of a new cluster. `present` is what `settle` has returned.

        Raises StartRefused, and changes nothing, if the new member does not serve.
        """
        old, name = MemberDirectory(self.data.etcd), present.own.name
        peers = [InitialPeer(name, list(present.own.peer_urls))]
        new = old.prepare(
            MemberRecord(name, peers, token=secrets.token_hex(16), directory=new_directory_name())
        )
        await self._restore(new)
        async with serving(new, self.program, self.log, self.child_options):
            pass
        new.bring_into_force()
        old.remove_leftovers()

    @property
    def _restorer(self) -> Path:
        return self.program.with_name("etcdutl")

    def _require_restorer(self) -> None:
        if not self._restorer.exists():
            raise StartRefused(
                f"{self._restorer} is needed, which belongs to etcd: Debian has it in etcd-client."
            )

    async def _restore(self, new: MemberDirectory) -> None:
        reasons: list[str] = []

        def refused(message: CannotStart) -> None:
            reasons.append(message.reason)

        options = [*self.child_options, "--restores"]
        child = start_etcd(new, self._restorer, options, on_refused=refused)
        is_over = await child.end_within(RESTORE_SECONDS)
        if not is_over or child.ended.result():
            why = " ".join(reasons) or "Its log says why."
            raise StartRefused(f"etcdutl has made no new member. {why}")


async def reached(members: Sequence[PublishedMember]) -> list[PublishedMember]:
    """Return those of the members that accept a connection, wherever they say that they listen."""
    answers = await asyncio.gather(*(_is_reached(one) for one in members))
    return [one for one, is_reached in zip(members, answers, strict=True) if is_reached]


async def _is_reached(member: PublishedMember) -> bool:
    return any(await asyncio.gather(*map(_accepts, member.peer_urls)))


async def _accepts(url: str) -> bool:
    try:
        parts = urlsplit(url)
        opening = asyncio.open_connection(parts.hostname, parts.port)
        _, writer = await within(CONTACT_SECONDS, opening)
    except (OSError, TimeoutError, ValueError):  # A captured member can publish what is no URL.
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def _settled(
    directory: MemberDirectory, committed: int, removed: asyncio.Event
) -> list[PublishedMember]:
    """Return the members, once the entry with this number is done."""
    while not removed.is_set():
        with suppress(EtcdUnavailable):  # It has not started yet.
            counts = await page(str(directory.metrics_socket), "/metrics")
            if _applied(counts) >= committed:
                listed = await page(str(directory.peer_socket), "/members")
                return msgspec.json.decode(listed, type=list[PublishedMember])
        await asyncio.sleep(_POLL_SECONDS)
    raise StartRefused(_REMOVED)


def _applied(counts: bytes) -> float:
    for line in counts.splitlines():
        if line.startswith(_APPLIED):
            return float(line.removeprefix(_APPLIED))
    return -1


def _present(members: Sequence[PublishedMember], name: str) -> Present:
    own = [one for one in members if one.name == name]
    others = [one for one in members if one.name != name]
    if not own:  # Its etcd has shown the members before it ended for that.
        raise StartRefused(_REMOVED)
    if len(own) != 1 or own[0].is_learner:
        raise StartRefused("This HSM is not a full member of its cluster.")
    if not others:
        raise StartRefused("This HSM is the only member of its cluster already.")
    return Present(own[0], others)


def _why(member: EtcdMember) -> str:
    return member.refusal or "Its log says why."
