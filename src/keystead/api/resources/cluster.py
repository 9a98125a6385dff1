"""How the store is, and the members of the cluster."""

from typing import Annotated, Any

import msgspec

from keystead.api.http.route import Call, Created, Reply
from keystead.api.resources.shapes import json_reply
from keystead.model.ids import parse_member_id
from keystead.model.peer_urls import MAX_PEER_URL_LENGTH, parse_peer_urls
from keystead.model.secret import Hidden
from keystead.operations import cluster

PeerUrl = Annotated[str, msgspec.Meta(pattern="^https://.+", max_length=MAX_PEER_URL_LENGTH)]


class LogItem(msgspec.Struct):
    """A complaint of the store."""

    level: str
    msg: str


class StoreState(msgspec.Struct):
    """Whether the store answers."""

    running: bool


class Diagnosis(msgspec.Struct, rename="camel"):
    """GET /health/diagnose."""

    cluster_logs: list[LogItem]
    cluster_state: StoreState


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
    """GET /health/diagnose: whether the store answers, and why it cannot write."""
    found = cluster.diagnose(call.hsm)
    logs = [LogItem("error", complaint) for complaint in found.complaints]
    return json_reply(Diagnosis(logs, StoreState(found.store_answers)))


async def list_members(call: Call[None]) -> Reply[list[Member]]:
    """GET /cluster/members: this HSM alone."""
    members = cluster.members(call.hsm)
    return json_reply([Member(one.member_id, one.name, [], learner=False) for one in members])


async def add_member(call: Call[UrlsRequest]) -> Created[MemberAdded]:
    """POST /cluster/members: declare a new member."""
    parse_peer_urls((await call.json(UrlsRequest)).urls)
    cluster.refuse_change()


async def set_member_urls(call: Call[UrlsRequest]) -> Reply[None]:
    """PUT /cluster/members/{id}: change where others reach a member."""
    _require_member(call)
    parse_peer_urls((await call.json(UrlsRequest)).urls)
    cluster.refuse_change()


async def remove_member(call: Call[None]) -> Reply[None]:
    """DELETE /cluster/members/{id}: remove a member."""
    _require_member(call)
    cluster.refuse_change()


async def promote_member(call: Call[None]) -> Reply[None]:
    """POST /cluster/members/{id}/promote: make a learner a full member."""
    _require_member(call)
    cluster.refuse_change()


async def join(call: Call[JoinRequest]) -> Reply[None]:
    """POST /cluster/join: give up all data for that of a cluster."""
    wanted = await call.json(JoinRequest)
    for member in wanted.members:
        parse_peer_urls(member.urls)
    cluster.refuse_change()


async def force_new(_: Call[None]) -> Reply[None]:
    """POST /cluster/force-new: go on alone; takes the user unlock with the unlock passphrase."""
    cluster.refuse_force()


def _require_member(call: Call[Any]) -> None:
    cluster.require_member(call.hsm, parse_member_id(call.parameters["member_id"]))
