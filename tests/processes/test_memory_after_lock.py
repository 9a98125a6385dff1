"""What lock leaves in the memory of a real core: not the keys that open the store."""

import pytest

from tests.processes.test_captured_edge import ADMIN, OTHER, UNLOCK, fill
from tests.support.known_secrets import add_stored_secrets
from tests.support.leaks import Secrets
from tests.support.memory import occurrences
from tests.support.real_core import running_core

WIPED = ("domain key", "USERS store key", "KEYS store key", "NAMESPACES store key")


def test_lock_leaves_no_key_of_the_store_in_memory(tmp_path):
    with running_core(tmp_path) as core:
        edge = core.attach_honest()
        fill(edge, Secrets())
        secrets = Secrets()
        add_stored_secrets(secrets, core.data, UNLOCK)
        pid = core.process.pid
        try:
            before = {name: occurrences(pid, secrets.values[name]) for name in WIPED}
        except PermissionError:
            pytest.skip("reading another process's memory is not allowed here")
        assert all(before.values())
        for _ in range(2):
            assert edge.ask("GET", "/keys", user=OTHER).status == 200
            assert edge.ask("POST", "/lock", user=ADMIN).status == 204
            after = {name: occurrences(pid, secrets.values[name]) for name in WIPED}
            assert after == dict.fromkeys(WIPED, 0)
            assert edge.ask("POST", "/unlock", json={"passphrase": UNLOCK}).status == 204
