"""Approvals: one user asks to use a key, others grant it. The states are one table.

Every function here is pure: the time is an argument, and a change returns a new value.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Final

from keystead.errors import Conflict, InvalidInput, NotPermitted
from keystead.model.ids import NamespaceId, Tag, UserId
from keystead.model.keys import KeyPath
from keystead.model.policy import ApprovalRule, TaggedApprovers
from keystead.model.users import Caller

DAY_SECONDS: Final = 86_400
PENDING_SECONDS: Final = DAY_SECONDS
"""How long approvers have to decide."""
KEPT_SECONDS: Final = DAY_SECONDS
"""How long an approval that ended is shown after its time is over."""
MAX_REASON: Final = 500
"""Characters."""
MAX_OPEN_OF_USER: Final = 16
MAX_OPEN_OF_KEY: Final = 50
MAX_OPEN_IN_NAMESPACE: Final = 200
MAX_ENDED_IN_NAMESPACE: Final = 200
"""Of older ended approvals, nothing is kept."""


class ApprovalState(Enum):
    """What an approval allows now. The value is the name in the API."""

    PENDING = "pending"
    GRANTED = "granted"
    REFUSED = "refused"
    EXPIRED = "expired"
    SPENT = "spent"


class ApprovalEvent(Enum):
    """What can happen to an approval."""

    APPROVE = "an approver approves"
    LAST_APPROVE = "the last approver that is needed approves"
    REFUSE = "an approver refuses"
    TIME_OUT = "its time is over"
    USE = "the key is used"
    LAST_USE = "the key is used for the last time"
    GIVE_BACK = "a use that failed is given back"


TRANSITIONS = MappingProxyType(
    {
        (ApprovalState.PENDING, ApprovalEvent.APPROVE): ApprovalState.PENDING,
        (ApprovalState.PENDING, ApprovalEvent.LAST_APPROVE): ApprovalState.GRANTED,
        (ApprovalState.PENDING, ApprovalEvent.REFUSE): ApprovalState.REFUSED,
        (ApprovalState.PENDING, ApprovalEvent.TIME_OUT): ApprovalState.EXPIRED,
        (ApprovalState.GRANTED, ApprovalEvent.USE): ApprovalState.GRANTED,
        (ApprovalState.GRANTED, ApprovalEvent.LAST_USE): ApprovalState.SPENT,
        (ApprovalState.GRANTED, ApprovalEvent.TIME_OUT): ApprovalState.EXPIRED,
        (ApprovalState.GRANTED, ApprovalEvent.GIVE_BACK): ApprovalState.GRANTED,
        (ApprovalState.SPENT, ApprovalEvent.GIVE_BACK): ApprovalState.GRANTED,
    }
)

OPEN: Final = frozenset({ApprovalState.PENDING, ApprovalState.GRANTED})


def after(state: ApprovalState, event: ApprovalEvent) -> ApprovalState:
    """Return the state after `event`. Raises Conflict if the pair is not in the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise Conflict(f"The approval is {state.value} already.") from None


@dataclass(frozen=True, slots=True)
class ApprovalSubject:
    """What an approval is about: a key, while it is this key under this policy."""

    key: KeyPath
    key_digest: bytes = field(repr=False)
    """The SHA-256 of the private key as stored."""
    policy_digest: bytes


@dataclass(frozen=True, slots=True)
class Approval:
    """A request to use a key, with the decisions about it."""

    approval_id: str
    subject: ApprovalSubject
    asker: UserId
    reason: str
    rule: ApprovalRule
    """The rule of the policy when this was asked for."""
    uses: int
    """The uses that were asked for."""
    uses_left: int
    asked_at: float
    """Unix seconds, as are the other times."""
    state: ApprovalState = ApprovalState.PENDING
    approved_by: tuple[UserId, ...] = ()
    refused_by: UserId | None = None
    granted_at: float | None = None

    @property
    def ends_at(self) -> float:
        """When its time is over, if nothing ends it before."""
        if self.granted_at is None:
            return self.asked_at + PENDING_SECONDS
        return self.granted_at + self.rule.valid_seconds

    @property
    def namespace(self) -> NamespaceId | None:
        """The namespace of the key, and of everyone who has to do with the approval."""
        return self.subject.key.namespace

    def is_approver(self, caller: Caller) -> bool:
        """Whether the rule lets the caller decide, if it is not the one that asked."""
        is_fellow = caller.namespace == self.namespace
        return is_fellow and self.rule.approves(caller.user_id, caller.tags)

    def is_visible_to(self, caller: Caller) -> bool:
        """Whether the caller may see it: it asked, may decide, or is a root Administrator."""
        is_root = caller.is_administrator and caller.namespace is None
        return is_root or caller.user_id == self.asker or self.is_approver(caller)

    def concerns(self, user_id: UserId) -> bool:
        """Whether the user has asked for it, or approved it."""
        return user_id == self.asker or user_id in self.approved_by

    def rests_on(self, tag: Tag, user_id: UserId) -> bool:
        """Whether the user has approved it because it had this tag."""
        return user_id in self.approved_by and self.rule.approvers == TaggedApprovers(tag)


def ask(approval: Approval) -> Approval:
    """Return a new approval if what it asks for can be granted.

    Raises InvalidInput if the reason or the number of uses does not fit, and Conflict if too few
    users could approve it.
    """
    if not 0 < len(approval.reason) <= MAX_REASON or not approval.reason.isprintable():
        raise InvalidInput(f"reason has 1 to {MAX_REASON} characters, all of them printable.")
    if not 1 <= approval.uses <= approval.rule.uses:
        raise InvalidInput(f"uses is 1 to {approval.rule.uses}.")
    approvers = approval.rule.approvers
    if not isinstance(approvers, TaggedApprovers):
        others = set(approvers) - {str(approval.asker)}
        if len(others) < approval.rule.required:
            raise Conflict("The policy names too few approvers besides you.")
    return approval


def at(approval: Approval, now: float) -> Approval:
    """Return the approval as it is at this time: its own, or expired."""
    if approval.state not in OPEN or now < approval.ends_at:
        return approval
    return replace(approval, state=after(approval.state, ApprovalEvent.TIME_OUT))


def approve(approval: Approval, caller: Caller, now: float) -> Approval:
    """Return the approval with the caller's consent, granted if no other is needed.

    Raises NotPermitted for anyone who may not decide, and Conflict if the approval is not pending
    or the caller has approved it already.
    """
    approval = _decidable(approval, caller, now)
    if caller.user_id in approval.approved_by:
        raise Conflict("You have approved this already.")
    approved_by = (*approval.approved_by, caller.user_id)
    if len(approved_by) < approval.rule.required:
        state = after(approval.state, ApprovalEvent.APPROVE)
        return replace(approval, state=state, approved_by=approved_by)
    state = after(approval.state, ApprovalEvent.LAST_APPROVE)
    return replace(approval, state=state, approved_by=approved_by, granted_at=now)


def refuse(approval: Approval, caller: Caller, now: float) -> Approval:
    """Return the approval, refused. Raises NotPermitted and Conflict as `approve` does."""
    approval = _decidable(approval, caller, now)
    state = after(approval.state, ApprovalEvent.REFUSE)
    return replace(approval, state=state, refused_by=caller.user_id)


def allows(approval: Approval, uses: int, now: float) -> bool:
    """Whether the asker may make `uses` of the key now."""
    return at(approval, now).state is ApprovalState.GRANTED and uses <= approval.uses_left


def use(approval: Approval, uses: int, now: float) -> Approval:
    """Return the approval with fewer uses left. Raises Conflict if it does not allow them."""
    approval = at(approval, now)
    left = approval.uses_left - uses
    if left < 0:
        raise Conflict(f"The approval allows {approval.uses_left} more uses.")
    event = ApprovalEvent.USE if left else ApprovalEvent.LAST_USE
    return replace(approval, state=after(approval.state, event), uses_left=left)


def give_back(approval: Approval, uses: int) -> Approval:
    """Return the approval with the uses that failed. Raises Conflict if it is over."""
    state = after(approval.state, ApprovalEvent.GIVE_BACK)
    return replace(approval, state=state, uses_left=approval.uses_left + uses)


def require_room(approvals: Iterable[Approval], wanted: Approval) -> None:
    """Raise Conflict if too many approvals are open. `approvals` are those of the namespace now."""
    still_open = [one for one in approvals if one.state in OPEN]
    of_user = sum(one.asker == wanted.asker for one in still_open)
    of_key = sum(one.subject.key == wanted.subject.key for one in still_open)
    for count, most, whose in (
        (of_user, MAX_OPEN_OF_USER, "you have"),
        (of_key, MAX_OPEN_OF_KEY, "this key has"),
        (len(still_open), MAX_OPEN_IN_NAMESPACE, "the namespace has"),
    ):
        if count >= most:
            raise Conflict(f"No more approvals can be asked for now: {whose} {most} that are open.")


def surplus(approvals: Iterable[Approval], now: float) -> list[Approval]:
    """Return which approvals of a namespace to delete: those that ended long ago, or too many."""
    ended = [one for one in approvals if one.state not in OPEN]
    ended.sort(key=lambda approval: approval.ends_at)
    too_many = len(ended) - MAX_ENDED_IN_NAMESPACE
    return [
        one
        for place, one in enumerate(ended)
        if place < too_many or one.ends_at + KEPT_SECONDS <= now
    ]


def _decidable(approval: Approval, caller: Caller, now: float) -> Approval:
    if caller.user_id == approval.asker:
        raise NotPermitted("You have asked for this approval: others decide.")
    if not approval.is_approver(caller):
        raise NotPermitted("The key's policy does not name you as an approver.")
    return at(approval, now)
