"""The table of states: every pair of state and event, and the diagram made from it."""

import itertools

import pytest

from keystead.errors import WrongState
from keystead.model.lifecycle import TRANSITIONS, Event, State, after

PAIRS = list(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda value: value.name)
def test_a_pair_leads_on_only_if_the_table_has_it(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert after(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(WrongState, match=state.value):
            after(state, event)


def test_every_state_can_be_reached_and_left() -> None:
    assert set(TRANSITIONS.values()) == set(State)
    assert {state for state, _ in TRANSITIONS} == set(State)


def test_only_provisioning_unlocking_and_a_returning_store_lead_to_operational() -> None:
    ways = {
        event
        for (state, event), target in TRANSITIONS.items()
        if target is State.OPERATIONAL and state is not State.OPERATIONAL
    }
    assert ways == {Event.PROVISION, Event.UNLOCK, Event.STORE_BACK_UNLOCKED}
