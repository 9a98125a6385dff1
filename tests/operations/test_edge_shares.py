"""What edges share: no edge keeps the others from it, however much it asks for."""

import threading

import pytest

from keystead.operations.edge_shares import EDGE, Places, TurnQueue


@pytest.fixture(autouse=True)
def _no_edge():
    before = EDGE.set(None)
    yield
    EDGE.reset(before)


def by(edge: object) -> None:
    EDGE.set(edge)


def take_all(places: Places) -> list[object]:
    taken = []
    while places.are_free:
        taken.append(places.take())
    return taken


def test_one_edge_cannot_take_all_places():
    places = Places(16, of_one_edge=14)
    by("busy")
    taken = take_all(places)
    assert len(taken) == 14
    by("quiet")
    assert len(take_all(places)) == 2
    by("third")
    assert not places.are_free
    places.give_back(taken[0])
    assert places.are_free


def test_what_comes_by_no_edge_may_take_all():
    places = Places(16, of_one_edge=14)
    taken = take_all(places)
    assert len(taken) == 16
    for edge in taken:
        places.give_back(edge)
    assert len(take_all(places)) == 16


def test_edges_that_have_something_waiting_take_turns():
    queue = TurnQueue[str]()
    by("busy")
    for number in range(4):
        queue.put(f"busy {number}")
    by("quiet")
    for number in range(2):
        queue.put(f"quiet {number}")
    got = [queue.get() for _ in range(6)]
    assert got == ["busy 0", "quiet 0", "busy 1", "quiet 1", "busy 2", "busy 3"]
    assert queue.is_empty()


def test_an_end_comes_before_what_waits():
    queue = TurnQueue[int]()
    queue.put(1)
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
        queue.put(number)
    while not queue.is_empty():
        pass
    queue.end(3)
    for reader in readers:
        reader.join()
    assert sorted(got) == list(range(2000))
