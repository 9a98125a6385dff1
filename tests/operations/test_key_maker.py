"""New keys: those of one turn of the event loop are made in one go, and each fails alone."""

import asyncio

import pytest

from keystead import algorithms
from keystead.errors import SelfTestFailed
from keystead.operations import key_maker
from keystead.operations.key_maker import MOST_IN_A_TURN, MOST_SECONDS, KeyMaker
from keystead.operations.shares import HSM
from keystead.operations.work_pool import WorkPool

P256 = algorithms.BY_NAME["EC_P256"]
RSA = algorithms.BY_NAME["RSA"]


def run(scenario):
    """Run scenario(make) in an event loop, where `make(algorithm, length)` makes a key."""
    pool = WorkPool(name="test", threads=1, queue_limit=1)
    maker = KeyMaker(pool)

    async def make(algorithm=P256, length=None):
        return await maker.make(algorithm, length, party=HSM)

    try:
        return asyncio.run(scenario(make))
    finally:
        pool.close()


@pytest.fixture
def done(monkeypatch) -> list[str]:
    """What was done, in order: `made` for each key."""
    done: list[str] = []
    tested = key_maker.require_consistent

    def require_consistent(key) -> None:
        done.append("made")
        tested(key)

    monkeypatch.setattr(key_maker, "require_consistent", require_consistent)
    return done


def test_keys_of_one_turn_are_made_before_any_of_them_is_used(done, monkeypatch):
    monkeypatch.setattr(key_maker, "perf_counter", lambda: 0)  # However slow this machine is.

    async def use(make):
        await make()
        done.append("used")

    async def scenario(make):
        await asyncio.gather(*(use(make) for _ in range(4)))

    run(scenario)
    assert done == ["made"] * 4 + ["used"] * 4


def test_keys_of_thirty_two_callers_are_made_in_one_turn_to_share_a_commit(done, monkeypatch):
    monkeypatch.setattr(key_maker, "perf_counter", lambda: 0)  # However slow this machine is.

    async def scenario(make):
        made = asyncio.gather(*(make() for _ in range(32)))
        await asyncio.sleep(0)  # They are asked for.
        await asyncio.sleep(0)
        assert len(done) == 32
        await made

    run(scenario)


def test_many_keys_leave_turns_to_other_requests(done):
    async def scenario(make):
        made = asyncio.gather(*(make() for _ in range(2 * MOST_IN_A_TURN + 1)))
        while len(done) < 2 * MOST_IN_A_TURN + 1:
            before = len(done)
            await asyncio.sleep(0)
            assert len(done) - before <= MOST_IN_A_TURN
        assert len({key.public().data for key in await made}) == 2 * MOST_IN_A_TURN + 1

    run(scenario)


def test_keys_that_take_longer_leave_turns_to_other_requests_sooner(done, monkeypatch):
    monkeypatch.setattr(key_maker, "perf_counter", lambda: len(done) * MOST_SECONDS / 4)

    async def scenario(make):
        made = asyncio.gather(*(make() for _ in range(10)))
        in_turns = []
        while len(done) < 10:
            before = len(done)
            await asyncio.sleep(0)
            in_turns.append(len(done) - before)
        await made
        return [count for count in in_turns if count]

    assert run(scenario) == [4, 4, 2]


def test_a_key_that_does_not_work_fails_for_its_own_caller_only(monkeypatch):
    tested = key_maker.require_consistent
    untested = iter([True, False, True])

    def require_consistent(key) -> None:
        if not next(untested):
            raise SelfTestFailed("A signature of the key is not valid.")
        tested(key)

    monkeypatch.setattr(key_maker, "require_consistent", require_consistent)

    async def scenario(make):
        return await asyncio.gather(make(), make(), make(), return_exceptions=True)

    first, second, third = run(scenario)
    assert isinstance(second, SelfTestFailed)
    assert first.algorithm is third.algorithm is P256


def test_no_key_is_made_for_a_caller_that_is_gone(done):
    async def scenario(make):
        gone, stays = asyncio.create_task(make()), asyncio.create_task(make())
        await asyncio.sleep(0)
        gone.cancel()
        return (await stays).algorithm

    assert run(scenario) is P256
    assert done == ["made"]


def test_a_key_that_takes_long_is_made_in_a_thread():
    async def scenario(make):
        wanted = asyncio.create_task(make(RSA, 2048))
        turns = 0
        while not wanted.done():
            await asyncio.sleep(0)
            turns += 1
        return (await wanted).algorithm, turns

    algorithm, turns = run(scenario)
    assert algorithm is RSA
    assert turns > 100
