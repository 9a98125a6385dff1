"""The states of the HSM and their transitions, as one table."""

from enum import Enum
from types import MappingProxyType

from keystead.errors import WrongState


class State(Enum):
    """What the HSM can do now. The value is the name in the API."""

    UNPROVISIONED = "Unprovisioned"
    LOCKED = "Locked"
    OPERATIONAL = "Operational"
    FAILED = "Failed"

    __hash__ = object.__hash__  # Members are singletons, and Enum's own hash is slow.


class Event(Enum):
    """What can happen to the HSM as a whole."""

    PROVISION = "provision"
    UNLOCK = "unlock"
    LOCK = "lock"
    RESET = "factory reset"
    RESTORE = "restore"
    RESTORE_SAME_KEY = "restore under the same domain key"
    RESTORE_OTHER_KEY = "restore under another domain key"
    SELF_TEST_FAILED = "self-test failed"
    STORE_LOST = "store lost"
    STORE_BACK_UNPROVISIONED = "store back, empty"
    STORE_BACK_LOCKED = "store back, without the domain key"
    STORE_BACK_UNLOCKED = "store back, with the domain key"


TRANSITIONS = MappingProxyType(
    {
        (State.UNPROVISIONED, Event.PROVISION): State.OPERATIONAL,
        (State.LOCKED, Event.UNLOCK): State.OPERATIONAL,
        (State.OPERATIONAL, Event.LOCK): State.LOCKED,
        (State.UNPROVISIONED, Event.RESTORE): State.LOCKED,
        (State.OPERATIONAL, Event.RESTORE_SAME_KEY): State.OPERATIONAL,
        (State.OPERATIONAL, Event.RESTORE_OTHER_KEY): State.LOCKED,
        (State.OPERATIONAL, Event.RESET): State.UNPROVISIONED,
        (State.FAILED, Event.RESET): State.UNPROVISIONED,
        (State.UNPROVISIONED, Event.STORE_LOST): State.FAILED,
        (State.LOCKED, Event.STORE_LOST): State.FAILED,
        (State.OPERATIONAL, Event.STORE_LOST): State.FAILED,
        **{(state, Event.SELF_TEST_FAILED): State.FAILED for state in State},
        (State.FAILED, Event.STORE_BACK_UNPROVISIONED): State.UNPROVISIONED,
        (State.FAILED, Event.STORE_BACK_LOCKED): State.LOCKED,
        (State.FAILED, Event.STORE_BACK_UNLOCKED): State.OPERATIONAL,
    }
)


def after(state: State, event: Event) -> State:
    """Return the state after `event`. Raises WrongState if the pair is not in the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise WrongState(f"{event.value} is not possible in state {state.value}.") from None
