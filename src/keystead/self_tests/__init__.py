"""Tests that the core makes of itself: at start, and of each key that it has just made."""

from collections.abc import Callable, Iterator
from functools import cache

from keystead.algorithms import BY_NAME
from keystead.self_tests import entropy, known_answers, round_trips

__all__ = ["first_failure", "results"]


def results() -> Iterator[tuple[str, str | None]]:
    """Run every test, and yield its name and what is wrong: None if it passes."""
    for name, test in _tests():
        yield name, _what_is_wrong(test)


def first_failure() -> str | None:
    """Run the tests up to the first that fails; return its name and reason, or None."""
    for name, wrong in results():
        if wrong is not None:
            return f"{name}: {wrong}"
    return None


def _tests() -> Iterator[tuple[str, Callable[[], object]]]:
    yield "entropy source", entropy.healthy_sample
    for known in known_answers.KEYS:
        key = cache(known.private_key)  # Read by the first of its tests.
        yield from known_answers.tests(known, key)
        yield from round_trips.tests(BY_NAME[known.type], key)


def _what_is_wrong(test: Callable[[], object]) -> str | None:
    try:
        test()
    except Exception as error:  # noqa: BLE001  whatever a library raises is a failed test
        return str(error) or type(error).__name__
    return None
