"""How the store is, and the members of the cluster."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from keystead.api.http.route import NO_CONTENT, Call, Created, Reply
from keystead.api.resources.shapes import json_reply
from keystead.model import members as members_model
from keystead.model.ids import parse_member_id
from keystead.model.peer_urls import MAX_PEER_URL_LENGTH, parse_peer_urls
from keystead.model.secret import Hidden, Secret
from keystead.operations import cluster, join_cluster

PeerUrl = Annotated[str, msgspec.Meta(pattern="^https://.+", max_length=MAX_PEER_URL_LENGTH)]


class LogItem(msgspec.Struct):
    """A complaint of the store."""

    level: str
    msg: str


class StoreState(msgspec.Struct):
    """Whether the store answers."""

    running: bool


class Database(msgspec.Struct, rename="camel"):
    """How full the database of this member's etcd is, in bytes."""

    size: int
    used: int
    quota: int


class MemberState(msgspec.Struct):
    """A member, as the one that is asked sees it. The IDs are those of GET /cluster/members."""

    id: str
    own: bool
    leader: bool
    connected: bool
    behind: int | msgspec.UnsetType = msgspec.UNSET
    """The changes that it has received and not made yet, where it is the one that is asked."""


class Diagnosis(msgspec.Struct, rename="camel"):
    """GET /health/diagnose. NetHSM has the first two fields."""

    cluster_logs: list[LogItem]
    cluster_state: StoreState
    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET
    cluster_database: Database | msgspec.UnsetType = msgspec.UNSET
    cluster_members: list[MemberState] | msgspec.UnsetType = msgspec.UNSET


class Member(msgspec.Struct):
    """A member of the cluster."""

    id: str
    name: str
    urls: list[PeerUrl]
    learner: bool


class MemberAdded(msgspec.Struct, rename="camel"):
    """What a new member joins with."""

    members: list[Member]
    joiner_kit: str


class UrlsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """POST /cluster/members and PUT /cluster/members/{id}: where other members reach it."""

    urls: list[PeerUrl]


class InitialMember(msgspec.Struct, forbid_unknown_fields=True):
    """A member as the answer to its declaration lists it."""

    name: str
    urls: list[PeerUrl]


class JoinRequest(Hidden, forbid_unknown_fields=True, rename="camel"):
    """POST /cluster/join."""

    members: list[InitialMember]
    joiner_kit: str
    backup_passphrase: str


async def diagnose(call: Call[None]) -> Reply[Diagnosis]:
    """GET /health/diagnose: whether the store answers and can write.

    With ?details=true also what doctor warns of, and how the cluster is.
    """
    with_details = call.flag("details")
    found = await cluster.diagnose(call.hsm)
    logs = [LogItem("error", complaint) for complaint in found.complaints]
    diagnosis = Diagnosis(logs, StoreState(found.store_answers))
    if with_details:
        diagnosis.warnings = msgspec.UNSET if found.warnings is None else list(found.warnings)
        diagnosis.cluster_database = (
            msgspec.UNSET if found.space is None else _database(found.space)
        )
        diagnosis.cluster_members = msgspec.UNSET if found.view is None else _states(found.view)
    return json_reply(diagnosis)


def _database(space: members_model.DatabaseSpace) -> Database:
    return Database(space.size_bytes, space.used_bytes, space.quota_bytes)


def _states(view: members_model.ClusterView) -> list[MemberState]:
    return [
        MemberState(
            one.member_id,
            own=one.number == view.own,
            leader=one.number == view.leader,
            connected=one.number == view.own or one.number in view.connected,
            behind=view.behind if one.number == view.own else msgspec.UNSET,
        )
        for one in view.members
    ]


async def list_members(call: Call[None]) -> Reply[list[Member]]:
    """GET /cluster/members: all members, as far as this one knows."""
    return json_reply(_shown(await cluster.members(call.hsm)))


async def add_member(call: Call[UrlsRequest]) -> Created[MemberAdded]:
    """POST /cluster/members: declare a new member, and get what it joins with."""
    urls = parse_peer_urls((await call.json(UrlsRequest)).urls)
    found, kit = await cluster.add(call.hsm, call.context, urls)
    return Reply(201, msgspec.json.encode(MemberAdded(_shown(found), kit)))


async def set_member_urls(call: Call[UrlsRequest]) -> Reply[None]:
    """PUT /cluster/members/{id}: change where others reach a member."""
    member = await _member(call)
    urls = parse_peer_urls((await call.json(UrlsRequest)).urls)
    await cluster.move(call.hsm, call.context, member, urls)
    return NO_CONTENT


async def remove_member(call: Call[None]) -> Reply[None]:
    """DELETE /cluster/members/{id}: remove a member."""
    await cluster.remove(call.hsm, call.context, await _member(call))
    return NO_CONTENT


async def promote_member(call: Call[None]) -> Reply[None]:
    """POST /cluster/members/{id}/promote: make a learner a full member."""
    await cluster.promote(call.hsm, call.context, await _member(call))
    return NO_CONTENT


async def join(call: Call[JoinRequest]) -> Reply[None]:
    """POST /cluster/join: give up all data for that of a cluster."""
    wanted = await call.json(JoinRequest)
    members = [
        members_model.Member(0, one.name, parse_peer_urls(one.urls)) for one in wanted.members
    ]
    passphrase = Secret(wanted.backup_passphrase.encode("utf-8", "surrogatepass"))
    await join_cluster.join(call.hsm, call.context, members, wanted.joiner_kit, passphrase)
    return NO_CONTENT


async def force_new(call: Call[None]) -> Reply[None]:
    """POST /cluster/force-new: go on alone; takes the user unlock with the unlock passphrase."""
    cluster.refuse_force(call.hsm)


async def _member(call: Call[Any]) -> members_model.Member:
    return await cluster.find(call.hsm, parse_member_id(call.parameters["member_id"]))


def _shown(found: Sequence[members_model.Member]) -> list[Member]:
    return [Member(one.member_id, one.name, list(one.urls), one.is_learner) for one in found]
