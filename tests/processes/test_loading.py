"""How the code of a process is loaded."""

import gc
from collections.abc import Iterator

import pytest

from keystead.processes.loading import loading


@pytest.fixture(autouse=True)
def _unfrozen() -> Iterator[None]:
    """Let Python look into everything again, for the tests that follow."""
    yield
    gc.unfreeze()


def test_no_garbage_is_looked_for_while_code_is_loaded() -> None:
    with loading():
        assert not gc.isenabled()

    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_garbage_is_looked_for_after_code_that_cannot_be_loaded() -> None:
    with pytest.raises(ImportError), loading():
        raise ImportError

    assert gc.isenabled()
