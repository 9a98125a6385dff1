"""The checker of the drill finds what no HSM could have answered, and nothing else."""

import pytest

from tests.support.history import Event, History


def created(version, began, ended, **more):
    return Event("create", began, ended, version, **more)


def deleted(began, ended, **more):
    return Event("delete", began, ended, **more)


def read(version, began, ended):
    return Event("read", began, ended, version)


POSSIBLE = {
    "one after the other": [created("a", 0, 1), read("a", 2, 3), deleted(4, 6), read(None, 7, 8)],
    "at the same time": [created("a", 0, 9), read(None, 1, 2), read("a", 3, 4)],
    "an older answer": [created("a", 0, 1), deleted(2, 9), read(None, 3, 4), read("a", 4.5, 5)],
    "a change in doubt that was made": [created("a", 0, 1, is_certain=False), read("a", 5, 6)],
    "a change in doubt that was not": [created("a", 0, 1, is_certain=False), read(None, 5, 6)],
    "a deletion in doubt that came late": [
        created("a", 0, 1),
        deleted(2, 3, is_certain=False),
        read("a", 4, 5),
        read(None, 6, 7),
    ],
}
IMPOSSIBLE = {
    "a lost key": [created("a", 0, 1), read(None, 2, 3)],
    "two keys of one name": [created("a", 0, 1), created("b", 2, 3)],
    "two keys of one name at once": [created("a", 0, 3), created("b", 1, 3)],
    "a key that comes back": [created("a", 0, 1), deleted(2, 4), read(None, 5, 6), read("a", 9, 9)],
    "a use after the deletion": [created("a", 0, 1), deleted(2, 4), read("a", 4.5, 5)],
    "an answer that is too old": [
        created("a", 0, 1),
        deleted(2, 3, is_certain=False),
        read(None, 4, 5),
        read("a", 7, 8),
    ],
    "a version that nobody made": [created("a", 0, 1), read("b", 2, 3)],
    "a deletion of nothing": [deleted(0, 1)],
    "a doubt that happens twice": [
        created("a", 0, 1, is_certain=False),
        read("a", 2, 3),
        deleted(4, 6),
        read(None, 7, 8),
        created("b", 8, 9),
        read("a", 13, 14),
    ],
}


def faults_of(events):
    history = History()
    for event in events:
        history.add("name", event)
    return history.faults(1.0)


@pytest.mark.parametrize("what", POSSIBLE)
def test_what_one_hsm_could_have_answered_is_no_fault(what):
    assert faults_of(POSSIBLE[what]) == []


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_what_no_hsm_could_have_answered_is_found(what):
    assert faults_of(IMPOSSIBLE[what])
