"""The thread pools of the core."""

import threading

import pytest

from keystead.processes.core.pools import Pools
from keystead.processes.supervisor.memory import MOST_CHECKS


def threads_of(checks: int) -> set[str]:
    """Return the names of the threads that the pools have while `checks` fit into the memory."""
    before = set(threading.enumerate())
    pools = Pools.start(checks)
    try:
        return {thread.name for thread in threading.enumerate() if thread not in before}
    finally:
        for pool in {pools.crypto, pools.keygen, pools.kdf, pools.unlock}:
            pool.close()


def test_each_queue_that_tenants_share_has_a_spare_thread():
    names = threads_of(MOST_CHECKS)
    assert {f"{pool}_spare_0" for pool in ("crypto", "keygen", "kdf")} <= names
    assert "unlock_spare_0" not in names


@pytest.mark.parametrize("checks", range(1, MOST_CHECKS + 1))
def test_no_more_passphrases_are_checked_at_once_than_fit_into_the_memory(checks):
    names = threads_of(checks)
    assert sum(name.startswith(("kdf", "unlock")) for name in names) == checks


def test_more_memory_makes_no_more_threads():
    assert threads_of(MOST_CHECKS) == threads_of(MOST_CHECKS + 1)
