"""One core for all cases of a module, the same as in the tests of the API."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import pytest

from tests.api.conftest import (  # noqa: F401  fixtures and a hook are used by their names
    cheap_scrypt,
    core,
    operator,
    pytest_pyfunc_call,
    runner,
)
from tests.support.core import Core, Credentials
from tests.vectors.bench import Bench
from tests.vectors.tally import Tally, tallied

Cases = Callable[[str, str], AbstractContextManager[Tally]]


@pytest.fixture(scope="module")
def bench(core: Core, operator: Credentials) -> Bench:  # noqa: F811  so fixtures are asked for
    """Keys, to be used through the API."""
    return Bench(core, operator)


@pytest.fixture(autouse=True)
def _uncovered(no_cover: None) -> None:
    """Measure no coverage: other tests reach the same lines, and it would take as long again."""


@pytest.fixture
def cases(record_property: Callable[[str, object], None]) -> Cases:
    """Give a tally for an algorithm and a source, which ends up in the table."""
    return partial(tallied, record_property)
