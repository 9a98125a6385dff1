"""The states of an approval: every pair of state and event, and any run of decisions and uses."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keystead.errors import Conflict, InvalidInput, KeysteadError, NotPermitted
from keystead.model import approvals as rules
from keystead.model.approvals import (
    MAX_ENDED_IN_NAMESPACE,
    MAX_OPEN_IN_NAMESPACE,
    MAX_OPEN_OF_KEY,
    MAX_OPEN_OF_USER,
    TRANSITIONS,
    Approval,
    ApprovalEvent,
    ApprovalState,
    ApprovalSubject,
    after,
)
from keystead.model.ids import NamespaceId, UserId, parse_key_id, parse_tag
from keystead.model.keys import KeyPath
from keystead.model.policy import ApprovalRule, TaggedApprovers
from keystead.model.users import Caller, Role, Standing

KEY = KeyPath(None, parse_key_id("key"))
ASKER = UserId.parse("asker")
APPROVERS = ("ann", "asker", "bob", "cid")


def approval(*, required: int = 2, uses: int = 3, seconds: int = 60, **more) -> Approval:
    rule = ApprovalRule(required, APPROVERS, seconds, 5)
    subject = ApprovalSubject(KEY, bytes(32), bytes(32))
    given = {"reason": "why", "uses_left": uses, "asked_at": 0.0} | more
    return Approval("a", subject, ASKER, rule=rule, uses=uses, **given)


def caller(name: str, role: Role = Role.OPERATOR, *tags: str) -> Caller:
    return Caller(UserId.parse(name), role, Standing(frozenset(map(parse_tag, tags))))


ANN, BOB, CID = caller("ann"), caller("bob"), caller("cid")


@pytest.mark.parametrize("event", ApprovalEvent)
@pytest.mark.parametrize("state", ApprovalState)
def test_every_pair_of_state_and_event_is_in_the_table_or_a_conflict(state, event):
    if (state, event) in TRANSITIONS:
        assert after(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(Conflict, match=state.value):
        after(state, event)


def test_every_state_is_reached_and_refused_and_expired_are_ends():
    assert set(TRANSITIONS.values()) == set(ApprovalState)
    ends = set(ApprovalState) - {state for state, _ in TRANSITIONS}
    assert ends == {ApprovalState.REFUSED, ApprovalState.EXPIRED}


def test_the_last_approval_that_is_needed_grants_it_for_a_time():
    once = rules.approve(approval(), ANN, 10.0)
    assert once.state is ApprovalState.PENDING
    twice = rules.approve(once, BOB, 20.0)
    assert (twice.state, twice.ends_at) == (ApprovalState.GRANTED, 80.0)
    assert rules.allows(twice, 3, 79.9)
    assert not rules.allows(twice, 4, 79.9)
    assert not rules.allows(twice, 1, 80.0)


@pytest.mark.parametrize("who", [caller("asker"), caller("eve"), caller("ns~ann")])
@pytest.mark.parametrize("decide", [rules.approve, rules.refuse])
def test_neither_the_asker_nor_a_stranger_decides(decide, who):
    with pytest.raises(NotPermitted):
        decide(approval(), who, 0.0)


def test_an_approver_counts_once_and_may_still_refuse():
    once = rules.approve(approval(), ANN, 0.0)
    with pytest.raises(Conflict, match="already"):
        rules.approve(once, ANN, 0.0)
    assert rules.refuse(once, ANN, 0.0).refused_by == ANN.user_id


def test_a_tag_makes_approvers_of_the_namespace_of_the_key():
    rule = ApprovalRule(1, TaggedApprovers("owner"), 60, 5)
    tagged = replace(approval(), rule=rule)
    assert tagged.is_approver(caller("eve", Role.OPERATOR, "owner"))
    assert not tagged.is_approver(caller("ns~eve", Role.OPERATOR, "owner"))
    assert not tagged.is_approver(caller("eve", Role.OPERATOR, "other"))


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        (caller("asker"), True),
        (caller("ann"), True),
        (caller("eve"), False),
        (caller("root", Role.ADMINISTRATOR), True),
        (caller("ns~admin", Role.ADMINISTRATOR), False),
    ],
)
def test_the_asker_the_approvers_and_root_administrators_see_it(who, sees):
    assert approval().is_visible_to(who) is sees


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"reason": ""}, InvalidInput),
        ({"reason": "x" * 501}, InvalidInput),
        ({"reason": "two\nlines"}, InvalidInput),
        ({"reason": "\x1b[2J"}, InvalidInput),
        ({"uses": 0}, InvalidInput),
        ({"uses": 6}, InvalidInput),
        ({"required": 4}, Conflict),
    ],
)
def test_what_cannot_be_granted_is_not_asked_for(changes, error):
    with pytest.raises(error):
        rules.ask(approval(**changes))
    assert rules.ask(approval(required=3, reason="x" * 500))


def test_a_pending_approval_expires_after_a_day():
    assert rules.at(approval(), 86_399.0).state is ApprovalState.PENDING
    assert rules.at(approval(), 86_400.0).state is ApprovalState.EXPIRED
    with pytest.raises(Conflict, match="expired"):
        rules.approve(approval(), ANN, 86_400.0)


def many(count: int, **changes) -> list[Approval]:
    return [replace(approval(), approval_id=str(number), **changes) for number in range(count)]


OTHER_KEY = ApprovalSubject(KeyPath(None, parse_key_id("other")), bytes(32), bytes(32))
OTHER_USER = UserId.parse("other")


@pytest.mark.parametrize(
    ("most", "others"),
    [
        (MAX_OPEN_OF_USER, {"subject": OTHER_KEY}),
        (MAX_OPEN_OF_KEY, {"asker": OTHER_USER}),
        (MAX_OPEN_IN_NAMESPACE, {"asker": OTHER_USER, "subject": OTHER_KEY}),
    ],
)
def test_so_many_may_be_open_and_no_more(most, others):
    rules.require_room(many(most - 1, **others), approval())
    rules.require_room(many(most, **others, state=ApprovalState.EXPIRED), approval())
    with pytest.raises(Conflict, match=str(most)):
        rules.require_room(many(most, **others), approval())


def test_ended_approvals_go_after_a_day_or_when_there_are_too_many():
    ended = many(3, state=ApprovalState.REFUSED)
    assert rules.surplus(ended, 2 * 86_400.0 - 1) == []
    assert rules.surplus([*ended, approval()], 2 * 86_400.0) == ended
    crowd = many(MAX_ENDED_IN_NAMESPACE + 2, state=ApprovalState.SPENT)
    assert len(rules.surplus(crowd, 0.0)) == 2


class Life(RuleBasedStateMachine):
    """One approval, under decisions, uses and time in any order."""

    @initialize(required=st.integers(1, 3), uses=st.integers(1, 5))
    def asked(self, required, uses):
        self.now, self.used, self.out = 0.0, 0, 0
        self.yes: set[str] = set()
        self.is_refused = False
        self.granted_at = None
        self.approval = rules.ask(approval(required=required, uses=uses))

    def attempt(self, change):
        before = self.approval
        try:
            self.approval = change(before)
        except KeysteadError:
            return False
        return True

    @property
    def ends_at(self):
        return 86_400.0 if self.granted_at is None else self.granted_at + 60

    @rule(seconds=st.sampled_from([0.5, 10.0, 59.9, 86_000.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(name=st.sampled_from(["ann", "bob", "cid", "asker", "eve"]))
    def someone_approves(self, name):
        is_open = not self.is_refused and self.granted_at is None and self.now < self.ends_at
        expected = is_open and name in APPROVERS and name != "asker" and name not in self.yes
        done = self.attempt(lambda old: rules.approve(old, caller(name), self.now))
        assert done == expected
        if done:
            self.yes.add(name)
            if len(self.yes) == self.approval.rule.required:
                self.granted_at = self.now

    @rule(name=st.sampled_from(["ann", "bob", "cid", "asker", "eve"]))
    def someone_refuses(self, name):
        is_open = not self.is_refused and self.granted_at is None and self.now < self.ends_at
        done = self.attempt(lambda old: rules.refuse(old, caller(name), self.now))
        assert done == (is_open and name in APPROVERS and name != "asker")
        self.is_refused |= done

    @rule(count=st.integers(1, 5))
    def the_key_is_used(self, count):
        is_granted = self.granted_at is not None and self.now < self.ends_at
        done = self.attempt(lambda old: rules.use(old, count, self.now))
        assert done == (is_granted and self.used + count <= self.approval.uses)
        self.used += count if done else 0
        self.out = count if done else 0

    @rule()
    def the_last_use_fails(self):
        if self.out and self.attempt(lambda old: rules.give_back(old, self.out)):
            self.used -= self.out
        self.out = 0

    @invariant()
    def it_is_what_has_happened(self):
        now = rules.at(self.approval, self.now)
        assert 0 <= self.approval.uses_left == self.approval.uses - self.used
        if self.is_refused:
            expected = ApprovalState.REFUSED
        elif self.granted_at is not None and self.used == self.approval.uses:
            expected = ApprovalState.SPENT
        elif self.now >= self.ends_at:
            expected = ApprovalState.EXPIRED
        elif self.granted_at is not None:
            expected = ApprovalState.GRANTED
        else:
            expected = ApprovalState.PENDING
        assert now.state is expected


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)


def test_an_approval_is_about_a_namespace():
    path = KeyPath(NamespaceId("ns"), parse_key_id("key"))
    there = replace(approval(), subject=ApprovalSubject(path, bytes(32), bytes(32)))
    assert there.namespace == "ns"
    assert not there.is_approver(ANN)
