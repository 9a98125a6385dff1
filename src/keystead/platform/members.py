"""The members of the cluster, as the etcd of this HSM lists and changes them."""

import asyncio
from typing import Final

from keystead.etcd import calls
from keystead.etcd import messages as m
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import EtcdError, EtcdInDoubt, EtcdRefused
from keystead.etcd.pages import connected, page
from keystead.wire.cluster_messages import (
    ClusterMember,
    ClusterStatus,
    DatabaseStatus,
    MembersAnswer,
    MembersRefusal,
    MembersStep,
)

_PATIENCE_SECONDS: Final = 8.0
"""For five seconds after a change, etcd may not count the new member among those it can reach."""
_RETRY_SECONDS: Final = 0.5
_CHANGES: Final = frozenset({"add", "move", "remove", "promote"})
_NOT_READY: Final = (
    "unhealthy cluster",
    "re-configuration failed due to not enough started members",
)
"""What etcd says when a change would leave too few members that it can reach."""

_REFUSALS: Final[tuple[tuple[str, MembersRefusal], ...]] = (
    ("member not found", "missing"),
    ("too many learner members", "conflict"),
    ("can only promote a learner member", "state"),
    ("Peer URLs already exists", "state"),
    ("member ID already exist", "state"),
    ("member URLs are invalid", "input"),
)


class MembersService:
    """Answers questions of the core about the members."""

    def __init__(self, client: EtcdClient, *, quota_bytes: int) -> None:
        """`quota_bytes` is the size from which on etcd refuses changes."""
        self._client = client
        self._quota_bytes = quota_bytes

    async def answer(self, step: MembersStep) -> MembersAnswer:
        """Return the reply to a question. Errors become a reply too.

        etcd drops a change of the members while another is under way, and does not answer then.
        """
        now = asyncio.get_running_loop().time
        end, is_in_doubt = now() + _PATIENCE_SECONDS, False
        while True:
            try:
                return await self._done(step)
            except EtcdError as error:
                reason = str(error).removeprefix("etcdserver: ")
                is_in_doubt |= isinstance(error, EtcdInDoubt) and step.step in _CHANGES
                made = await self._made_before(step) if is_in_doubt else None
                if made is not None:
                    return made
                if now() > end or not (_may_pass(step, reason) or is_in_doubt):
                    return _refused(step, error, reason)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _made_before(self, step: MembersStep) -> MembersAnswer | None:
        """Return the answer if the members are as the step wants them, whoever has made it."""
        try:
            request = m.MemberListRequest(linearizable=True)
            listed = (await self._client.call(calls.MEMBER_LIST, request)).members
        except EtcdError:
            return None
        wanted = next((one for one in listed if _is_wanted(step, one)), None)
        if (wanted is None) is not (step.step == "remove"):
            return None
        added = wanted.id if wanted is not None and step.step == "add" else 0
        return MembersAnswer(step.id, [_member(one) for one in listed], added)

    async def _space(self, step: MembersStep) -> MembersAnswer:
        status = await self._client.call(calls.STATUS, m.StatusRequest())
        complaints = [one.strip() for one in status.errors]
        space = DatabaseStatus(status.db_size, status.db_size_in_use, self._quota_bytes, complaints)
        return MembersAnswer(step.id, space=space)

    async def _status(self, step: MembersStep) -> MembersAnswer:
        status = await self._client.call(calls.STATUS, m.StatusRequest())
        listed = (await self._client.call(calls.MEMBER_LIST, m.MemberListRequest())).members
        counts = await page(self._client.socket_path, "/metrics") if len(listed) > 1 else b""
        found = ClusterStatus(
            status.header.member_id,
            status.leader,
            max(0, status.raft_index - status.raft_applied_index),
            connected(counts),
        )
        return MembersAnswer(step.id, [_member(one) for one in listed], status=found)

    async def _done(self, step: MembersStep) -> MembersAnswer:
        client, added = self._client, 0
        urls, found = tuple(step.urls), m.MemberRequest(step.member_id)
        answer: m.MembersResponse | m.MemberAddResponse
        match step.step:
            case "space":
                return await self._space(step)
            case "status":
                return await self._status(step)
            case "list":
                answer = await client.call(calls.MEMBER_LIST, m.MemberListRequest())
            case "add":
                learner = m.MemberAddRequest(urls, is_learner=True)
                answer = await client.call(calls.MEMBER_ADD, learner)
                added = answer.member.id
            case "move":
                moved = m.MemberUpdateRequest(step.member_id, urls)
                answer = await client.call(calls.MEMBER_UPDATE, moved)
            case "remove":
                answer = await client.call(calls.MEMBER_REMOVE, found)
            case "promote":
                answer = await client.call(calls.MEMBER_PROMOTE, found)
        return MembersAnswer(step.id, [_member(one) for one in answer.members], added)


def _may_pass(step: MembersStep, reason: str) -> bool:
    """Return whether etcd may agree a moment later.

    An ID comes from the URLs and the second. So with the URLs of a member that was removed in the
    same second, a new one would have its ID, which etcd has noted as gone.
    """
    is_id_taken = step.step == "add" and "member not found" in reason
    return is_id_taken or any(text in reason for text in _NOT_READY)


def _is_wanted(step: MembersStep, listed: m.ListedMember) -> bool:
    """Return whether a member is as the step makes it. For a removal, whether it is still there."""
    match step.step:
        case "add":
            return listed.is_learner and set(listed.peer_urls) == set(step.urls)
        case "move":
            return listed.id == step.member_id and set(listed.peer_urls) == set(step.urls)
        case "promote":
            return listed.id == step.member_id and not listed.is_learner
        case _:
            return listed.id == step.member_id


def _member(found: m.ListedMember) -> ClusterMember:
    return ClusterMember(found.id, found.name, list(found.peer_urls), found.is_learner)


def _refused(step: MembersStep, error: EtcdError, reason: str) -> MembersAnswer:
    if any(text in reason for text in _NOT_READY):
        message = f"The cluster would lose its quorum. etcd says: {reason}"
        return MembersAnswer(step.id, refusal="conflict", message=message)
    for text, refusal in _REFUSALS:
        if text in reason:
            return MembersAnswer(step.id, refusal=refusal, message=f"etcd says: {reason}")
    if isinstance(error, EtcdRefused):
        return MembersAnswer(step.id, refusal="input", message=f"etcd says: {reason}")
    return MembersAnswer(step.id, refusal="unavailable", message=f"The cluster: {reason}")
