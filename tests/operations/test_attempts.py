import pytest

from keystead.errors import TooManyAttempts
from keystead.operations import attempts
from keystead.operations.attempts import FailedAttempts
from tests.support.core import Clock

ALICE = ("192.0.2.1", "alice")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_who_failed_is_refused_for_one_second(clock):
    failed = FailedAttempts(clock)
    failed.require_none(ALICE)
    failed.record(ALICE)
    clock.advance(0.999)
    with pytest.raises(TooManyAttempts):
        failed.require_none(ALICE)
    clock.advance(0.001)
    failed.require_none(ALICE)


def test_others_are_not_refused(clock):
    failed = FailedAttempts(clock)
    failed.record(ALICE)
    failed.require_none(("192.0.2.2", "alice"))
    failed.require_none(("192.0.2.1", "bob"))


def test_a_second_failure_begins_another_second(clock):
    failed = FailedAttempts(clock)
    failed.record(ALICE)
    clock.advance(0.5)
    failed.record(ALICE)
    clock.advance(0.9)
    with pytest.raises(TooManyAttempts):
        failed.require_none(ALICE)


def test_it_is_empty_once_everybody_has_been_let_through(clock):
    failed = FailedAttempts(clock)
    assert not failed
    failed.record(ALICE)
    assert failed
    clock.advance(1)
    failed.require_none(ALICE)
    assert not failed


def test_attempts_that_are_over_do_not_fill_memory(clock, monkeypatch):
    monkeypatch.setattr(attempts, "_SWEEP_AT", 10)
    failed = FailedAttempts(clock)
    for number in range(10):
        failed.record(("192.0.2.1", f"user {number}"))
    clock.advance(1)
    failed.record(ALICE)
    clock.advance(1)
    failed.require_none(ALICE)
    # Nobody asked for the ten others again: only the sweep can have removed them.
    assert not failed


def test_a_sweep_keeps_those_who_are_still_refused(clock, monkeypatch):
    monkeypatch.setattr(attempts, "_SWEEP_AT", 2)
    failed = FailedAttempts(clock)
    failed.record(("192.0.2.1", "before"))
    clock.advance(0.5)
    failed.record(ALICE)
    clock.advance(0.6)
    failed.record(("192.0.2.1", "after"))
    with pytest.raises(TooManyAttempts):
        failed.require_none(ALICE)
