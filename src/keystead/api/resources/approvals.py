"""Approvals: Operators ask to use a key, and approvers grant or refuse it."""

import asyncio

import msgspec

from keystead.api.http.route import API_ROOT, NO_CONTENT, Call, Created, Reply
from keystead.api.resources.shapes import LIST_STEP, Item, json_reply
from keystead.model.approvals import Approval, ApprovalState
from keystead.model.ids import parse_key_id
from keystead.model.timestamps import format_timestamp
from keystead.operations import manage_approvals, manage_keys

_PLACE = f"{API_ROOT}/approvals/"


class ApprovalRequest(msgspec.Struct, forbid_unknown_fields=True):
    """POST /keys/{id}/approvals."""

    reason: str
    uses: int | None = None


class ApprovalView(msgspec.Struct, rename="camel"):
    """GET /approvals/{id}; the key is one of the namespace."""

    id: str
    state: ApprovalState
    key: str
    asked_by: str
    reason: str
    uses: int
    uses_left: int
    required: int
    approved_by: list[str]
    asked_at: str
    ends_at: str
    namespace: str | msgspec.UnsetType = msgspec.UNSET
    refused_by: str | msgspec.UnsetType = msgspec.UNSET


async def ask(call: Call[ApprovalRequest]) -> Created[Item]:
    """POST /keys/{id}/approvals: ask for an approval to use a key."""
    key = await manage_keys.find(call.context, parse_key_id(call.parameters["key_id"]))
    wanted = await call.json(ApprovalRequest)
    approval = await manage_approvals.ask(call.context, key, wanted.reason, wanted.uses)
    body = msgspec.json.encode(Item(approval.approval_id))
    return Reply(201, body, [("Location", _PLACE + approval.approval_id)])


async def list_all(call: Call[None]) -> Reply[list[ApprovalView]]:
    """GET /approvals: the approvals that the caller may see, by namespace."""
    found = await manage_approvals.list_visible(call.context)
    steps = []
    for start in range(0, len(found), LIST_STEP):
        some = [_view(approval) for approval in found[start : start + LIST_STEP]]
        steps.append(msgspec.json.encode(some)[1:-1])
        await asyncio.sleep(0)
    return Reply(200, b"[%b]" % b",".join(steps))


async def show(call: Call[None]) -> Reply[ApprovalView]:
    """GET /approvals/{id}: an approval."""
    return json_reply(_view(manage_approvals.get(call.context, call.parameters["approval_id"])))


async def approve(call: Call[None]) -> Reply[None]:
    """POST /approvals/{id}/approve: approve; the last approval that is needed grants the use."""
    await manage_approvals.approve(call.context, call.parameters["approval_id"])
    return NO_CONTENT


async def refuse(call: Call[None]) -> Reply[None]:
    """POST /approvals/{id}/refuse: refuse; one refusal is enough."""
    await manage_approvals.refuse(call.context, call.parameters["approval_id"])
    return NO_CONTENT


def _view(approval: Approval) -> ApprovalView:
    refused_by = approval.refused_by
    return ApprovalView(
        id=approval.approval_id,
        state=approval.state,
        key=approval.subject.key.key_id,
        namespace=approval.namespace or msgspec.UNSET,
        asked_by=str(approval.asker),
        reason=approval.reason,
        uses=approval.uses,
        uses_left=approval.uses_left,
        required=approval.rule.required,
        approved_by=[str(user_id) for user_id in approval.approved_by],
        refused_by=msgspec.UNSET if refused_by is None else str(refused_by),
        asked_at=format_timestamp(approval.asked_at),
        ends_at=format_timestamp(approval.ends_at),
    )
