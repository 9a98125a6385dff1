"""Verdicts on timing: each is shown in the summary, and fails when it is a leak."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.api.conftest import cheap_scrypt, pytest_pyfunc_call, runner
from tests.timing.dudect import Verdict, examine

__all__ = ["cheap_scrypt", "pytest_pyfunc_call", "runner"]

Operation = Callable[[Any], Awaitable[object]]

TRIES = 4
"""How often a planted leak is looked for: other work of the machine can hide it."""


@pytest.fixture(autouse=True)
def _uncovered(no_cover: None) -> None:
    """Measure no coverage: it would be part of each time."""


@pytest.fixture
def verdict(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]):
    """Examine a case, and have its t-value in the summary."""

    async def verdict(
        operation: Operation,
        kinds: Mapping[str, Sequence[object]],
        *,
        samples: int,
        floor_ns: float,
    ) -> Verdict:
        case = request.node.name.removeprefix("test_").replace("_", " ")
        found = await examine(case, operation, kinds, samples=samples, floor_ns=floor_ns)
        record_property("timing", str(found))
        return found

    return verdict


@pytest.fixture
def verdict_on_leak(verdict: Callable[..., Awaitable[Verdict]]):
    """Examine a case with a planted leak, and again until it is found."""

    async def verdict_on_leak(*case: object, samples: int, floor_ns: float) -> Verdict:
        for _ in range(TRIES):
            found = await verdict(*case, samples=samples, floor_ns=floor_ns)
            if found.leaks:
                break
        return found

    return verdict_on_leak
