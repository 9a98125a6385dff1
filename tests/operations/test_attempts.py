"""The brake on guessing, and what it remembers and logs of who failed."""

import json
import re
import tracemalloc

import pytest

from keystead.errors import TooManyAttempts
from keystead.journal.log import Log
from keystead.operations import attempts
from keystead.operations.attempts import (
    UNKNOWN,
    UNLOCK,
    FailedAttempts,
    network_of,
    subject_of,
)
from tests.support.core import Clock

ALICE = subject_of("192.0.2.1", "alice")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def failed(clock, lines) -> FailedAttempts:
    return FailedAttempts(clock, Log("core", clock=clock, write=lines.append))


def is_refused(failed, subject) -> bool:
    try:
        failed.require_none(subject)
    except TooManyAttempts:
        return True
    return False


# --- the brake -----------------------------------------------------------------------------------


def test_who_failed_is_refused_for_one_second(clock, failed):
    assert not is_refused(failed, ALICE)
    failed.record(ALICE)
    clock.advance(0.999)
    assert is_refused(failed, ALICE)
    clock.advance(0.001)
    assert not is_refused(failed, ALICE)


def test_others_are_not_refused(failed):
    failed.record(ALICE)
    assert not is_refused(failed, subject_of("192.0.2.2", "alice"))
    assert not is_refused(failed, subject_of("192.0.2.1", "bob"))


def test_the_addresses_of_one_ipv6_network_are_one_client(failed):
    failed.record(subject_of("2001:db8::1", "alice"))
    assert is_refused(failed, subject_of("2001:db8::2", "alice"))
    assert not is_refused(failed, subject_of("2001:db8:0:1::1", "alice"))
    failed.record(subject_of("2001:db8::2", "alice"))
    (alice,) = failed.recent()
    assert (alice.address, alice.failed) == ("2001:db8::2", 2)


def test_a_second_failure_begins_another_second(clock, failed):
    failed.record(ALICE)
    clock.advance(0.5)
    failed.record(ALICE)
    clock.advance(0.9)
    assert is_refused(failed, ALICE)


def test_there_is_nobody_to_refuse_a_second_after_the_last_failure(clock, failed):
    assert not failed.is_refusing()
    failed.record(ALICE)
    assert failed.is_refusing()
    clock.advance(1)
    assert not failed.is_refusing()


def test_a_flood_of_subjects_evicts_the_oldest_and_takes_bounded_memory(failed, monkeypatch):
    monkeypatch.setattr(attempts, "REMEMBERED_PAIRS", 100)
    failed.record(ALICE)
    tracemalloc.start()
    for number in range(1000):
        failed.record(subject_of("2001:db8::1", f"{number}" + "x" * 8000))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 100_000
    assert len(failed.recent()) == 100
    assert not is_refused(failed, ALICE)
    assert is_refused(failed, subject_of("2001:db8::1", "999" + "x" * 8000))


# --- who failed of late --------------------------------------------------------------------------


def test_failures_and_refusals_are_counted_by_pair_the_latest_first(clock, failed):
    failed.record(ALICE, is_user=True)
    is_refused(failed, ALICE)
    clock.advance(2)
    failed.record(subject_of("192.0.2.1", "bob"), is_user=True)
    clock.advance(2)
    failed.record(ALICE, is_user=True)
    alice, bob = failed.recent()
    assert (alice.user, alice.failed, alice.refused) == ("alice", 2, 1)
    assert alice.last - alice.first == 4
    assert (bob.user, bob.failed, bob.refused) == ("bob", 1, 0)
    assert failed.is_refused(alice)
    assert not failed.is_refused(bob)


def test_they_are_forgotten_after_a_quarter_of_an_hour(clock, failed):
    failed.record(ALICE)
    clock.advance(899)
    assert failed.recent()
    clock.advance(1)
    assert not failed.recent()
    failed.record(ALICE)
    assert failed.recent()[0].failed == 1


def test_a_name_that_no_user_has_is_not_shown(failed, lines):
    names = ("my secret passphrase", "correct-horse.battery_staple9", "", "x" * 258)
    for name in names:
        failed.record(subject_of("192.0.2.1", name))
    failed.record(subject_of("192.0.2.1", UNLOCK))
    shown = [one.user for one in failed.recent()]
    assert shown[0] == UNLOCK
    assert all(re.fullmatch(UNKNOWN + "[0-9a-f]{8}", user) for user in shown[1:])
    assert len(set(shown)) == len(shown)
    assert not any(name in "".join(lines) for name in names if name)


def test_a_name_that_becomes_a_user_s_is_shown_from_then_on(failed):
    failed.record(ALICE)
    (before,) = failed.recent()
    failed.record(ALICE, is_user=True)
    (after,) = failed.recent()
    assert (before.user == "alice", after.user, after.failed) == (False, "alice", 2)


def test_what_stands_for_a_name_is_the_same_for_the_same_name_and_here_alone(clock, lines):
    def shown(attempts: FailedAttempts, address: str) -> str:
        attempts.record(subject_of(address, "alice"))
        return attempts.recent()[0].user

    one, other = (FailedAttempts(clock, Log("core", clock=clock, write=lines.append)) for _ in "12")
    assert shown(one, "192.0.2.1") == shown(one, "192.0.2.2")
    assert shown(one, "192.0.2.3") != shown(other, "192.0.2.3")


# --- the log -------------------------------------------------------------------------------------


def test_each_failure_is_logged_with_user_and_address(failed, lines):
    failed.record(ALICE, is_user=True)
    event = json.loads(lines[0])
    assert event["level"] == "warning"
    assert event["event"] == "authentication failed"
    assert (event["user"], event["address"], event["failed"]) == ("alice", "192.0.2.1", 1)


def test_a_flood_is_logged_by_a_line_a_second_that_counts_the_rest(clock, failed, lines):
    for _ in range(1000):
        failed.record(ALICE)
        clock.advance(0.01)
    assert len(lines) in range(69, 72)
    clock.advance(1)
    failed.record(ALICE)
    assert len(lines) + sum(json.loads(line)["unlogged"] for line in lines) == 1001
    clock.advance(3600)
    before = len(lines)
    for _ in range(100):
        failed.record(ALICE)
    assert len(lines) - before == 60


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_ipv6_client_is_its_network(address, network):
    assert network_of(address) == network
