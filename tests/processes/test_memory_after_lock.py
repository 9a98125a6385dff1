"""What lock leaves in the memory of a real core: not the keys that open the store."""

import base64

import pytest

from keystead.sealing.domain_key import StoreLabel
from tests.processes.test_captured_edge import ADMIN, OTHER, UNLOCK, fill, require_created
from tests.support.known_secrets import add_stored_secrets
from tests.support.leaks import Secrets
from tests.support.memory import occurrences
from tests.support.real_core import EdgeEnd, running_core

BACKUP = ("backup", "backup passphrase")
BRIEF = {StoreLabel.BACKUPS, StoreLabel.IDENTITY, StoreLabel.JOURNAL}
"""What is derived whenever it is needed, and wiped at once."""
HELD = (
    *("domain key", "journal, seed", "journal, sealing key"),
    *(f"{label.name} store key" for label in StoreLabel if label not in BRIEF),
)
WIPED = (*HELD, *(f"{label.name} store key" for label in BRIEF))


def use_every_store(edge: EdgeEnd) -> None:
    """Have the core derive the key of each store."""
    nonce = {"nonce": base64.b64encode(bytes(8)).decode()}
    assert edge.ask("POST", "/keys/aes/attestation", user=ADMIN, json=nonce).status == 200
    assert edge.ask("POST", "/system/backup", user=BACKUP).status == 200
    assert edge.ask("GET", "/keys", user=OTHER).status == 200


def test_lock_leaves_no_key_of_the_store_in_memory(tmp_path):
    with running_core(tmp_path) as core:
        edge = core.attach_honest()
        fill(edge, Secrets())
        name, passphrase = BACKUP
        user = {"realName": name, "role": "Backup", "passphrase": passphrase}
        require_created(edge, "PUT", f"/users/{name}", **user)
        change = {"newPassphrase": passphrase, "currentPassphrase": ""}
        answer = edge.ask("PUT", "/config/backup-passphrase", user=ADMIN, json=change)
        assert answer.status == 204
        use_every_store(edge)
        secrets = Secrets()
        add_stored_secrets(secrets, core.data, UNLOCK)
        pid = core.process.pid
        try:
            before = {name: occurrences(pid, secrets.values[name]) for name in HELD}
        except PermissionError:
            pytest.skip("reading another process's memory is not allowed here")
        assert all(before.values())
        for _ in range(2):
            use_every_store(edge)
            assert edge.ask("POST", "/lock", user=ADMIN).status == 204
            after = {name: occurrences(pid, secrets.values[name]) for name in WIPED}
            assert after == dict.fromkeys(WIPED, 0)
            assert edge.ask("POST", "/unlock", json={"passphrase": UNLOCK}).status == 204
