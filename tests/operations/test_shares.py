"""Slow work is shared by edge, namespace, user and network: nobody keeps the others from it."""

import asyncio
import contextlib
import itertools
import random
import threading

import pytest

from keystead.errors import Overloaded
from keystead.operations.shares import EDGE, HSM, Lines, Party, TurnQueue, Turns, of_network


@pytest.fixture(autouse=True)
def _no_edge():
    before = EDGE.set(None)
    yield
    EDGE.reset(before)


def by(edge: object) -> None:
    EDGE.set(edge)


def everything_in(lines: Lines[str]) -> list[str]:
    return [lines.pop() for _ in range(len(lines))]


def test_edges_that_have_something_waiting_take_turns():
    lines = Lines[str]()
    by("busy")
    for number in range(4):
        lines.append(f"busy {number}", Party(f"forged {number}"))
    by("quiet")
    for number in range(2):
        lines.append(f"quiet {number}", HSM)
    assert everything_in(lines) == ["busy 0", "quiet 0", "busy 1", "quiet 1", "busy 2", "busy 3"]


def test_namespaces_take_turns_and_within_them_their_users():
    lines = Lines[str]()
    for number in range(3):
        lines.append(f"flood {number}", Party("a", "flood"))
    lines.append("colleague", Party("a", "colleague"))
    lines.append("tenant", Party("b", "tenant"))
    lines.append("login", of_network("192.0.2.1"))
    assert everything_in(lines) == ["flood 0", "tenant", "colleague", "login", "flood 1", "flood 2"]


FLOOD, QUIET, OTHER = Party("a", "flood"), Party("b", "quiet"), Party("c", "other")


def test_a_quiet_tenant_waits_for_no_more_work_of_a_flood_than_has_begun():
    lines = Lines[str]()
    fill(lines, *[FLOOD] * 9)
    for number in range(3):
        assert "flood" in lines.pop()
        assert "flood" in lines.pop()
        lines.append(f"quiet {number}", QUIET)
        assert lines.pop() == f"quiet {number}"


def test_a_tenant_whose_work_comes_one_by_one_has_every_second_turn_and_no_more():
    lines = Lines[str]()
    fill(lines, *[FLOOD] * 6)
    lines.append("quiet", QUIET)
    served = []
    for _ in range(10):
        served.append(lines.pop())
        if served[-1] == "quiet":
            lines.append("quiet", QUIET)  # There was a second one, or the next came at once.
    assert sum(name == "quiet" for name in served) == 5
    assert all("quiet" in pair for pair in itertools.pairwise(served))


def test_an_endless_stream_of_new_tenants_leaves_every_second_turn_to_the_others():
    lines = Lines[str]()
    fill(lines, *[FLOOD] * 3, *[QUIET] * 3)
    served = []
    for number in range(10):
        lines.append(f"new {number}", Party(f"new {number}"))
        served.append(lines.pop())
    assert sum(not name.startswith("new") for name in served) >= 5
    assert {name.split()[-1] for name in served[:6]} >= {"flood", "quiet"}


def test_nothing_is_kept_of_tenants_whose_work_is_done():
    lines = Lines[str]()
    fill(lines, FLOOD)
    for number in range(1000):
        lines.append("one", Party(number))
        lines.append("flood", FLOOD)
        lines.pop()
        lines.pop()
    (edge,) = lines._all.parts.values()  # noqa: SLF001 - what is kept
    assert len(edge.parts) <= 3


def fill(lines: Lines[str], *parties: Party) -> None:
    for number, party in enumerate(parties):
        lines.append(f"{number} {party.group} {party.member}", party)


def test_room_is_made_by_the_newest_of_the_user_with_most_of_the_namespace_with_most():
    lines = Lines[str]()
    fill(lines, *[Party("a", "x")] * 2, *[Party("a", "y")] * 3, *[Party("b", "z")] * 4)
    assert lines.make_room(Party("c", "new")) == "4 a y"
    assert len(lines) == 8


def test_room_for_a_user_is_made_within_its_namespace_when_that_has_most():
    lines = Lines[str]()
    fill(lines, *[Party("a", "x")] * 3, Party("b", "z"))
    assert lines.make_room(Party("a", "y")) == "2 a x"


def test_no_room_is_made_for_whoever_has_most():
    lines = Lines[str]()
    fill(lines, *[Party("a", "x")] * 3, *[Party("b", "z")] * 2)
    with pytest.raises(Overloaded):
        lines.make_room(Party("a", "x"))
    with pytest.raises(Overloaded):
        lines.make_room(Party("b", "z"))
    assert len(everything_in(lines)) == 5


def test_users_made_up_by_an_edge_take_places_of_that_edge_only():
    lines = Lines[str]()
    by("captured")
    fill(lines, *(Party(f"forged {number}") for number in range(8)))
    by("honest")
    for _ in range(4):
        assert "forged" in lines.make_room(HSM)
        lines.append("honest", HSM)
    with pytest.raises(Overloaded):
        lines.make_room(HSM)


def test_where_nothing_waits_there_is_no_room_to_be_made():
    with pytest.raises(Overloaded):
        Lines[str]().make_room(HSM)


def test_one_at_a_time_has_the_turn_and_those_who_went_away_are_passed_over():
    async def scenario():
        turns, order = Turns(5), []

        async def take(name: str) -> None:
            async with turns.turn(Party(name)):
                order.append(name)
                await asyncio.sleep(0)
                order.append(name)

        tasks = [asyncio.create_task(take(name)) for name in "aabc"]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == ["a", "a", "a", "a", "c", "c"]
        await take("d")

    asyncio.run(scenario())


def test_a_turn_that_came_to_somebody_who_just_went_away_is_passed_on():
    async def scenario():
        turns, gate = Turns(5), asyncio.Event()

        async def take(until: asyncio.Event) -> str:
            async with turns.turn(HSM):
                await until.wait()
            return "served"

        at_once = asyncio.Event()
        at_once.set()
        tasks = [asyncio.create_task(take(one)) for one in (gate, at_once, at_once)]
        await asyncio.sleep(0)
        gate.set()
        await tasks[0]
        tasks[1].cancel()
        assert await asyncio.wait_for(tasks[2], 5) == "served"
        assert await asyncio.wait_for(take(at_once), 5) == "served"

    asyncio.run(scenario())


def test_whoever_lost_its_place_and_goes_away_gives_nobody_a_second_turn():
    async def scenario():
        turns, gate, inside = Turns(3), asyncio.Event(), []

        async def take(name: str) -> None:
            async with turns.turn(Party(name)):
                inside.append(name)
                await gate.wait()

        tasks = [asyncio.create_task(take(name)) for name in "aaab"]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.sleep(0.01)
        assert inside == ["a"]
        gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert inside == ["a", "a", "b"]

    asyncio.run(scenario())


def first(member: str) -> Party:
    return Party("new", member, comes_first=True)


def test_of_those_that_come_first_the_newest_is_next_and_others_take_turns_with_them():
    lines = Lines[str]()
    for name in ("old 0", "old 1"):
        lines.append(name, Party("old", name))
    for name in ("new 0", "new 1", "owner"):
        lines.append(name, first(name))
    assert everything_in(lines) == ["old 0", "owner", "old 1", "new 1", "new 0"]


def test_the_newest_that_comes_first_takes_the_place_that_would_be_served_last():
    lines = Lines[str]()
    for name in "abc":
        lines.append(name, first(name))
    assert lines.make_room(first("owner")) == "a"
    lines.append("owner", first("owner"))
    with pytest.raises(Overloaded):
        lines.make_room(first("owner"))
    assert everything_in(lines) == ["owner", "c", "b"]
    lines.append("old", Party("old"))
    with pytest.raises(Overloaded):
        lines.make_room(first("owner"))


def test_an_endless_stream_of_new_ones_does_not_keep_out_for_ever_whoever_tries_again():
    lines, chance = Lines[str](), random.Random(1)  # noqa: S311 - no secret
    for number in range(100):
        arrivals = ["owner", f"new {number}", f"newer {number}", f"newest {number}"]
        chance.shuffle(arrivals)
        for name in arrivals:
            with contextlib.suppress(Overloaded):  # The owner's last attempt waits still.
                if len(lines) == 15:
                    lines.make_room(first(name))
                lines.append(name, first(name))
        if lines.pop() == "owner":
            return
    pytest.fail("never served")


def test_an_end_comes_before_what_waits():
    queue = TurnQueue[int]()
    queue.put(1, HSM)
    queue.end(2)
    assert queue.get() is None
    assert queue.get() is None
    assert queue.is_empty()


def test_nothing_is_lost_or_given_twice_between_threads():
    queue = TurnQueue[int]()
    got: list[int] = []

    def read() -> None:
        while (item := queue.get()) is not None:
            got.append(item)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(2000):
        by(number % 5)
        queue.put(number, HSM)
    while not queue.is_empty():
        pass
    queue.end(3)
    for reader in readers:
        reader.join()
    assert sorted(got) == list(range(2000))
